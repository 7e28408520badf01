package image

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"buildsys/internal/buildtest/bound"
	"buildsys/internal/buildtest/need"
)

// oddTree makes a directory with what file systems store in ways of their own.
func oddTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	random := make([]byte, 300<<10)
	rand.NewChaCha8([32]byte{7}).Read(random)
	var words strings.Builder
	for i := range 60000 {
		fmt.Fprintf(&words, "line %d of %d, %x\n", i, i*i%977, i*2654435761)
	}
	files := map[string]string{"empty": "", "one": "x", "inline": strings.Repeat("i", 100),
		"random": string(random), "words": words.String(), "zeros": strings.Repeat("\x00", 70000),
		"mixed": words.String()[:50000] + string(random[:70000]) +
			words.String()[:9000],
		"odd/ \t\"quotes\"\n\x1b[31m": "odd", "odd/-dash": "-", "odd/ünïcode\xff": "bytes",
		"a/b/c/d/e/f": "deep"}
	for i := range 3000 {
		files[fmt.Sprintf("many/%s-%04d", strings.Repeat("n", i%60), i)] = fmt.Sprint(i)
	}
	writeTree(t, dir, files)
	sparse := make([]byte, mib)
	for i := 0; i < len(sparse); i += 32 << 10 {
		sparse[i] = byte(i >> 15)
	}
	writeSparse(t, filepath.Join(dir, "sparse"), sparse)
	in := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Link(in("words"), in("a/hard")))
	must(os.Symlink("words", in("link")))
	must(os.Symlink(strings.Repeat("long/", 60)+"x", in("longlink")))
	must(os.Chmod(in("one"), fs.ModeSetuid|0o751))
	must(os.Chmod(in("odd"), fs.ModeSticky|0o777))
	must(unix.Mkfifo(in("fifo"), 0o640))
	if os.Geteuid() == 0 {
		must(os.Lchown(in("inline"), 1000, 70000))
		must(unix.Mknod(in("device"), unix.S_IFCHR|0o600, int(unix.Mkdev(300, 70))))
	}
	err := unix.Setxattr(in("one"), "user.note", []byte("value"), 0)
	must(errorsUnless(err, unix.ENOTSUP))
	err = unix.Setxattr(in("words"), "user.long", bytes.Repeat([]byte("v"), 300), 0)
	must(errorsUnless(err, unix.ENOTSUP))
	return dir
}

func errorsUnless(err, fine error) error {
	if err == fine {
		return nil
	}
	return err
}

// listed describes every file of a tree in a line.
func listed(t *testing.T, f Files, withAttributes bool) map[string]string {
	t.Helper()
	found := map[string]string{}
	var walk func(dir Inode, path string)
	walk = func(dir Inode, path string) {
		entries, err := f.List(dir)
		if err != nil {
			t.Fatalf("%q: %v", path, err)
		}
		for _, e := range entries {
			i, err := f.Stat(e)
			name := path + e.Name
			if err != nil {
				t.Fatalf("%q: %v", name, err)
			}
			line := fmt.Sprintf("%o %d:%d", i.Mode, i.UID, i.GID)
			switch i.Type() {
			case ModeRegular:
				data, err := contents(f, i, 32*mib)
				if err != nil {
					t.Errorf("%q: %v", name, err)
				}
				line += fmt.Sprintf(" links %d, %d bytes %.8x", i.Links, i.Size, sumOf(data))
			case ModeLink:
				target, err := f.Target(i)
				line += fmt.Sprintf(" -> %s %v", target, err)
			case ModeChar:
				line += fmt.Sprint(" ", i.Device)
			case ModeDir:
				if name == "lost+found" {
					continue
				}
				walk(i, name+"/")
			}
			if withAttributes && i.Type() == ModeRegular {
				attributes, err := f.Attributes(i)
				line += attributesOf(attributes, err)
			}
			found[name] = line
		}
	}
	root, err := f.Root()
	if err != nil {
		t.Fatal(err)
	}
	walk(root, "")
	return found
}

func attributesOf(all map[string][]byte, err error) string {
	text := ""
	for _, name := range slices.Sorted(maps.Keys(all)) {
		text += fmt.Sprintf(" %s=%s", name, all[name])
	}
	if err != nil {
		text += err.Error()
	}
	return text
}

