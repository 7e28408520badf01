// Host files: opened without following links, identified, and hashed once per run.

package buildkit

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"buildsys/internal/confined"
)

// fileID distinguishes the states of a host file.
type fileID struct {
	dev, ino     uint64
	size         int64
	mtime, ctime int64 // nanoseconds since 1970
}

// openRegular opens a regular file without following a link in its last component and without
// blocking on a FIFO.
func openRegular(name string) (*os.File, fileID, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fileID{}, err
	}
	id, err := identify(f)
	if err != nil {
		f.Close()
		return nil, fileID{}, err
	}
	return f, id, nil
}

func identify(f *os.File) (fileID, error) {
	info, err := f.Stat()
	if err != nil {
		return fileID{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() {
		return fileID{}, fmt.Errorf("is a %s, not a regular file", modeName(info.Mode()))
	}
	modified, changed := confined.Times(st)
	return fileID{
		dev: uint64(st.Dev), ino: st.Ino, size: st.Size, mtime: modified, ctime: changed,
	}, nil
}

// digestMemo remembers the SHA-256 of host files, so that an RPM that many packages use is read
// once per run.
type digestMemo struct {
	mu   sync.Mutex
	sums map[fileID][sha256.Size]byte
}

func (m *digestMemo) sum(name string) ([sha256.Size]byte, fileID, error) {
	var sum [sha256.Size]byte
	f, id, err := openRegular(name)
	if err != nil {
		return sum, id, err
	}
	defer f.Close()
	m.mu.Lock()
	sum, ok := m.sums[id]
	m.mu.Unlock()
	if ok {
		return sum, id, nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, id, err
	}
	if after, err := identify(f); err != nil || after != id {
		return sum, id, errChanged
	}
	h.Sum(sum[:0])
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sums == nil {
		m.sums = map[fileID][sha256.Size]byte{}
	}
	m.sums[id] = sum
	return sum, id, nil
}

// underlying strips the operation and path from an error of package os, because ContextError names
// the path.
func underlying(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// modeName names the kind of file that a mode stands for.
func modeName(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "directory"
	case m&fs.ModeSymlink != 0:
		return "symlink"
	case m&fs.ModeNamedPipe != 0:
		return "FIFO"
	case m&fs.ModeSocket != 0:
		return "socket"
	case m&fs.ModeDevice != 0:
		return "device"
	case m.IsRegular():
		return "regular file"
	}
	return "special file"
}
