// patches: what becomes of a package's patches on other sources, by a look at the texts. Whether
// they apply, only a build shows.

package upstream

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"buildsys/internal/archive"
	"buildsys/internal/safetext"
)

const (
	maxPatched = 8 << 20   // bytes of a file that a patch changes
	maxFiles   = 128 << 20 // bytes of all of them
	maxLooks   = 1 << 30   // lines that are compared for a package
	maxPatches = 64 << 20  // bytes of patches
)

// hunk is a place that a patch changes.
type hunk struct {
	line          int // where it begins in the file
	before, after []string
}

// filePatch is what a patch changes in a file.
type filePatch struct {
	name  string // without its first directory
	isNew bool
	hunks []hunk
}

var hunkHead = regexp.MustCompile(`^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@`)

// parsePatch reads a unified diff.
func parsePatch(text string) (files []filePatch) {
	var now *filePatch
	var old, left, right = "", 0, 0
	for l := range strings.Lines(text) {
		l = strings.TrimRight(l, "\r\n")
		m := hunkHead.FindStringSubmatch(l)
		switch {
		case left > 0 || right > 0:
			h := &now.hunks[len(now.hunks)-1]
			mark, rest := " ", l
			if l != "" {
				mark, rest = l[:1], l[1:]
			}
			if mark == " " || mark == "-" {
				h.before = append(h.before, rest)
				left--
			}
			if mark == " " || mark == "+" {
				h.after = append(h.after, rest)
				right--
			}
		case strings.HasPrefix(l, "--- "):
			old = patchName(l)
		case strings.HasPrefix(l, "+++ "):
			name := patchName(l)
			f := filePatch{name: name, isNew: old == "/dev/null"}
			if name == "/dev/null" {
				f.name = old
			}
			_, f.name, _ = strings.Cut(f.name, "/")
			files = append(files, f)
			now = &files[len(files)-1]
		case m != nil && now != nil:
			line, _ := strconv.Atoi(m[1])
			left, right = count(m[2]), count(m[4])
			now.hunks = append(now.hunks, hunk{line: line})
		}
	}
	return files
}

func patchName(line string) string {
	name, _, _ := strings.Cut(line[4:], "\t")
	return strings.TrimSpace(name)
}

func count(text string) int {
	if text == "" {
		return 1
	}
	n, _ := strconv.Atoi(text)
	return n
}

// patches returns the names of the spec's patches in the order of their numbers, if all of them are
// applied with -p1.
func (s *specText) patches() (names []string) {
	if !slices.ContainsFunc(s.lines, func(l string) bool {
		l = strings.TrimSpace(l)
		return strings.HasPrefix(l, "%auto") && strings.Contains(l, "-p1")
	}) {
		return nil
	}
	for _, d := range s.sources {
		full := s.expand(d.value, 0)
		if strings.HasPrefix(d.name, "patch") && !strings.Contains(full, unknown) {
			names = append(names, full[strings.LastIndexByte(full, '/')+1:])
		}
	}
	return names
}

// Patches returns what looks wrong about the package's patches with other sources. file returns
// those that the package has, nil for others; source is an archive of the new sources.
func (c *Change) Patches(ctx context.Context, source string, file func(name string) []byte) (
	[]string, error) {
	var all [][]filePatch
	var names []string
	wanted := map[string]bool{}
	left := maxPatches
	for _, name := range parseSpec(c.Spec).patches() {
		text := file(name)
		if left -= len(text); left < 0 {
			return nil, fmt.Errorf("they have more than %d MiB", maxPatches>>20)
		}
		files := parsePatch(string(text))
		for _, f := range files {
			wanted[f.name] = true
		}
		names, all = append(names, name), append(all, files)
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	have, err := sourceFiles(ctx, source, wanted)
	if err != nil {
		return nil, err
	}
	var found []string
	looks := maxLooks
	for i, files := range all {
		if text := judge(files, have, &looks); text != "" {
			found = append(found, fmt.Sprintf("packages/%s/%s %s", c.named.pkg.Name, names[i], text))
		}
	}
	return found, nil
}

// sourceFiles reads files of an archive, by their names below the directory at its top.
func sourceFiles(ctx context.Context, source string, wanted map[string]bool) (map[string][]string,
	error) {
	have := map[string][]string{}
	left := int64(maxFiles)
	err := archive.Walk(ctx, source, func(e archive.Entry) error {
		_, name, ok := strings.Cut(e.Name, "/")
		if !ok || !wanted[name] || !e.Mode.IsRegular() || have[name] != nil {
			return nil
		}
		data, err := e.Read(min(maxPatched, left))
		if left -= int64(len(data)); err == nil {
			have[name] = strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
		}
		return err
	})
	return have, err
}

// judge applies a patch to the files, and returns what is wrong with it.
func judge(files []filePatch, have map[string][]string, looks *int) string {
	contained, hunks := 0, 0
	fault := ""
	note := func(format string, args ...any) {
		if fault == "" {
			fault = safetext.Line(fmt.Sprintf(format, args...))
		}
	}
	for _, f := range files {
		text := have[f.name]
		switch {
		case f.isNew && text != nil:
			note("adds %s, which the new source has", path.Clean(f.name))
			hunks, contained = hunks+1, contained+1
			continue
		case f.isNew:
			hunks++
			for _, h := range f.hunks {
				have[f.name] = append(have[f.name], h.after...)
			}
			continue
		case text == nil:
			note("changes %s, which the new source does not have", f.name)
			hunks++
			continue
		}
		for n, h := range f.hunks {
			hunks++
			at, contains := find(text, h.before, h.line-1, looks), -1
			if at < 0 {
				contains = find(text, h.after, h.line-1, looks)
			}
			switch {
			case *looks < 0:
				return "is not looked at: there is too much that the patches change"
			case at >= 0:
				text = slices.Concat(text[:at], h.after, text[at+len(h.before):])
			case contains >= 0:
				contained++
			default:
				note("does not apply: hunk %d of %s", n+1, f.name)
			}
		}
		have[f.name] = text
	}
	switch {
	case hunks > 0 && contained == hunks:
		return "is in the new source already: remove it, and its lines of the spec"
	case contained > 0 && fault == "":
		return fmt.Sprintf("is in the new source in part: %d of %d hunks", contained, hunks)
	}
	return fault
}

// find returns where lines are in a text, near a place if they are there more than once; -1 if they
// are nowhere. Of looks it takes one for each line that is compared; without any left it stops.
func find(text, lines []string, near int, looks *int) int {
	best := -1
	*looks -= len(text)
	for at := 0; at+len(lines) <= len(text) && *looks >= 0; at++ {
		same := 0
		for same < len(lines) && text[at+same] == lines[same] {
			same++
		}
		*looks -= same
		if same == len(lines) && (best < 0 || distance(at, near) < distance(best, near)) {
			best = at
		}
	}
	return best
}

func distance(a, b int) int { return max(a-b, b-a) }