// onHost is listed for a directory of this machine.
func onHost(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name := strings.TrimPrefix(path, dir+"/")
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		line := fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" links %d, %d bytes %.8x", st.Nlink, st.Size, sumOf(data))
			all := map[string][]byte{}
			for _, a := range []string{"user.note", "user.long"} {
				value := make([]byte, 400)
				if n, err := unix.Getxattr(path, a, value); err == nil {
					all[a] = value[:n]
				}
			}
			line += attributesOf(all, nil)
		case unix.S_IFLNK:
			target, err := os.Readlink(path)
			line += fmt.Sprintf(" -> %s %v", target, err)
		case unix.S_IFCHR:
			line += fmt.Sprint(" ", [2]uint32{unix.Major(uint64(st.Rdev)),
				unix.Minor(uint64(st.Rdev))})
		}
		found[name] = line
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestReadersAgree reads every file that mkfs.ext4 and mkfs.erofs have put into a file system: its
// contents, mode, owner, links and attributes are those of the directory it was made from.
func TestReadersAgree(t *testing.T) {
	need.Program(t, "mke2fs")
	need.Program(t, "mkfs.erofs")
	dir := oddTree(t)
	want := onHost(t, dir)
	ext4 := func(options ...string) []string {
		return append([]string{"mke2fs", "-q", "-t", "ext4", "-N", "6000", "-d", dir}, options...)
	}
	for _, test := range [][]string{
		ext4("-b", "4096"),
		ext4("-b", "1024", "-I", "128"),
		ext4("-b", "4096", "-O", "inline_data", "-I", "512"),
		ext4("-b", "1024", "-O", "^extent,^64bit"),
		{"mkfs.erofs", "--quiet"},
		{"mkfs.erofs", "--quiet", "-zlz4hc,12", "-C262144"},
		{"mkfs.erofs", "--quiet", "-zlz4"},
		{"mkfs.erofs", "--quiet", "-zlz4hc", "-Elegacy-compress"},
		{"mkfs.erofs", "--quiet", "-zlz4hc", "-C65536", "-Eztailpacking"},
		{"mkfs.erofs", "--quiet", "--chunksize=65536"},
	} {
		t.Run(strings.ReplaceAll(strings.Join(test, ""), dir, ""), func(t *testing.T) {
			img := filepath.Join(t.TempDir(), "fs")
			if test[0] == "mke2fs" {
				img = blank(t, "fs", 64*mib)
				run(t, test[0], append(test[1:], img)...)
			} else {
				run(t, test[0], append(test[1:], img, dir)...)
			}
			f, err := os.Open(img)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			info, _ := f.Stat()
			files, err := OpenFiles(f, info.Size())
			if err != nil {
				t.Fatal(err)
			}
			got, want := listed(t, files, true), maps.Clone(want)
			if slices.Contains(test, "inline_data") {
				delete(got, "sparse") // mke2fs 1.47 cuts off holes at the end
				delete(want, "sparse")
			}
			sameListing(t, got, want)
		})
	}
}

func sameListing(t *testing.T, got, want map[string]string) {
	t.Helper()
	wrong := 0
	for name, line := range want {
		if got[name] != line {
			if wrong++; wrong < 6 {
				t.Errorf("%q is %q, want %q", name, got[name], line)
			}
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%q is in none of the files", name)
		}
	}
	if wrong > 0 {
		t.Errorf("%d of %d files are wrong", wrong, len(want))
	}
}

func sumOf(data []byte) [sha256.Size]byte { return sha256.Sum256(data) }

// walkAll reads all of a file system, and fails if that takes more than its bounds.
func walkAll(t *testing.T, b []byte) {
	t.Helper()
	part := Bounded(t.Context(), bytes.NewReader(b), int64(len(b)))
	f, err := OpenFiles(part, int64(len(b)))
	if err != nil {
		return
	}
	root, err := f.Root()
	if err != nil {
		return
	}
	left := int64(8 * mib) // contents may be as large as they claim
	_ = Walk(f, root, "", true, func(w Walked) error {
		_, _ = f.Attributes(w.Inode)
		if w.Type() == ModeRegular {
			_ = f.Copy(&discard{&left}, w.Inode)
		}
		if left < 0 {
			return errNoEnd
		}
		return nil
	})
}

// discard is a Sink that takes so many bytes.
type discard struct{ left *int64 }

