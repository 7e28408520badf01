// Entries: the files of objects. They end with a checksum and are read only if it fits.

package objects

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"

	"buildsys/internal/atomicfile"
	"buildsys/internal/confined"
)

// magic begins the file of an object; the value follows, then the sha256 of key and value.
const magic = "buildsys object 1\n"

// around is how many bytes the file of an object has beside its value.
const around = len(magic) + sha256.Size

// useStep is how exactly the time of an object's last use is kept.
const useStep = time.Hour

var errDamaged = errors.New("it is damaged")

// entry is the value of an object, to be read once.
type entry struct {
	io.Reader
	file *os.File
	size int64
}

func (e *entry) Close() error { return e.file.Close() }

// sumOf returns the hash that a checksum begins with.
func sumOf(key string) hash.Hash {
	h := sha256.New()
	fmt.Fprintf(h, "%d:%s,", len(key), key)
	return h
}

// get returns the object with a key after it was checked, or an error that is fs.ErrNotExist. What
// is damaged is removed.
func (s space) get(key string) (*entry, error) {
	path := s.object(key)
	rel, err := filepath.Rel(s.dir, path)
	if err != nil {
		return nil, err
	}
	f, err := confined.Path{Root: s.dir, Name: rel}.Open()
	if err != nil {
		return nil, err
	}
	e, err := check(f, key)
	if err != nil {
		_ = f.Close()
		if errors.Is(err, errDamaged) {
			_ = os.Remove(path)
		}
		return nil, fmt.Errorf("the object %s: %w", path, err)
	}
	return e, nil
}

// check reads the whole file of an object.
func check(f *os.File, key string) (*entry, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size := info.Size() - int64(around)
	if size < 0 || size > MaxValue {
		return nil, errDamaged
	}
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(f, head); err != nil {
		return nil, err
	}
	sum, want := sumOf(key), make([]byte, sha256.Size)
	if _, err := io.CopyN(sum, f, size); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(f, want); err != nil {
		return nil, err
	}
	if string(head) != magic || !bytes.Equal(sum.Sum(nil), want) {
		return nil, errDamaged
	}
	if now := time.Now(); now.Sub(info.ModTime()).Abs() > useStep {
		_ = os.Chtimes(f.Name(), now, now) // of the least recently used it says less
	}
	value := io.NewSectionReader(f, int64(len(magic)), size)
	return &entry{value, f, size}, nil
}

// writer writes the file of an object.
type writer struct {
	*atomicfile.Temp
	sum hash.Hash
}

func (s space) writer(key string) (*writer, error) {
	t, err := atomicfile.New(s.path(tmpDir), 0o644)
	if err != nil {
		return nil, err
	}
	w := &writer{t, sumOf(key)}
	if _, err := t.Write([]byte(magic)); err != nil {
		t.Discard()
		return nil, err
	}
	return w, nil
}

// Write appends to the value.
func (w *writer) Write(p []byte) (int, error) {
	w.sum.Write(p)
	return w.Temp.Write(p)
}

// put gives the object its name. The writer is used up.
func (s space) put(key string, w *writer) error {
	if _, err := w.Temp.Write(w.sum.Sum(nil)); err != nil {
		w.Discard()
		return err
	}
	path := s.object(key)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.Discard()
		return err
	}
	return w.Replace(path)
}
