package contents

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"buildsys/internal/buildtest/need"
	"buildsys/internal/errkind"
	"buildsys/internal/golden"
	"buildsys/internal/image"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tree makes a directory of files; a name with a slash at its end is a directory, "a -> b" a link.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name, target, isLink := strings.Cut(name, " -> ")
		at := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(at), 0o755))
		switch {
		case isLink:
			must(t, os.Symlink(target, at))
		case strings.HasSuffix(name, "/"):
			must(t, os.MkdirAll(at, 0o755))
		default:
			must(t, os.WriteFile(at, []byte(text), 0o644))
		}
	}
	return dir
}

// ext4 makes a file system of a directory.
func ext4(t *testing.T, dir string) string {
	t.Helper()
	need.Program(t, "mke2fs")
	img := filepath.Join(t.TempDir(), "fs.img")
	cmd := exec.Command("mke2fs", "-q", "-t", "ext4", "-O", "^metadata_csum,^has_journal,^dir_index",
		"-b", "1024", "-N", "200", "-E", "root_owner=0:0", "-d", dir, img, "4m")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v\n%s", err, out)
	}
	return img
}

func openImage(t *testing.T, file string) *Image {
	t.Helper()
	img, err := Open(t.Context(), filepath.Base(file), []string{file}, t.TempDir())
	must(t, err)
	t.Cleanup(img.Close)
	return img
}

func rootOf(t *testing.T, img *Image) *Part {
	t.Helper()
	p, err := img.Root()
	must(t, err)
	return p
}

func extract(t *testing.T, p *Part, from, to string, force bool) (Extracted, string, error) {
	t.Helper()
	at, err := p.Find(from, false)
	must(t, err)
	var warned []string
	done, err := p.Extract(t.Context(), Extraction{From: at, To: to, Force: force,
		Warn: func(text string) { warned = append(warned, text) }})
	return done, strings.Join(warned, "\n"), err
}

// TestExtract: contents, modes and links are those of the image; what cannot be is warned of.
func TestExtract(t *testing.T) {
	dir := tree(t, map[string]string{"etc/passwd": "root", "etc/sub/x": "x",
		"etc/abs -> /etc/passwd": "",
		"etc/up -> ../../../x":   "", "suid": "s", "empty/": ""})
	must(t, os.Chmod(filepath.Join(dir, "suid"), fs.ModeSetuid|0o711))
	must(t, os.Chmod(filepath.Join(dir, "etc/sub"), 0o500))
	must(t, unix.Mkfifo(filepath.Join(dir, "etc/fifo"), 0o644))
	must(t, os.Link(filepath.Join(dir, "etc/passwd"), filepath.Join(dir, "hard")))
	sparse := filepath.Join(dir, "sparse")
	must(t, os.WriteFile(sparse, nil, 0o644))
	must(t, os.Truncate(sparse, 1<<30))
	p := rootOf(t, openImage(t, ext4(t, dir)))
	to := filepath.Join(t.TempDir(), "new")
	done, warned, err := extract(t, p, "/", to, false)
	must(t, err)
	if done.Files != 5 || done.Links != 2 {
		t.Errorf("taken out: %+v", done)
	}
	for _, want := range []string{"/etc/fifo is a FIFO: left out", "1 files lost their set-user-ID",
		"1 hard links became files"} {
		if !strings.Contains(warned, want) {
			t.Errorf("warnings %q lack %q", warned, want)
		}
	}
	for name, want := range map[string]fs.FileMode{"suid": 0o711, "etc/sub": fs.ModeDir | 0o500,
		"etc/passwd": 0o644} {
		if info, err := os.Lstat(filepath.Join(to, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v; want %v", name, info, err, want)
		}
	}
	if target, err := os.Readlink(filepath.Join(to, "etc/abs")); target != "/etc/passwd" {
		t.Errorf("link to %q, %v", target, err)
	}
	var st unix.Stat_t
	must(t, unix.Stat(filepath.Join(to, "sparse"), &st))
	if st.Size != 1<<30 || st.Blocks > 1000 {
		t.Errorf("a hole became %d blocks of a file of %d bytes", st.Blocks, st.Size)
	}
	if _, err := os.Lstat(filepath.Join(to, "etc/fifo")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a FIFO was made: %v", err)
	}
	one := t.TempDir()
	_, _, err = extract(t, p, "/etc/passwd", one, false)
	must(t, err)
	if text, err := os.ReadFile(filepath.Join(one, "passwd")); string(text) != "root" {
		t.Errorf("a single file: %q, %v", text, err)
	}
}

// TestExtractReplacesNothing: files that exist stay, and with force links are replaced, not
// followed.
func TestExtractReplacesNothing(t *testing.T) {
	p := rootOf(t, openImage(t, ext4(t, tree(t, map[string]string{"etc/passwd": "new", "usr/": ""}))))
	victim := filepath.Join(t.TempDir(), "victim")
	for _, test := range []struct {
		name, there string
		force, fine bool
	}{
		{"file", "etc/passwd", false, false},
		{"link to a file", "etc/passwd -> " + victim, false, false},
		{"link to a file, by force", "etc/passwd -> " + victim, true, true},
		{"file, by force", "etc/passwd", true, true},
		{"directory in the place of a file, by force", "etc/passwd/", true, false},
		{"link out in the place of a directory, by force", "etc -> " + filepath.Dir(victim), true, false},
		{"link within in the place of a directory, by force", "etc -> usr", true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			must(t, os.WriteFile(victim, []byte("old"), 0o644))
			to := tree(t, map[string]string{test.there: "old", "usr/": ""})
			_, _, err := extract(t, p, "/", to, test.force)
			if fine := err == nil; fine != test.fine || !fine && errkind.Of(err) != errkind.Usage {
				t.Errorf("error %v", err)
			}
			if text, _ := os.ReadFile(victim); string(text) != "old" {
				t.Errorf("the file behind a link is %q", text)
			}
			text, _ := os.ReadFile(filepath.Join(to, "etc/passwd"))
			if test.fine && string(text) != "new" {
				t.Errorf("the file is %q", text)
			}
		})
	}
}

