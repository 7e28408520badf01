// rpm_test: headers are read as rpm reads them, damage is refused, and differences are described.

package rpm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"buildsys/internal/buildtest/bound"
	"buildsys/internal/buildtest/need"
)

const spec = `Name: thing
Version: 1.5
Release: 2
Summary: a thing
License: MIT
%description
A thing.
%install
mkdir -p %{buildroot}/usr/share/thing
echo $CONTENT >%{buildroot}/usr/share/thing/a
echo same >%{buildroot}/usr/share/thing/b
chmod $MODE %{buildroot}/usr/share/thing/b
ln -s a %{buildroot}/usr/share/thing/link
%files
/usr/share/thing
`

// build makes an RPM with rpmbuild.
func build(t *testing.T, env ...string) string {
	t.Helper()
	need.Program(t, "rpmbuild")
	dir := t.TempDir()
	file := filepath.Join(dir, "thing.spec")
	if err := os.WriteFile(file, []byte(spec), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("rpmbuild", "-bb", "--target", "noarch", "--define", "_topdir "+dir,
		"--define", "debug_package %{nil}",
		"--define", "_rpmfilename thing.rpm", "--define", "_buildhost here", "--define",
		"use_source_date_epoch_as_buildtime 1",
		"--define", "clamp_mtime_to_source_date_epoch 1", file)
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1000000000", "LC_ALL=C")
	cmd.Env = append(cmd.Env, env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("rpmbuild: %v\n%s", err, out)
	}
	return filepath.Join(dir, "RPMS", "thing.rpm")
}

// rpm itself is the oracle.
func TestReadHeader(t *testing.T) {
	path := build(t, "CONTENT=one", "MODE=644")
	h, err := ReadHeader(path)
	if err != nil {
		t.Fatal(err)
	}
	for tag, name := range map[int]string{1000: "NAME", 1001: "VERSION", 1006: "BUILDTIME",
		1007: "BUILDHOST", 1028: "FILESIZES",
		1030: "FILEMODES", 1034: "FILEMTIMES", 1035: "FILEDIGESTS", 1036: "FILELINKTOS",
		1047: "PROVIDENAME", 1117: "BASENAMES", 5092: "PAYLOADDIGEST"} {
		out, err := exec.Command("rpm", "-qp", "--nosignature", "--qf", "[%{"+name+"}\n]", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Join(h[tag], "\n")+"\n", string(out); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	out, err := exec.Command("rpm", "-qlp", "--nosignature", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	paths, _ := h.files()
	for name := range paths {
		files = append(files, name)
	}
	slices.Sort(files)
	if got := strings.Join(files, "\n") + "\n"; got != string(out) {
		t.Errorf("files are %q, want %q", got, out)
	}
}

func TestDiffOfRealRPMs(t *testing.T) {
	read := func(env ...string) Header {
		h, err := ReadHeader(build(t, env...))
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	a := read("CONTENT=one", "MODE=644")
	got := strings.Join(Diff(a, read("CONTENT=two", "MODE=600")), "\n")
	want := "file /usr/share/thing/a: contents\n" +
		"file /usr/share/thing/b: mode 0100644, then 0100600"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDiff(t *testing.T) {
	base := func() Header {
		return Header{1000: {"thing"}, 1007: {"here"}, tagDirNames: {"/a/", "/b/"},
			tagDirIndexes: {"0", "1"}, tagBaseNames: {"x", "y"}, 1035: {"11", "22"}, 5092: {"sum"}}
	}
	for _, tt := range []struct {
		name string
		edit func(h Header)
		want string
	}{
		{"same", func(Header) {}, ""},
		{"derived", func(h Header) { h[5092] = []string{"other"} }, ""},
		{"known tag", func(h Header) { h[1007] = []string{"there"} },
			`header Buildhost: "here", then "there"`},
		{"unknown tag", func(h Header) { h[4711] = []string{"1", "2"} },
			`header tag 4711: "", then "1 2"`},
		{"long", func(h Header) { h[1007] = []string{strings.Repeat("ä", 100)} },
			`header Buildhost: "here", then "` + strings.Repeat("ä", 60) + `"…`},
		{"contents", func(h Header) { h[1035] = []string{"11", "33"} }, "file /b/y: contents"},
		{"more", func(h Header) {
			h[tagBaseNames], h[tagDirIndexes] = []string{"x", "y", "z"},
				[]string{"0", "1", "1"}
		}, "file /b/z: only in the second"},
		{"fewer", func(h Header) { h[tagBaseNames] = []string{"x"} }, "file /b/y: only in the first"},
		{"bad index", func(h Header) { h[tagDirIndexes] = []string{"0", "-7"} },
			"file /b/y: only in the first\nfile y: only in the second"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := base()
			tt.edit(h)
			if got := strings.Join(Diff(base(), h), "\n"); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestNotAnRPM(t *testing.T) {
	path := build(t, "CONTENT=one", "MODE=644")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 3, 95, 96, 100, 112, 200, len(good) / 4} {
		if _, err := Read(bytes.NewReader(good[:size])); err == nil {
			t.Errorf("%d bytes are read as an RPM", size)
		}
	}
	if _, err := ReadHeader(filepath.Join(t.TempDir(), "none")); !os.IsNotExist(err) {
		t.Errorf("no file: %v", err)
	}
}

// TestTagsThatShareTheirData: 200 tags of which each has all of the store as its value would take
// 200 times the file.
func TestTagsThatShareTheirData(t *testing.T) {
	const size = 1 << 20
	for name, tt := range map[string]struct {
		kind, count int
		fill        byte
	}{
		"numbers":     {typeInt8, size, 1},
		"empty texts": {typeStrings, size, 0},
		"binary":      {typeBinary, size, 1},
	} {
		t.Run(name, func(t *testing.T) {
			data := headers(200, size, tt.fill, func(i int) [4]int {
				return [4]int{2000 + i, tt.kind, 0, tt.count}
			})
			h, err := Read(bytes.NewReader(data))
			if err == nil || !strings.Contains(err.Error(), "more than 256 MiB") {
				memory := 0
				for _, values := range h {
					for _, value := range values {
						memory += valueSize + len(value)
					}
				}
				t.Errorf("%d bytes of RPM take %d in memory, %v", len(data), memory, err)
			}
			// Other tags than those that are asked for cost nothing.
			if h, err := Read(bytes.NewReader(data), 1000); err != nil || len(h) > 0 {
				t.Errorf("a tag that is not there: %d tags, %v", len(h), err)
			}
		})
	}
}

// TestOtherTypes: rpm takes another value of a text in several languages than the first, and a list
// of files in an old form.
func TestOtherTypes(t *testing.T) {
	for name, tt := range map[string]struct {
		tag  [4]int
		want string
	}{
		"translated name":    {[4]int{tagRPMName, typeTranslated, 0, 2}, "rpmbuild writes it with 6"},
		"list for a version": {[4]int{tagVersion, typeStrings, 0, 1}, "rpmbuild writes it with 6"},
		"two texts":          {[4]int{2000, typeString, 0, 2}, "a text with 2 values"},
		"old names":          {[4]int{tagOldNames, typeStrings, 0, 1}, "in the form of RPM 3"},
		"translated summary": {[4]int{tagSummary, typeTranslated, 0, 2}, ""},
	} {
		data := headers(1, 4, 0, func(int) [4]int { return tt.tag })
		_, err := Read(bytes.NewReader(data), tagRPMName, tagVersion, tagSummary, 2000)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil ||
			!strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// headers returns an RPM whose main header has count tags over a store of size bytes.
func headers(count, size int, fill byte, tag func(int) [4]int) []byte {
	be := binary.BigEndian
	data := []byte(leadMagic + strings.Repeat("\x00", leadSize-len(leadMagic)))
	data = append(data, headerMagic+"\x00\x00\x00\x00\x00\x00\x00\x00"+headerMagic...)
	data = be.AppendUint32(be.AppendUint32(data, uint32(count)), uint32(size))
	for i := range count {
		for _, n := range tag(i) {
			data = be.AppendUint32(data, uint32(n))
		}
	}
	return append(data, bytes.Repeat([]byte{fill}, size)...)
}

// TestOneDirectoryOfManyFiles: a header has the name of a directory once, but a path for each file
// in it.
func TestOneDirectoryOfManyFiles(t *testing.T) {
	dir := strings.Repeat("d", maxPath)
	h := Header{tagDirNames: {dir}}
	for range maxNames/maxPath + 1 {
		h[tagBaseNames] = append(h[tagBaseNames], "x")
		h[tagDirIndexes] = append(h[tagDirIndexes], "0")
	}
	lines := Diff(h, Header{})
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "files: not compared") {
		t.Errorf("%d lines", len(lines))
	}
	data := headers(1, maxPath+2, 'x', func(int) [4]int {
		return [4]int{tagBaseNames, typeStrings, 0, 1}
	})
	data[len(data)-1] = 0
	_, err := Read(bytes.NewReader(data))
	if err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a long name: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	lead := leadMagic + strings.Repeat("\x00", leadSize-len(leadMagic))
	empty := headerMagic + "\x00\x00\x00\x00\x00\x00\x00\x00"
	one := headerMagic + "\x00\x00\x00\x01\x00\x00\x00\x04" +
		"\x00\x00\x03\xe8\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00\x01" + "abc\x00"
	f.Add([]byte(lead + empty + one))
	f.Add([]byte(lead + one + "\x00\x00\x00\x00" + one))
	f.Add(headers(20, 64, 0, func(i int) [4]int { return [4]int{1000 + i, typeStrings, 0, 64} }))
	f.Fuzz(func(t *testing.T, data []byte) {
		bound.Work(t, 3*maxValues, func() {
			h, err := Read(bytes.NewReader(data))
			if err != nil {
				return
			}
			if lines := Diff(h, h); len(lines) > 0 {
				t.Errorf("a header differs from itself: %q", lines)
			}
		})
	})
}

// TestReadInfo: rpm is the oracle of what a header says about files.
func TestReadInfo(t *testing.T) {
	path := build(t, "CONTENT=one", "MODE=640")
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := ReadInfo(f)
	if err != nil {
		t.Fatal(err)
	}
	if info.Name != "thing" || info.Version != "1.5" || info.Release != "2" || info.Arch != "noarch" ||
		info.Source != "thing-1.5-2.src.rpm" {
		t.Errorf("info %+v", info)
	}
	var lines []string
	for _, f := range info.Files {
		lines = append(lines, fmt.Sprintf("%s %o %d %s %s", f.Path, f.Mode, f.Size, f.SHA256, f.Target))
	}
	slices.Sort(lines)
	out, err := exec.Command("rpm", "-qp", "--nosignature", "--qf",
		"[%{FILENAMES} %{FILEMODES:octal} %{FILESIZES} %{FILEDIGESTS} %{FILELINKTOS}\n]", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	slices.Sort(want)
	if !slices.Equal(lines, want) {
		t.Errorf("files\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}
