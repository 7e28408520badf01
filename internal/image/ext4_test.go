package image

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"buildsys/internal/buildtest/need"
)

// TestExt4ReadsWhatMkfsWrites covers block and inode sizes, directories with a hash index, extent
// trees of two levels, holes, and file systems with and without checksums.
func TestExt4ReadsWhatMkfsWrites(t *testing.T) {
	need.Program(t, "mke2fs")
	big := make([]byte, 3*mib+17)
	rand.NewChaCha8([32]byte{4}).Read(big)
	files := map[string]string{"empty": "", "grub/grub.cfg": "set timeout=0\n", "a/b/c/d/e": "deep",
		"big": string(big)}
	for i := range 400 {
		files[fmt.Sprintf("many/file-%03d-%s", i, strings.Repeat("x", i%100))] = fmt.Sprint(i)
	}
	tree := t.TempDir()
	writeTree(t, tree, files)
	sparse := bytes.Repeat([]byte{0}, mib)
	// every other block is a hole, so there are more extents than fit in an inode
	for i := 0; i < len(sparse); i += 16 << 10 {
		sparse[i] = byte(i>>14) | 1
	}
	files["sparse"] = string(sparse)
	writeSparse(t, filepath.Join(tree, "sparse"), sparse)
	for _, options := range [][]string{
		{"-b", "4096"},
		{"-b", "1024", "-O", "^has_journal"},
		{"-b", "1024", "-I", "128", "-O", "^64bit,^metadata_csum,^has_journal"},
		{"-b", "2048", "-g", "1024", "-O", "^flex_bg"}, // many groups
	} {
		img := blank(t, "fs", 24*mib)
		run(t, "mke2fs", append(options, "-q", "-t", "ext4", "-N", "1000", "-d", tree, img)...)
		f, err := os.Open(img)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		e, err := OpenExt4(f, 24*mib)
		if err != nil {
			t.Errorf("%v: %v", options, err)
			continue
		}
		for name, want := range files {
			if got, err := e.ReadFile(name, 8*mib); err != nil || string(got) != want {
				t.Errorf("%v: %s: %d bytes, %v; want %d", options, name, len(got), err, len(want))
			}
		}
		entries, err := listDir(e, "many")
		if err != nil || len(entries) != 400 {
			t.Errorf("%v: directory has %d entries, %v; want 400", options, len(entries), err)
		}
		if used := e.Used(); used < 7*mib/2 || used > 20*mib {
			t.Errorf("%v: %d bytes used of files of 4 MiB", options, used)
		}
		if _, err := e.ReadFile("grub/none", mib); !errors.Is(err, ErrNotFound) {
			t.Errorf("%v: a missing file: %v", options, err)
		}
		if _, err := e.ReadFile("big", mib); err == nil || !strings.Contains(err.Error(), "more than") {
			t.Errorf("%v: a file over the limit: %v", options, err)
		}
		for _, name := range []string{"grub", "", "empty/x"} {
			if _, err := e.ReadFile(name, mib); err == nil {
				t.Errorf("%v: read of %q: no error", options, name)
			}
		}
	}
}