// TestExtractHostileNames: names that no file can have end the extraction.
func TestExtractHostileNames(t *testing.T) {
	good, err := os.ReadFile(ext4(t, tree(t, map[string]string{"etc/nameXXXX": "evil", "a": ""})))
	must(t, err)
	for _, name := range []string{"../evilX", "/tmp/eviX", "x/../../", "nul\x00XXXX"} {
		bad := bytes.ReplaceAll(good, []byte("nameXXXX"), []byte(name)[:8])
		outer := t.TempDir()
		file := filepath.Join(outer, "bad.img")
		must(t, os.WriteFile(file, bad, 0o644))
		to := filepath.Join(outer, "in/to")
		img := openImage(t, file)
		if _, _, err := extract(t, rootOf(t, img), "/", to, true); errkind.Of(err) != errkind.Integrity {
			t.Errorf("%q: error %v", name, err)
		}
		if left, err := os.ReadDir(outer); err != nil || len(left) != 2 {
			t.Errorf("%q: %v beside the directory", name, left)
		}
	}
}

// TestSizesAddUp: items, metadata and free bytes are all that a file system has, and hard links
// count once.
func TestSizesAddUp(t *testing.T) {
	dir := tree(t, map[string]string{"usr/bin/a": strings.Repeat("a", 5000), "usr/lib/b": "b",
		"c": ""})
	must(t, os.Link(filepath.Join(dir, "usr/bin/a"), filepath.Join(dir, "usr/lib/hard")))
	p := rootOf(t, openImage(t, ext4(t, dir)))
	owners := NewOwners(nil, []*RPM{{Name: "pack", Files: map[string]RPMFile{"/usr/bin/a": {}}}}, nil)
	for _, by := range []string{ByPackage, ByDirectory, ByFile} {
		s, err := p.Sizes(by, owners)
		must(t, err)
		sum := s.Metadata + s.Free
		found := map[string]int64{}
		for _, one := range s.Items {
			sum += one.Bytes
			found[one.Name] = one.Bytes
		}
		if sum != s.Total || s.Total != 4<<20 || s.Metadata <= 0 {
			t.Errorf("by %s: %d of %d bytes, %d of metadata", by, sum, s.Total, s.Metadata)
		}
		want := map[string]string{ByPackage: "pack", ByDirectory: "/usr/bin", ByFile: "/usr/bin/a"}[by]
		if n := found[want]; n < 5120 || n > 7000 {
			t.Errorf("by %s: %s has %d bytes", by, want, n)
		}
		if found["/usr/lib/hard"] != 0 {
			t.Errorf("a hard link counts twice: %v", found)
		}
	}
}

