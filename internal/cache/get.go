// get: reads from the store, and checks everything that it returns.

package cache

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"buildsys/internal/confined"
)

// touchEvery is the age of the recorded use of an entry at which a new use is recorded.
const touchEvery = time.Hour

// Get returns the entry of an action and records its use. It moves a damaged entry aside, also one
// that names a blob that is missing or has the wrong size. Restore checks the bytes of the blobs.
func (s *Store) Get(id ActionID) (Entry, bool) {
	e, ok := s.Peek(id)
	if !ok {
		return Entry{}, false
	}
	for _, b := range e.blobs() {
		info, err := os.Lstat(s.blobPath(b.SHA256))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			s.drop(e, fmt.Sprintf("its output %s is missing", b.name))
			return Entry{}, false
		case err != nil:
			s.warn("cannot look into the store: %v", err)
			return Entry{}, false
		case !info.Mode().IsRegular() || info.Size() != b.Size:
			s.quarantine(s.blobPath(b.SHA256), "it has the wrong size")
			s.drop(e, fmt.Sprintf("its output %s is damaged", b.name))
			return Entry{}, false
		}
	}
	return e, true
}

// Peek returns the entry of an action without checking its blobs.
func (s *Store) Peek(id ActionID) (Entry, bool) { return s.readEntry(s.entryPath(id), id) }

// readEntry reads the entry of an action at a path and records its use. It moves a damaged one
// aside.
func (s *Store) readEntry(at string, id ActionID) (Entry, bool) {
	data, info, err := readRegular(at, maxEntry)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Entry{}, false
	case isDamage(err):
		s.quarantine(at, err.Error())
		return Entry{}, false
	case err != nil:
		s.warn("cannot read the store: %v", err)
		return Entry{}, false
	}
	e, err := decodeEntry(data)
	if err == nil && e.Action != id {
		err = errors.New("it belongs to another action")
	}
	if err != nil {
		s.quarantine(at, err.Error())
		return Entry{}, false
	}
	if now := time.Now(); now.Sub(info.ModTime()) > touchEvery {
		_ = os.Chtimes(at, now, now) // only a hint for trimming
	}
	return e, true
}

// namedBlob is a blob with its name in an entry.
type namedBlob struct {
	Blob
	name string
}

func (e Entry) blobs() []namedBlob {
	var all []namedBlob
	for _, f := range e.Files {
		if f.Link == "" {
			all = append(all, namedBlob{Blob{f.SHA256, f.Size}, f.Name})
		}
	}
	if !e.Log.IsZero() {
		all = append(all, namedBlob{e.Log, "log"})
	}
	return all
}

