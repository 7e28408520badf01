// Writing into the store: blobs first, the entry that names them last, each durable before its name appears.

package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Put stores the files in dir as the outputs of e.Action, together with the log at logPath (empty for none), and returns
// e with Files, Content, Log and, when it was zero, Built filled in. Whatever is there already is not written again.
//
// A kill at any moment leaves the store as it was before or with the whole entry. Several writers of one action do not
// disturb each other: the last entry stays. Errors of the file system are *StoreError; a *ChangedError says that dir
// changed meanwhile.
func (s *Store) Put(e Entry, dir, logPath string) (Entry, error) {
	unlock, err := s.lock(unix.LOCK_SH)
	if err != nil {
		return e, err
	}
	defer unlock()
	if e.Files, e.Content, err = ScanDir(dir); err != nil {
		return e, &StoreError{Doing: "read the outputs", Err: err}
	}
	s.reach("scanned")
	for _, f := range e.Files {
		if f.Link == "" {
			if err := s.putBlob(filepath.Join(dir, filepath.FromSlash(f.Name)), Blob{f.SHA256, f.Size}); err != nil {
				return e, err
			}
		}
	}
	if e.Log, err = s.putLog(logPath); err != nil {
		return e, err
	}
	s.reach("blobs")
	if e.Built.UnixNano() <= 0 { // also the zero time
		e.Built = time.Now()
	}
	e.Took = max(e.Took, 0)
	e.Built = e.Built.UTC().Round(0)
	if err := e.check(); err != nil {
		return e, fmt.Errorf("the outputs of %s cannot be stored: %w", e.Step, err)
	}
	if err := s.writeSmall(s.entryPath(e.Action), e.encode(), true); err != nil {
		return e, err
	}
	s.reach("entry")
	s.remember(record{Key: tookKey(e.Step), Action: e.Action, Took: e.Took})
	s.reach("remembered")
	return e, nil
}

func (s *Store) putLog(path string) (Blob, error) {
	if path == "" {
		return Blob{}, nil
	}
	sum, err := hashFile(path)
	if err != nil {
		return Blob{}, &StoreError{Doing: "read the log", Err: err}
	}
	info, err := os.Stat(path)
	if err != nil {
		return Blob{}, &StoreError{Doing: "read the log", Err: err}
	}
	blob := Blob{sum, info.Size()}
	return blob, s.putBlob(path, blob)
}

// putBlob copies the file at path, which has been hashed, to its place.
func (s *Store) putBlob(path string, b Blob) error {
	final := s.blobPath(b.SHA256)
	info, err := os.Lstat(final)
	switch {
	case err == nil && info.Mode().IsRegular() && info.Size() == b.Size:
		return nil // its bytes are checked when it is used
	case err == nil:
		s.quarantine(final, "it does not have the size it should")
	}
	from, err := openRegular(path)
	if err != nil {
		return &StoreError{Doing: "read an output", Err: err}
	}
	defer from.Close()
	return s.write(final, true, func(to *os.File) error {
		size, sum, err := copyHashed(to, from)
		if err != nil {
			return err
		}
		if size != b.Size || sum != b.SHA256 {
			return &ChangedError{Path: path}
		}
		return to.Chmod(0o444) // nobody shall edit it by accident
	})
}

// writeSmall puts data at path in one step.
func (s *Store) writeSmall(path string, data []byte, durable bool) error {
	return s.write(path, durable, func(to *os.File) error {
		_, err := to.Write(data)
		return err
	})
}

// write makes the file at path appear whole, or not at all: it is written under a temporary name, made durable, renamed,
// and the rename made durable. A file at path is replaced. It needs the lock, shared.
func (s *Store) write(path string, durable bool, fill func(to *os.File) error) (err error) {
	fail := func(err error) error {
		if err == nil {
			return nil
		}
		if _, ok := errors.AsType[*ChangedError](err); ok {
			return err
		}
		return &StoreError{Doing: "write to the store", Err: err}
	}
	tmp, err := os.CreateTemp(s.path(tmpDir), filepath.Base(path)+"-")
	if err != nil {
		return fail(err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	err = fill(tmp)
	if err == nil && durable {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return fail(err)
	}
	s.reach("temporary " + filepath.Base(filepath.Dir(filepath.Dir(path))))
	if err = s.rename(tmp.Name(), path); err != nil {
		return fail(err)
	}
	s.reach("renamed " + filepath.Base(filepath.Dir(filepath.Dir(path))))
	if durable {
		err = syncDir(filepath.Dir(path))
	}
	return fail(err)
}

// rename makes the directory of path when it is missing: the 256 of each kind appear as they are needed.
func (s *Store) rename(tmp, path string) error {
	err := os.Rename(tmp, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		dir := filepath.Dir(path)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := syncDir(filepath.Dir(dir)); err != nil {
			return err
		}
	case err != nil && isDir(path): // left by a damaged file system or by hand
		s.quarantine(path, "it is a directory")
	default:
		return err
	}
	return os.Rename(tmp, path)
}

func isDir(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (s *Store) entryPath(id ActionID) string {
	name := id.String()
	return s.path(entriesDir, name[:2], name)
}

func (s *Store) blobPath(sum [32]byte) string {
	name := hex.EncodeToString(sum[:])
	return s.path(blobsDir, name[:2], name)
}

// copyHashed copies the whole of from to the empty file to and returns the size and sha256 of what it wrote. Where the
// file system can share the bytes of both files until one is changed, it does.
func copyHashed(to, from *os.File) (size int64, sum [32]byte, err error) {
	h := sha256.New()
	if unix.IoctlFileClone(int(to.Fd()), int(from.Fd())) == nil {
		size, err = io.Copy(h, to)
	} else {
		size, err = io.CopyBuffer(struct{ io.Writer }{to}, io.TeeReader(readSide{from}, h), make([]byte, 256<<10))
	}
	h.Sum(sum[:0])
	return size, sum, err
}

// readSide marks errors of reading, so that a bad source is told from a bad destination.
type readSide struct{ f *os.File }

type readError struct{ error }

func (e readError) Unwrap() error { return e.error }

func (r readSide) Read(b []byte) (int, error) {
	n, err := r.f.Read(b)
	if err != nil && err != io.EOF {
		err = readError{err}
	}
	return n, err
}