func writeSparse(t *testing.T, file string, data []byte) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := 0; i < len(data); i += 4096 {
		if block := data[i : i+4096]; !bytes.Equal(block, make([]byte, 4096)) {
			if _, err := f.WriteAt(block, int64(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := f.Truncate(int64(len(data))); err != nil {
		t.Fatal(err)
	}
}

// TestExt4Links: what a mounted system would find at names that lead through symbolic links.
func TestExt4Links(t *testing.T) {
	need.Program(t, "mke2fs")
	tree, img := t.TempDir(), blank(t, "fs", 4*mib)
	writeTree(t, tree, map[string]string{"sys-root/usr/lib/os-release": "ID=os", "etc/x": "x"})
	long := strings.Repeat("./", 60) + "sys-root"
	for name, to := range map[string]string{
		"usr": "sys-root/usr", "sys-root/usr/share": "/usr/lib", "sys-root/usr/etc": "../../etc",
		"up": "../../../../etc", "long": long, "file": "etc/x", "none": "nowhere", "a": "b", "b": "a/c",
		"me": "me", "dot": ".", "sys-root/usr/through": "../../file/../x",
	} {
		if err := os.Symlink(to, filepath.Join(tree, name)); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "mke2fs", "-q", "-t", "ext4", "-b", "1024", "-d", tree, img)
	f, err := os.Open(img)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	e, err := OpenExt4(f, 4*mib)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"usr/lib/os-release": "ID=os", "usr/share/os-release": "ID=os", "usr/etc/x": "x",
		"up/x": "x", "long/usr/lib/os-release": "ID=os", "file": "x", "dot/dot/etc/x": "x",
		"none": "no such file", "a/x": "more than 40 symbolic links",
		"me": "more than 40 symbolic links", "file/x": "is not a directory",
		"usr/through": "is not a directory",
	} {
		data, err := e.ReadFile(name, mib)
		if got := fmt.Sprint(err); string(data) != want && !strings.HasSuffix(got, want) {
			t.Errorf("%s: %q, %v; want %q", name, data, err, want)
		}
	}
	if n, err := e.FileSize("file"); n != 1 || err != nil {
		t.Errorf("file: %d bytes, %v", n, err)
	}
	if names, err := listDir(e, "usr/share"); len(names) != 1 || err != nil {
		t.Errorf("usr/share: %v, %v", names, err)
	}
}

// smallFS returns a file system of 256 KiB made by mke2fs, with one directory and one file.
func smallFS(t testing.TB) []byte {
	t.Helper()
	need.Program(t, "mke2fs")
	tree, img := t.TempDir(), filepath.Join(t.TempDir(), "fs")
	if err := errors.Join(os.Mkdir(filepath.Join(tree, "grub"), 0o755),
		os.Symlink("/grub", filepath.Join(tree, "boot")), os.Symlink("me", filepath.Join(tree, "me")),
		os.Symlink(strings.Repeat("./", 40)+"grub", filepath.Join(tree, "long")),
		os.WriteFile(filepath.Join(tree, "grub/grub.cfg"), []byte("boot"), 0o644)); err != nil {
		t.Fatal(err)
	}
	run(t, "mke2fs", "-q", "-t", "ext4", "-O", "^has_journal,^metadata_csum,^resize_inode", "-b",
		"1024", "-N", "16", "-d", tree, img, "256k")
	b, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestExt4SurvivesDamage changes bytes of metadata: there must be no panic, no endless work, and no
// contents beyond the limit.
func TestExt4SurvivesDamage(t *testing.T) {
	good := smallFS(t)
	var hot []int
	for i, b := range good {
		if b != 0 && i >= 1024 {
			hot = append(hot, i)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		bad := slices.Clone(good)
		for range 1 + r.IntN(3) {
			bad[hot[r.IntN(len(hot))]] = []byte{0, 1, 0x7f, 0x80, 0xff, byte(r.Uint32())}[r.IntN(6)]
		}
		readAll(t, bad)
	}
}

func readAll(t *testing.T, b []byte) {
	t.Helper()
	e, err := OpenExt4(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return
	}
	if data, err := e.ReadFile("grub/grub.cfg", 4096); err == nil && len(data) > 4096 {
		t.Errorf("%d bytes, more than the limit", len(data))
	}
	listDir(e, "grub")
	for _, dir := range []string{"boot", "me", "long"} {
		e.ReadFile(dir+"/grub.cfg", 4096)
	}
	if e.Used() < 0 {
		t.Errorf("%d bytes used", e.Used())
	}
}

// FuzzExt4 overwrites the metadata of a small file system with the fuzzer's bytes.
func FuzzExt4(f *testing.F) {
	good := smallFS(f)
	f.Add(good[1024:20<<10], uint16(0))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, uint16(0x18)) // block size
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, uint16(0x28)) // inodes per group
	f.Fuzz(func(t *testing.T, patch []byte, at uint16) {
		bad := slices.Clone(good)
		copy(bad[1024+int(at):], patch)
		readAll(t, bad)
	})
}

// TestExt4ExtentBomb has five levels of extent nodes, each with 84 entries that all lead to the
// node below.
func TestExt4ExtentBomb(t *testing.T) {
	b := make([]byte, 64<<10)
	e := &Ext4{part: bytes.NewReader(b), size: int64(len(b)), blockSize: 1024, blocks: 64,
		budget: readBudget}
	for depth := 5; depth >= 0; depth-- {
		node := b[depth*1024:][:1024]
		copy(node, []byte{0x0a, 0xf3, 84, 0, 84, 0, byte(depth)})
		for i := range 84 {
			node[12+12*i+4] = byte(max(depth-1, 0)) // the block below; in leaves, the length
		}
	}
	c := &copier{e: e, to: &buffer{}, size: 4096}
	if err := c.extents(b[5*1024:6*1024], maxExtentDepth); err == nil ||
		!strings.Contains(err.Error(), "no end") {
		t.Errorf("error %v", err)
	}
	b[4*1024+6] = 5 // a node that claims the same depth as the one above
	e.budget = readBudget
	if err := (&copier{e: e, to: &buffer{}}).extents(b[5*1024:6*1024], maxExtentDepth); err == nil ||
		!strings.Contains(err.Error(), "extent tree is damaged") {
		t.Errorf("wrong depth: error %v", err)
	}
}

// TestExt4Unwritten checks that blocks that were allocated but never written read as zeros,
// whatever they contain.
func TestExt4Unwritten(t *testing.T) {
	b := bytes.Repeat([]byte{7}, 64<<10)
	e := &Ext4{part: bytes.NewReader(b), size: int64(len(b)), blockSize: 1024, blocks: 64, inodes: 5,
		groupSize: 5, budget: readBudget}
	node := []byte{0x0a, 0xf3, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 0, 1, 0x80, 0, 0, 3, 0, 0, 0, // block 0 of the file, unwritten
		1, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0} // block 1
	var b2 buffer
	err := (&copier{e: e, to: &b2, size: 2048}).extents(node, maxExtentDepth)
	data := b2.Bytes()
	if err != nil || len(data) != 2048 || !bytes.Equal(data[:1024], make([]byte, 1024)) ||
		data[1024] != 7 {
		t.Errorf("%v, data begins %v", err, data[:min(2, len(data))])
	}
	if _, err := e.inode(6); err == nil || !strings.Contains(err.Error(), "inode 6 does not exist") {
		t.Errorf("inode 6 of 5: error %v", err)
	}
}

// TestExt4ReadersDiffer has file systems of which GRUB, the kernel and this reader would each take
// something else.
func TestExt4ReadersDiffer(t *testing.T) {
	e := &Ext4{part: bytes.NewReader(make([]byte, 64<<10)), size: 64 << 10, blockSize: 1024,
		blocks: 64, budget: readBudget}
	leaf := func(firsts ...byte) []byte {
		node := []byte{0x0a, 0xf3, byte(len(firsts)), 0, 4, 0, 0, 0, 0, 0, 0, 0}
		for i, first := range firsts {
			node = append(node, first, 0, 0, 0, 2, 0, 0, 0, byte(3+2*i), 0, 0, 0) // two blocks
		}
		return node
	}
	for _, tt := range []struct {
		firsts []byte
		good   bool
	}{{[]byte{0, 2, 4}, true}, {[]byte{0, 1}, false}, {[]byte{0, 0}, false}, {[]byte{2, 0}, false}} {
		c := &copier{e: e, to: &buffer{}, size: 8192}
		err := c.extents(leaf(tt.firsts...), maxExtentDepth)
		if (err == nil) != tt.good {
			t.Errorf("extents at %v: %v", tt.firsts, err)
		}
	}
	need.Program(t, "mke2fs")
	tree, img := t.TempDir(), filepath.Join(t.TempDir(), "fs")
	writeTree(t, tree, map[string]string{"name1": "one", "name2": "two"})
	run(t, "mke2fs", "-q", "-t", "ext4", "-O", "^metadata_csum,^dir_index", "-d", tree, img, "1m")
	data, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	data = bytes.Replace(data, []byte("name2"), []byte("name1"), 1)
	fs, err := OpenExt4(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := fs.ReadFile("name1", 100); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("a name twice: %q, %v", text, err)
	}
}

func listDir(f Files, name string) ([]DirEntry, error) {
	dir, _, err := Find(f, name, true)
	if err != nil {
		return nil, err
	}
	return f.List(dir)
}

// TestExt4ExtentsInOrder: extents that go back would make a file longer than it is.
func TestExt4ExtentsInOrder(t *testing.T) {
	b := bytes.Repeat([]byte{7}, 64<<10)
	e := &Ext4{part: bytes.NewReader(b), size: int64(len(b)), blockSize: 1024, blocks: 64,
		budget: readBudget}
	node := []byte{0x0a, 0xf3, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0,
		1, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, // block 1 of the file
		0, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0} // block 0
	var got buffer
	if err := (&copier{e: e, to: &got, size: 2048}).extents(node, maxExtentDepth); err == nil ||
		got.Len() > 2048 {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
}
