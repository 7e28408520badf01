// Known results: entries of remote caches whose outputs are not in this store, so that what was asked once need not be
// asked again, with the network gone as well.

package cache

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// PutKnown notes that a remote cache, e.Origin, has the outputs of e.Action. Errors of the file system are *StoreError.
func (s *Store) PutKnown(e Entry) error {
	if e.Origin == "" {
		return errors.New("cache: a known result has an origin")
	}
	if err := e.Check(); err != nil {
		return fmt.Errorf("the result of %s cannot be noted: %w", e.Step, err)
	}
	unlock, err := s.lock(unix.LOCK_SH)
	if err != nil {
		return err
	}
	defer unlock()
	e.Built, e.Took = time.Now().UTC().Round(0), max(e.Took, 0) // when it was heard of
	if _, ok := s.recall(tookKey(e.Step)); !ok {                // what this machine has measured itself says more
		s.remember(record{Key: tookKey(e.Step), Action: e.Action, Took: e.Took})
	}
	return s.writeSmall(s.knownPath(e.Action), e.encode(), false)
}

// Known returns what PutKnown noted for an action.
func (s *Store) Known(id ActionID) (Entry, bool) {
	e, ok := s.readEntry(s.knownPath(id), id)
	return e, ok && e.Origin != ""
}

// Forget removes what PutKnown noted: its outputs could not be had.
func (s *Store) Forget(id ActionID) {
	if err := os.Remove(s.knownPath(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.warn("%v", err)
	}
}

// OpenBlob opens stored bytes for reading. The caller checks their hash: the disk may have changed them. The error wraps
// fs.ErrNotExist when they are not stored.
func (s *Store) OpenBlob(b Blob) (*os.File, error) {
	f, err := openRegular(s.blobPath(b.SHA256))
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != b.Size {
		err = fmt.Errorf("the stored blob %.12x… has %d bytes instead of %d", b.SHA256, info.Size(), b.Size)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func (s *Store) knownPath(id ActionID) string {
	name := hex.EncodeToString(id[:])
	return s.path(knownDir, name[:2], name)
}