// Restore copies the outputs of e into the empty directory dir and checks the hash of every byte.
// The copies are independent of the store. The error is a *DamagedError if an output is missing or
// damaged, after which the step must run again, and a *StoreError if dir cannot be written. After
// an error dir may hold some of the files.
func (s *Store) Restore(e Entry, dir string) error {
	unlock, err := s.lock(unix.LOCK_SH) // prevents trimming
	if err != nil {
		return err
	}
	defer unlock()
	root, err := confined.OpenDir(dir)
	if err != nil {
		return &StoreError{Doing: "restore outputs", Err: err}
	}
	defer root.Close()
	for _, f := range e.Files {
		if err := s.restoreFile(e, f, root); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) restoreFile(e Entry, f File, root *os.Root) error {
	fail := func(err error) error {
		return &StoreError{Doing: fmt.Sprintf("restore the output %q of %s", f.Name, e.Step), Err: err}
	}
	if parent := path.Dir(f.Name); parent != "." {
		if err := root.MkdirAll(parent, 0o755); err != nil {
			return fail(err)
		}
	}
	if f.Link != "" {
		if err := root.Symlink(f.Link, f.Name); err != nil {
			return fail(err)
		}
		return nil
	}
	to, err := root.OpenFile(f.Name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fail(err)
	}
	err = s.copyBlob(e, namedBlob{Blob{f.SHA256, f.Size}, f.Name}, to)
	if err == nil {
		err = to.Chmod(f.Mode)
	}
	if closed := to.Close(); err == nil && closed != nil {
		err = closed
	}
	if _, ok := errors.AsType[*DamagedError](err); err == nil || ok {
		return err
	}
	return fail(err)
}

// copyBlob copies a blob of e to the empty file to. If the blob is missing or damaged, the error is
// a *DamagedError, and blob and entry are removed.
func (s *Store) copyBlob(e Entry, b namedBlob, to *os.File) error {
	at := s.blobPath(b.SHA256)
	damaged := func(reason string) error {
		s.drop(e, fmt.Sprintf("its output %s: %s", b.name, reason))
		return &DamagedError{Step: e.Step, Name: b.name, Blob: filepath.Base(at), Reason: reason}
	}
	from, err := openRegular(at)
	if errors.Is(err, fs.ErrNotExist) {
		return damaged("it is missing")
	}
	if isDamage(err) {
		s.quarantine(at, err.Error())
		return damaged(err.Error())
	}
	if err != nil {
		return err
	}
	defer from.Close()
	if info, err := from.Stat(); err == nil && info.Size() != b.Size {
		s.quarantine(at, "it has the wrong size")
		return damaged("it has the wrong size")
	}
	size, sum, err := copyHashed(to, from)
	_, reading := errors.AsType[readError](err)
	switch {
	case err != nil && !(reading && isDamage(err)):
		return err
	case err == nil && size == b.Size && sum == b.SHA256:
		return nil
	case err == nil:
		err = fmt.Errorf("its %d bytes have the sha256 %.12x…", size, sum)
	}
	s.quarantine(at, err.Error())
	return damaged(err.Error())
}

// drop removes an entry that can no longer be restored.
func (s *Store) drop(e Entry, reason string) {
	if err := os.Remove(s.entryPath(e.Action)); err == nil {
		s.removeMaker(s.entryPath(e.Action))
		s.warn("the stored result of %s cannot be used: %s", e.Step, reason)
	}
}

// Quarantine returns the directory with the damaged files that were moved aside.
func (s *Store) Quarantine() string { return s.path(quarantineDir) }

// quarantine moves a damaged file of the store aside and warns. If that fails, the file stays and
// is refused again at its next use.
func (s *Store) quarantine(at, reason string) {
	kind := filepath.Base(filepath.Dir(filepath.Dir(at)))
	for n := 1; ; n++ {
		aside := s.path(quarantineDir, fmt.Sprintf("%s-%s.%d", kind, filepath.Base(at), n))
		if _, err := os.Lstat(aside); err == nil {
			continue
		}
		if err := os.Rename(at, aside); err != nil {
			if !errors.Is(err, fs.ErrNotExist) { // another process was faster
				s.warn("%s in the store is damaged (%s) and cannot be moved aside: %v", at, reason, err)
			}
			return
		}
		s.warn("%s in the store is damaged (%s); it was moved to %s; check that disk", at, reason, aside)
		return
	}
}

var errNotRegular = errors.New("it is not a regular file")

// isDamage reports whether an error is due to the content of the disk, not to this process or
// machine.
func isDamage(err error) bool {
	for _, one := range []error{errNotRegular, syscall.EIO, syscall.ELOOP, syscall.EISDIR,
		syscall.ENXIO, syscall.ENODATA, syscall.EBADMSG} {
		if errors.Is(err, one) {
			return true
		}
	}
	return needsRepair(err)
}

// OpenBlob opens stored bytes for reading. The caller must check their hash, because the disk may
// have changed them. The error wraps fs.ErrNotExist if they are not stored.
func (s *Store) OpenBlob(b Blob) (*os.File, error) {
	f, err := openRegular(s.blobPath(b.SHA256))
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != b.Size {
		err = fmt.Errorf("the stored blob %.12x… has %d bytes instead of %d",
			b.SHA256, info.Size(), b.Size)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// openRegular opens a regular file for reading. It neither waits for the writer of a pipe nor
// follows a link.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", path, errNotRegular)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// readRegular reads a regular file of at most limit bytes; a larger one counts as damaged.
func readRegular(path string, limit int64) ([]byte, fs.FileInfo, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if info.Size() > limit {
		return nil, nil, fmt.Errorf("%w of at most %d bytes", errNotRegular, limit)
	}
	data := make([]byte, info.Size())
	_, err = io.ReadFull(f, data)
	return data, info, err
}