func (d *discard) Write(b []byte) (int, error) { return len(b), d.Hole(int64(len(b))) }

func (d *discard) Hole(n int64) error {
	if *d.left -= n; *d.left < 0 || n < 0 {
		return errNoEnd
	}
	return nil
}

// smallErofs returns a small file system made by mkfs.erofs, with compressed files.
func smallErofs(t testing.TB, options ...string) []byte {
	t.Helper()
	need.Program(t, "mkfs.erofs")
	tree, img := t.TempDir(), filepath.Join(t.TempDir(), "fs")
	var words strings.Builder
	for i := range 4000 {
		fmt.Fprintf(&words, "line %d, %x\n", i%97, i*2654435761)
	}
	for name, text := range map[string]string{"words": words.String(), "one": "x",
		"zeros": strings.Repeat("\x00", 70000)} {
		if err := os.WriteFile(filepath.Join(tree, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("words", filepath.Join(tree, "link")); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.erofs", append(append([]string{"--quiet", "-T0"}, options...), img, tree)...)
	b, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestTreesSurviveDamage changes bytes of file systems: there must be no panic and no endless work.
func TestTreesSurviveDamage(t *testing.T) {
	for _, good := range [][]byte{smallFS(t), smallErofs(t), smallErofs(t, "-zlz4hc", "-C65536"),
		smallErofs(t, "-zlz4hc", "-Elegacy-compress")} {
		var hot []int
		for i, b := range good {
			if b != 0 && i >= 1024 && i < 1<<15 {
				hot = append(hot, i)
			}
		}
		r := rand.New(rand.NewPCG(3, 4))
		for range 1500 {
			bad := slices.Clone(good)
			for range 1 + r.IntN(3) {
				bad[hot[r.IntN(len(hot))]] = []byte{0, 1, 0x7f, 0x80, 0xff, byte(r.Uint32())}[r.IntN(6)]
			}
			walkAll(t, bad)
		}
	}
}

// FuzzErofs overwrites the metadata of a small file system with the fuzzer's bytes.
func FuzzErofs(f *testing.F) {
	good := smallErofs(f, "-zlz4hc", "-C65536")
	f.Add(good[1024:8<<10], uint16(0))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, uint16(12)) // block size
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, uint16(36)) // blocks
	f.Fuzz(func(t *testing.T, patch []byte, at uint16) {
		bad := slices.Clone(good)
		copy(bad[min(1024+int(at), len(bad)):], patch)
		bound.Work(t, 256<<20, func() { walkAll(t, bad) })
	})
}

// TestErofsIndexBehindTheEnd: an index that begins where the partition ends is damage, as is one of
// more clusters than a number can count.
func TestErofsIndexBehindTheEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		size, after int64 // of the partition, and where the inode ends
		file        int64
	}{
		"behind the end":   {504, 496, 1},
		"without an end":   {4096, 0, math.MaxInt64},
		"at the very end":  {512, 496, 1},
		"a part of itself": {20, 8, 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := &Erofs{part: bytes.NewReader(make([]byte, tt.size)), size: tt.size, blockBits: 9,
				budget: 1 << 20}
			file := Inode{Mode: ModeRegular, Size: tt.file,
				layout: erofsLayout{kind: erofsFull, after: tt.after}}
			if err := f.Copy(&buffer{}, file); err == nil {
				t.Error("no error")
			}
		})
	}
}

// large is a file system of one directory with files whose inodes take a MiB each.
type large struct {
	Files
	raw []byte
}

func (l large) List(Inode) (entries []DirEntry, err error) {
	for i := range maxWalkedRaw>>20 + 1 {
		entries = append(entries, DirEntry{Name: fmt.Sprint(i)})
	}
	return entries, nil
}

func (l large) Stat(DirEntry) (Inode, error) { return Inode{Mode: ModeRegular, raw: l.raw}, nil }

// TestWalkBoundsInodes: whoever walks keeps inodes, which may have 32 KiB each in ext4, and 256 KiB
// in erofs.
func TestWalkBoundsInodes(t *testing.T) {
	fs := large{raw: make([]byte, 1<<20)}
	err := Walk(fs, Inode{Mode: ModeDir}, "", true, func(Walked) error { return nil })
	if !errors.Is(err, errNoEnd) {
		t.Error(err)
	}
}
