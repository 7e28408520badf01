// put: writes into the store: blobs first, the entry that names them last, each durable before its
// name appears.
//
// The store has its own way of replacing files instead of package atomicfile: it forces all blobs
// of a Put to disk together, its temporary files are in one directory that Trim empties under the
// store's lock, a directory in the place of a file goes to the quarantine, and tests stop it
// between any two steps.

package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"buildsys/internal/atomicfile"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Put stores the files in dir as the outputs of e.Action, together with the log at logPath (empty
// for none), and returns e with Files, Content, Log and, if it was zero, Built filled in. It does
// not write blobs that exist.
//
// A kill or a power cut at any moment leaves the store without the entry or with all of it.
// Concurrent writers of one action do not disturb each other: the last entry stays. Errors of the
// file system are *StoreError; a *ChangedError means that a file changed meanwhile.
func (s *Store) Put(e Entry, dir, logPath string) (Entry, error) {
	unlock, err := s.lock(unix.LOCK_SH)
	if err != nil {
		return e, err
	}
	defer unlock()
	if e.Files, e.Content, err = ScanDir(dir); err != nil {
		return e, &StoreError{Doing: "read the outputs", Err: err}
	}
	if e.Log, err = scanLog(logPath); err != nil {
		return e, err
	}
	s.reach("scanned")
	sources := []source{}
	for _, f := range e.Files {
		if f.Link == "" {
			sources = append(sources, source{filepath.Join(dir, filepath.FromSlash(f.Name)),
				Blob{f.SHA256, f.Size}})
		}
	}
	if logPath != "" {
		sources = append(sources, source{logPath, e.Log})
	}
	if err := s.putBlobs(sources); err != nil {
		return e, err
	}
	s.reach("blobs")
	return s.putEntry(e)
}

func (s *Store) putEntry(e Entry) (Entry, error) {
	if e.Built.UnixNano() <= 0 { // also the zero time
		e.Built = time.Now()
	}
	e.Built = e.Built.UTC().Round(0)
	e.Took = max(e.Took, 0)
	if err := e.Check(); err != nil {
		return e, fmt.Errorf("the outputs of %s cannot be stored: %w", e.Step, err)
	}
	// Before the entry: if a kill after the entry lost the record, nothing would write it again.
	s.remember(e.Step, e.Took)
	s.reach("remembered")
	if err := s.writeSmall(s.entryPath(e.Action), e.encode(), true); err != nil {
		return e, err
	}
	s.reach("entry")
	return e, nil
}

func scanLog(path string) (Blob, error) {
	if path == "" {
		return Blob{}, nil
	}
	sum, err := hashFile(context.Background(), path)
	if err != nil {
		return Blob{}, &StoreError{Doing: "read the log", Err: err}
	}
	info, err := os.Stat(path)
	if err != nil {
		return Blob{}, &StoreError{Doing: "read the log", Err: err}
	}
	return Blob{sum, info.Size()}, nil
}

// source is a file that has been hashed and is to become a blob.
type source struct {
	path string
	blob Blob
}

// putBlobs copies files into the store. It writes all, then forces all to disk at the same time,
// which costs hardly more than forcing one, and then gives all their names. The names become
// durable with the entry at the latest; if a power cut loses one, it is a miss.
func (s *Store) putBlobs(sources []source) error {
	type move struct{ tmp, final string }
	var moves []move
	var tmps []string
	seen := map[string]bool{}
	defer func() {
		for _, tmp := range tmps {
			_ = os.Remove(tmp) // fails for those that were renamed
		}
	}()
	for _, from := range sources {
		final := s.blobPath(from.blob.SHA256)
		if seen[final] || s.hasBlob(final, from.blob) {
			continue
		}
		seen[final] = true
		tmp, err := s.writeTemporary(final, from.copyTo)
		if err != nil {
			return err
		}
		tmps = append(tmps, tmp)
		moves = append(moves, move{tmp, final})
	}
	if err := syncAll(tmps); err != nil {
		return storeWrite(err)
	}
	for _, m := range moves {
		if err := s.rename(m.tmp, m.final); err != nil {
			return storeWrite(err)
		}
	}
	return nil
}

// hasBlob reports whether a blob exists, by its size; its bytes are checked when they are used. A
// file of another size is moved aside.
func (s *Store) hasBlob(final string, b Blob) bool {
	info, err := os.Lstat(final)
	if err == nil && info.Mode().IsRegular() && info.Size() == b.Size {
		return true
	}
	if err == nil {
		s.quarantine(final, "it does not have the size it should")
	}
	return false
}

func (from source) copyTo(to *os.File) error {
	f, err := openRegular(from.path)
	if err != nil {
		return err
	}
	defer f.Close()
	size, sum, err := copyHashed(to, f)
	if err != nil {
		return err
	}
	if size != from.blob.Size || sum != from.blob.SHA256 {
		return &ChangedError{Path: from.path}
	}
	return to.Chmod(0o444) // prevents accidental edits
}

// syncAll forces files to disk, several at a time so that the file system can combine them.
func syncAll(paths []string) error {
	var group errgroup.Group
	group.SetLimit(16)
	for _, path := range paths {
		group.Go(func() error {
			return atomicfile.Sync(path)
		})
	}
	return group.Wait()
}

// writeSmall replaces the file at path by data.
func (s *Store) writeSmall(path string, data []byte, durable bool) error {
	return s.write(path, durable, func(to *os.File) error {
		_, err := to.Write(data)
		return err
	})
}

// write replaces the file at path as a whole: it writes under a temporary name and renames. If
// durable is set, content and name survive a power cut after it returns. The caller holds the lock,
// shared.
func (s *Store) write(path string, durable bool, fill func(to *os.File) error) error {
	tmp, err := s.writeTemporary(path, func(to *os.File) error {
		if err := fill(to); err != nil || !durable {
			return err
		}
		return to.Sync()
	})
	if err != nil {
		return err
	}
	if err := s.rename(tmp, path); err != nil {
		_ = os.Remove(tmp)
		return storeWrite(err)
	}
	if durable {
		return storeWrite(atomicfile.Sync(filepath.Dir(path)))
	}
	return nil
}

// writeTemporary writes a temporary file to be renamed to final. If it fails, it leaves no file.
func (s *Store) writeTemporary(final string, fill func(to *os.File) error) (string, error) {
	tmp, err := os.CreateTemp(s.path(tmpDir), filepath.Base(final)+"-")
	if err != nil {
		return "", storeWrite(err)
	}
	// Who may read it is up to the directory, which others may have been let into.
	if err = errors.Join(tmp.Chmod(0o644), fill(tmp), tmp.Close()); err != nil {
		_ = os.Remove(tmp.Name())
		return "", storeWrite(err)
	}
	s.reach("temporary " + filepath.Base(filepath.Dir(filepath.Dir(final))))
	return tmp.Name(), nil
}

// storeWrite makes an error from writing a *StoreError, except a *ChangedError.
func storeWrite(err error) error {
	if changed, ok := errors.AsType[*ChangedError](err); ok {
		return changed
	}
	if err == nil {
		return nil
	}
	return &StoreError{Doing: "write to the store", Err: err}
}

// rename renames tmp to path. It creates the directory of path if necessary; the 256 of each kind
// appear as they are needed.
func (s *Store) rename(tmp, path string) error {
	err := os.Rename(tmp, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		err = os.Rename(tmp, path)
	case err != nil && isDir(path): // from a damaged file system or made by hand
		s.quarantine(path, "it is a directory")
		err = os.Rename(tmp, path)
	}
	if err == nil {
		s.reach("renamed " + filepath.Base(filepath.Dir(filepath.Dir(path))))
	}
	return err
}

func isDir(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

func (s *Store) entryPath(id ActionID) string {
	name := id.String()
	return s.path(entriesDir, name[:2], name)
}

func (s *Store) blobPath(sum [32]byte) string {
	name := hex.EncodeToString(sum[:])
	return s.path(blobsDir, name[:2], name)
}

// copyHashed copies all of from to the empty file to and returns the size and sha256 of the copy.
// If the file system supports it, both files share their bytes until one is changed.
func copyHashed(to, from *os.File) (size int64, sum [32]byte, err error) {
	h := sha256.New()
	if clone(to, from) {
		size, err = io.Copy(h, to)
	} else {
		size, err = io.CopyBuffer(struct{ io.Writer }{to}, io.TeeReader(readSide{from}, h),
			make([]byte, 256<<10))
	}
	h.Sum(sum[:0])
	return size, sum, err
}

// readSide marks errors from reading, to distinguish a bad source from a bad destination.
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