// TestCompare: what differs of files and packages, and that nothing differs of equal ones.
func TestCompare(t *testing.T) {
	inventory := func(version string) string {
		return fmt.Sprintf(`{"Content":[{"Name":"pack","Version":%q,"Release":"1"}]}`, version)
	}
	const list = "usr/share/os/application-inventory.json"
	first := map[string]string{list: inventory("1.0"), "usr/bin/tool": "one", "usr/bin/gone": "g",
		"usr/lib/os-release": "ID=os\nV=1\n", "usr/link -> a": "", "usr/mode": "m"}
	second := map[string]string{list: inventory("1.1"), "usr/bin/tool": "two",
		"usr/bin/new":        strings.Repeat("n", 4000),
		"usr/lib/os-release": "ID=os\nV=2\n", "usr/link -> b": "",
		"usr/mode": "m"}
	dir := tree(t, second)
	must(t, os.Chmod(filepath.Join(dir, "usr/mode"), 0o755))
	old, after := openImage(t, ext4(t, tree(t, first))), openImage(t, ext4(t, dir))
	owners := func(img *Image, names ...string) *Owners {
		r := &RPM{Name: "pack", Files: map[string]RPMFile{}}
		for _, name := range names {
			r.Files[name] = RPMFile{}
		}
		return NewOwners(img, []*RPM{r}, nil)
	}
	d, err := Compare(t.Context(), old, after, owners(old, "/usr/bin/tool", "/usr/bin/gone"),
		owners(after, "/usr/bin/tool", "/usr/bin/new"))
	must(t, err)
	var lines []string
	for _, f := range d.Files {
		if f.Path != "/usr/bin" && f.Path != "/usr" {
			lines = append(lines, fmt.Sprintf("%s %s (%s) %v", f.Change, f.Path, f.Package, f.What))
		}
	}
	want := []string{"removed /usr/bin/gone (pack) []", "added /usr/bin/new (pack) []",
		"changed /usr/bin/tool (pack) [contents]",
		"changed /usr/lib/os-release ((no package)) [contents]",
		"changed /usr/link ((no package)) [link a to b]",
		"changed /usr/mode ((no package)) [mode -rw-r--r-- to -rwxr-xr-x]",
		"changed /" + list + " ((no package)) [contents]"}
	if !slices.Equal(lines, want) {
		t.Errorf("files\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	p := d.Packages[0]
	if p.Name != "pack" || p.Before != "1.0-1" || p.After != "1.1-1" || p.Bytes != 4096-1024 ||
		p.Added != 1 || p.Removed != 1 || p.Changed != 1 {
		t.Errorf("package %+v", p)
	}
	if len(d.OSRelease) != 1 || d.OSRelease[0] != (ValueDiff{"V", "1", "2"}) {
		t.Errorf("os-release %v", d.OSRelease)
	}
	packed := filepath.Join(t.TempDir(), "fs.erofs")
	need.Program(t, "mkfs.erofs")
	mkfs := exec.Command("mkfs.erofs", "--quiet", "--all-root", packed, dir)
	if out, err := mkfs.CombinedOutput(); err != nil {
		t.Fatalf("mkfs.erofs: %v\n%s", err, out)
	}
	other := openImage(t, packed)
	d, err = Compare(t.Context(), after, other, owners(after, "/usr/bin/new"),
		owners(other, "/usr/bin/new"))
	must(t, err)
	i := slices.IndexFunc(d.Packages, func(p PackageDiff) bool { return p.Name == "pack" })
	if i < 0 || d.Packages[i].Bytes != 4000-4096 || d.Packages[i].Changed != 0 {
		t.Errorf("the same file in another file system: %+v", d.Packages)
	}
	if same, err := Compare(t.Context(), old, old, nil, nil); err != nil || !same.Same() {
		t.Errorf("an image and itself: %+v, %v", same, err)
	}
}

// TestOwners: RPMs are unpacked through symbolic links, and say whether a file is still theirs.
func TestOwners(t *testing.T) {
	img := openImage(t, ext4(t, tree(t, map[string]string{"usr/lib/a": "a", "usr/lib/b": "changed",
		"lib -> usr/lib": ""})))
	p := rootOf(t, img)
	sum := func(text string) string {
		s := sha256.Sum256([]byte(text))
		return hex.EncodeToString(s[:])
	}
	r := &RPM{Name: "pack", Files: map[string]RPMFile{
		InImage("/x86_64-os-linux-musl/sys-root/lib/a"): {Mode: 0o100644, Size: 1, Digest: sum("a")},
		"/lib/b": {Mode: 0o100644, Size: 1, Digest: sum("b")}}}
	owners := NewOwners(img, []*RPM{r}, nil)
	for name, want := range map[string]string{"/usr/lib/a": "", "/usr/lib/b": "its bytes are not"} {
		file, err := p.Find(name, false)
		must(t, err)
		of := owners.Of(p, file.Path)
		if len(of) != 1 {
			t.Fatalf("%s: owners %v", name, of)
		}
		differs, err := owners.Differs(t.Context(), p, file, of[0])
		if err != nil || !strings.HasPrefix(differs, want) || want == "" && differs != "" {
			t.Errorf("%s: %q, %v", name, differs, err)
		}
	}
	if same, of, err := img.Matches(t.Context(), r); same != 1 || of != 2 || err != nil {
		t.Errorf("%d of %d files, %v", same, of, err)
	}
}

// TestTreemap: the picture is the same each time, is XML whatever names are in it, and its
// rectangles have the area of their bytes.
func TestTreemap(t *testing.T) {
	s := Sizes{Total: 100 << 20, Used: 60 << 20, Free: 40 << 20, Metadata: 1 << 20, Items: []Size{
		{Name: "/usr/bin/tool", Package: "tool", Bytes: 30 << 20},
		{Name: "/usr/bin/<script>&\x1b[31m\"'", Package: "a<b", Bytes: 9 << 20},
		{Name: "/usr/lib/libx.so", Package: "libx", Bytes: 15 << 20},
		{Name: "/etc/empty", Package: NoPackage},
		{Name: "/boot", Package: Directories, Bytes: 5 << 20},
	}}
	var one, two bytes.Buffer
	must(t, WriteTreemap(&one, "os <1>", s))
	must(t, WriteTreemap(&two, "os <1>", s))
	if one.String() != two.String() {
		t.Error("the picture differs from one time to the other")
	}
	for d := xml.NewDecoder(bytes.NewReader(one.Bytes())); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		must(t, err)
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "script" {
			t.Error("a name became an element")
		}
	}
	golden.Equal(t, "testdata/treemap.svg", one.Bytes())
	boxes := squarify([]Node{{Bytes: 6}, {Bytes: 3}, {Bytes: 1}, {Bytes: 0}}, rect{0, 0, 20, 10})
	for i, want := range []float64{120, 60, 20, 0} {
		if got := boxes[i].w * boxes[i].h; got < want-.01 || got > want+.01 {
			t.Errorf("rectangle %d has an area of %f, want %f", i, got, want)
		}
	}
}

func TestModeText(t *testing.T) {
	for mode, want := range map[uint16]string{0o100644: "-rw-r--r--", 0o104755: "-rwsr-xr-x",
		0o41777: "drwxrwxrwt", 0o102644: "-rw-r-Sr--", 0o120777: "lrwxrwxrwx", 0o20600: "crw-------",
		0o41776: "drwxrwxrwT"} {
		if got := ModeText(mode); got != want {
			t.Errorf("%o is %s, want %s", mode, got, want)
		}
	}
}

// TestPartition: names of partitions, and an image without any.
func TestPartition(t *testing.T) {
	img := openImage(t, ext4(t, tree(t, map[string]string{"etc/": ""})))
	img.Parts = []*Part{{Label: "OS-BOOT-A", Number: 2, Why: image.ErrNoFiles},
		{Label: "OS-ROOT-A", Number: 3, Files: img.Parts[0].Files}}
	for name, want := range map[string]string{"OS-ROOT-A": "", "root-a": "", "3": "", "": "",
		"BOOT-A": "cannot be read", "4": "no partition"} {
		p, err := img.Part(name)
		if want == "" && (err != nil || p.Number != 3) || want != "" && (err == nil ||
			!strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, %v", name, p, err)
		}
	}
	junk := filepath.Join(t.TempDir(), "junk.img")
	must(t, os.WriteFile(junk, make([]byte, 1<<20), 0o644))
	if _, err := openImage(t, junk).Root(); err == nil {
		t.Error("a root file system in nothing")
	}
}
