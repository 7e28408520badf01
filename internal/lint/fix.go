// fix: writes what a finding says to write, where that is exact.

package lint

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"buildsys/internal/atomicfile"
	"buildsys/internal/confined"
	"buildsys/internal/safetoml"
)

// Fix is a change of a file that does away with a finding, and with nothing else.
type Fix struct {
	File  string // slash path relative to the root
	Table string // of a manifest, to which Line is added
	Line  string // KEY = { path = "…" }
	LF    bool   // change all line ends to those of Unix
}

// IsZero reports whether there is no fix.
func (f Fix) IsZero() bool { return f == Fix{} }

// Write makes the changes of all fixes of findings in the tree at root, each file at once, and
// returns them as unified diffs. Files behind symbolic links stay as they are, which is an error,
// as is a fix that would change more than it says.
func Write(root string, findings []Finding) (diffs []string, err error) {
	var files []string
	fixes := map[string][]Fix{}
	for _, f := range findings {
		if name := f.Fix.File; name != "" && !slices.Contains(fixes[name], f.Fix) {
			if fixes[name] == nil {
				files = append(files, name)
			}
			fixes[name] = append(fixes[name], f.Fix)
		}
	}
	var faults []error
	for _, name := range files {
		text, err := fixFile(root, name, fixes[name])
		if err != nil {
			faults = append(faults, fmt.Errorf("%s is not changed: %w", name, err))
			continue
		}
		diffs = append(diffs, text)
	}
	return diffs, errors.Join(faults...)
}

// fixFile makes the changes of one file.
func fixFile(root, name string, fixes []Fix) (text string, err error) {
	file := confined.Path{Root: root, Name: filepath.FromSlash(name)}
	f, err := file.Open() // through no link
	if err != nil {
		return "", err
	}
	info, err := f.Stat()
	_ = f.Close()
	if err != nil {
		return "", err
	}
	before, err := file.Read(maxFile)
	if err != nil {
		return "", err
	}
	after := string(before)
	for _, one := range fixes {
		if after, err = one.Apply(after); err != nil {
			return "", err
		}
	}
	if err := atomicfile.Replace(file.String(), []byte(after), info.Mode().Perm()); err != nil {
		return "", err
	}
	return string(diff.Diff(name, before, name, []byte(after))), nil
}

// Apply makes the change in the text of a file. It fails if that would change more.
func (f Fix) Apply(text string) (string, error) {
	if f.LF {
		return strings.ReplaceAll(text, "\r\n", "\n"), nil
	}
	key, _, _ := strings.Cut(f.Line, " = ")
	after := addLine(text, f.Table, f.Line)
	return after, f.check(text, after, key)
}

// tableHead matches the line that begins a table.
var tableHead = regexp.MustCompile(`^\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(#.*)?$`)

// addLine adds a line to the end of a table, which it makes at the end of the text if need be.
func addLine(text, table, line string) string {
	end := "\n"
	if strings.Contains(text, "\r\n") {
		end = "\r\n"
	}
	lines := strings.SplitAfter(text, "\n")
	at := -1
	for i, l := range lines {
		m := tableHead.FindStringSubmatch(strings.TrimRight(l, "\r\n"))
		switch {
		case m != nil && m[1] == table:
			at = i + 1
		case m != nil && at >= 0:
			return strings.Join(slices.Insert(lines, at, line+end), "")
		case at >= 0 && strings.TrimSpace(l) != "":
			at = i + 1
		}
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		lines[len(lines)-1] += end
	}
	if at < 0 {
		return strings.Join(lines, "") + end + "[" + table + "]" + end + line + end
	}
	return strings.Join(slices.Insert(lines, min(at, len(lines)), line+end), "")
}

// check returns an error unless the only difference between two manifests is the key in the table.
func (f Fix) check(before, after, key string) error {
	var was, is map[string]any
	if _, err := safetoml.Decode(before, &was); err != nil {
		return err
	}
	old, _ := was[f.Table].(map[string]any)
	if _, there := old[key]; there {
		return fmt.Errorf("[%s] has %s already, in another form than %s", f.Table, key, f.Line)
	}
	if _, err := safetoml.Decode(after, &is); err != nil {
		return fmt.Errorf("with %s in [%s] it would not be TOML: %w", f.Line, f.Table, err)
	}
	table, ok := is[f.Table].(map[string]any)
	if _, there := table[key]; !ok || !there {
		return fmt.Errorf("%s cannot be added to [%s]: do it by hand", f.Line, f.Table)
	}
	delete(table, key)
	if was[f.Table] == nil {
		delete(is, f.Table)
	}
	if !reflect.DeepEqual(was, is) {
		return fmt.Errorf("%s cannot be added to [%s] without changing more: do it by hand", f.Line,
			f.Table)
	}
	return nil
}
