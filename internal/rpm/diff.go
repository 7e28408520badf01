// diff: describes the differences between two RPMs.

package rpm

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Tags with the names of the files (rpm/include/rpm/rpmtag.h).
const (
	tagDirIndexes = 1116
	tagBaseNames  = 1117
	tagDirNames   = 1118
)

// fileTags are the tags with an attribute of each file.
var fileTags = map[int]string{
	1028: "size", 1030: "mode", 1034: "time", 1035: "contents", 1036: "link target", 1037: "flags",
	1039: "owner",
	1040: "group", 1045: "verify flags", 1097: "language", 5008: "size", 5010: "capabilities",
}

// derived are tags that follow from others: they differ whenever anything does.
var derived = map[int]bool{
	1009: true, 1095: true, 1096: true, // size, device and inode numbers
	5009: true, 5092: true, 5093: true, 5097: true, // sizes and digests of the payload
	// Classes and dependencies by file.
	1140: true, 1141: true, 1142: true, 1143: true, 1144: true, 1145: true,
}

var names = map[int]string{
	1000: "Name", 1001: "Version", 1002: "Release", 1004: "Summary", 1005: "Description",
	1006: "Buildtime", 1007: "Buildhost",
	1011: "Vendor", 1014: "License", 1016: "Group", 1020: "URL", 1021: "OS", 1022: "Arch",
	1023: "Prein", 1024: "Postin",
	1025: "Preun", 1026: "Postun", 1044: "Sourcerpm", 1047: "Providename", 1049: "Requirename",
	1050: "Requireversion",
	1064: "Rpmversion", 1080: "Changelogtime", 1094: "Cookie", 1113: "Provideversion",
	1122: "Optflags", 1124: "Payloadformat",
	1125: "Payloadcompressor", 1126: "Payloadflags", 1132: "Platform",
}

// Diff describes the differences between two headers, a line each: files that only one has,
// attributes of files, and other tags. It returns nothing if the RPMs differ only outside what
// headers hold.
func Diff(a, b Header) []string {
	lines := diffFiles(a, b)
	seen := maps.Clone(a)
	maps.Copy(seen, b)
	for _, tag := range slices.Sorted(maps.Keys(seen)) {
		if _, ofFile := fileTags[tag]; ofFile || derived[tag] || tag >= tagDirIndexes &&
			tag <= tagDirNames || slices.Equal(a[tag], b[tag]) {
			continue
		}
		lines = append(lines, fmt.Sprintf("header %s: %s, then %s", tagName(tag), short(a[tag]),
			short(b[tag])))
	}
	return lines
}

func tagName(tag int) string {
	if name, ok := names[tag]; ok {
		return name
	}
	return "tag " + strconv.Itoa(tag)
}

func short(values []string) string {
	const most = 60 // characters
	var text []rune
	for i, value := range values {
		if i > 0 {
			text = append(text, ' ')
		}
		for _, r := range value {
			if text = append(text, r); len(text) > most {
				return strconv.Quote(string(text[:most])) + "…"
			}
		}
	}
	return strconv.Quote(string(text))
}

func diffFiles(a, b Header) []string {
	var lines []string
	inA, allA := a.files()
	inB, allB := b.files()
	if !allA || !allB {
		return []string{fmt.Sprintf("files: not compared, their names have more than %d MiB",
			maxNames>>20)}
	}
	all := maps.Clone(inA)
	maps.Copy(all, inB)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		i, first := inA[name]
		j, second := inB[name]
		switch {
		case !second:
			lines = append(lines, "file "+name+": only in the first")
		case !first:
			lines = append(lines, "file "+name+": only in the second")
		default:
			if what := diffFile(a, b, i, j); len(what) > 0 {
				lines = append(lines, "file "+name+": "+strings.Join(what, ", "))
			}
		}
	}
	return lines
}

// diffFile returns the attributes that differ between file i of a and file j of b.
func diffFile(a, b Header, i, j int) []string {
	var what []string
	for _, tag := range slices.Sorted(maps.Keys(fileTags)) {
		x, y := a.value(tag, i), b.value(tag, j)
		if x == y {
			continue
		}
		text := fileTags[tag]
		if text != "contents" {
			text = fmt.Sprintf("%s %s, then %s", text, attribute(tag, x), attribute(tag, y))
		}
		what = append(what, text)
	}
	return what
}

func attribute(tag int, value string) string {
	if n, err := strconv.Atoi(value); err == nil && fileTags[tag] == "mode" {
		return fmt.Sprintf("%#o", n)
	}
	return value
}

// maxNames bounds the bytes of all paths of an RPM: a header has each directory once, however many
// files are in it. A hundred thousand files have 10 MiB.
const maxNames = 128 << 20

// files returns the index of each file by its path. complete is false if the paths exceed maxNames.
func (h Header) files() (files map[string]int, complete bool) {
	files = map[string]int{}
	left := maxNames
	for i, base := range h[tagBaseNames] {
		dir := ""
		if n, err := strconv.Atoi(h.value(tagDirIndexes, i)); err == nil {
			dir = h.value(tagDirNames, n)
		}
		if left -= len(dir) + len(base); left < 0 {
			return nil, false
		}
		files[dir+base] = i
	}
	return files, true
}

// Paths returns the paths of the files. ok is false if they exceed the limit: then none is
// returned.
func (h Header) Paths() (paths []string, ok bool) {
	files, ok := h.files()
	return slices.Sorted(maps.Keys(files)), ok
}

func (h Header) value(tag, i int) string {
	if i < 0 || i >= len(h[tag]) {
		return ""
	}
	return h[tag][i]
}
