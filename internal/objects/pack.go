// Packs: all objects of a space in one file, for other machines. Objects keep their checksums,
// which hold their keys, so an object under another's name is never found.

package objects

import (
	"archive/tar"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"buildsys/internal/atomicfile"
	"buildsys/internal/confined"
)

// What is in a pack at most. Replaced by tests.
var (
	maxPack        = int64(512 << 20) // bytes of objects
	maxPackObjects = 100_000
)

// packMemory is how much of a pack is in memory when it is read.
const packMemory = 64 << 20

// packedName matches the names of objects in a pack.
var packedName = regexp.MustCompile(`^[0-9a-f]{64}$`)

// errPack means that a pack is not one.
var errPack = errors.New("it is not a pack of objects")

// empty reports whether a space has no objects.
func (s space) empty() bool {
	dirs, err := confined.ReadDir(os.DirFS(s.dir), ".")
	return err == nil && !slices.ContainsFunc(dirs,
		func(d fs.DirEntry) bool { return d.IsDir() && d.Name() != tmpDir })
}

// objects returns the objects that a pack has room for: those used last, by name.
func (s space) objects() ([]stored, error) {
	all, err := (&Store{filepath.Dir(s.dir)}).files(s.dir)
	all = slices.DeleteFunc(all, func(f stored) bool { return !f.object })
	slices.SortFunc(all, func(a, b stored) int {
		return cmp.Or(b.used.Compare(a.used), cmp.Compare(a.name, b.name))
	})
	var size int64
	for i, f := range all {
		if size += f.size; size > maxPack || i == maxPackObjects {
			all = all[:i]
			break
		}
	}
	slices.SortFunc(all, func(a, b stored) int { return strings.Compare(a.name, b.name) })
	return all, err
}

// pack writes the objects of a space, which are the same bytes whenever and wherever they are
// written.
func (s space) pack(to io.Writer) error {
	all, err := s.objects()
	if err != nil {
		return err
	}
	z, err := zstd.NewWriter(to, zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	w := tar.NewWriter(z)
	for _, f := range all {
		data, err := confined.Path{Root: s.dir, Name: filepath.Join(f.name[:2], f.name)}.Read(
			MaxValue + int64(around))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		head := &tar.Header{Name: f.name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(data))}
		if err == nil {
			err = w.WriteHeader(head)
		}
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			return errors.Join(err, z.Close())
		}
	}
	return errors.Join(w.Close(), z.Close())
}

// unpack adds the objects of a pack to a space. It stops at the first thing that is not as in a
// pack; what came before stays, as each object is checked when it is read.
func (s space) unpack(from io.Reader) error {
	z, err := zstd.NewReader(from, zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderMaxMemory(packMemory), zstd.WithDecoderLowmem(true))
	if err != nil {
		return err
	}
	defer z.Close()
	room := maxPack
	r := tar.NewReader(io.LimitReader(z, maxPack+int64(maxPackObjects)*1024))
	for n := 0; ; n++ {
		h, err := r.Next()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("%w: %w", errPack, err)
		case h.Typeflag != tar.TypeReg || !packedName.MatchString(h.Name) || n >= maxPackObjects ||
			h.Size < int64(around) || h.Size > MaxValue+int64(around) || h.Size > room:
			return fmt.Errorf("%w: %.70q of %d bytes", errPack, h.Name, h.Size)
		}
		room -= h.Size
		if err := s.add(h.Name, r); err != nil {
			return err
		}
	}
}

// add writes the file of an object.
func (s space) add(name string, from io.Reader) error {
	t, err := atomicfile.New(s.path(tmpDir), 0o644)
	if err != nil {
		return err
	}
	defer t.Discard()
	if _, err := io.Copy(t, from); err != nil {
		return err
	}
	if err := os.MkdirAll(s.path(name[:2]), 0o755); err != nil {
		return err
	}
	return t.Replace(s.path(name[:2], name))
}

// fetch fills an empty space with what other machines have shared.
func (u *Use) fetch(pkg string, sp space) {
	if u.Fetch == nil || !sp.empty() {
		return
	}
	f, err := os.CreateTemp(sp.path(tmpDir), "pack-")
	if err == nil {
		defer os.Remove(f.Name())
		defer f.Close()
		if err = u.Fetch(filepath.Base(sp.dir), f); errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err == nil {
		err = sp.unpack(f)
	}
	if err != nil {
		u.warn("compiled objects of %s are not fetched: %v", pkg, err)
	}
}

// share gives what the space has to other machines.
func (u *Use) share(pkg string, sp space) {
	if u.Share == nil {
		return
	}
	f, err := os.CreateTemp(sp.path(tmpDir), "pack-")
	if err == nil {
		err = errors.Join(sp.pack(f), f.Close())
		if err == nil {
			err = u.Share(filepath.Base(sp.dir), f.Name())
		} else {
			_ = os.Remove(f.Name())
		}
	}
	if err != nil {
		u.warn("compiled objects of %s are not shared: %v", pkg, err)
	}
}
