// remoteentry: entries whose blobs are in a remote cache and not in this store, so that a lookup
// need not be repeated and works without a network.

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

// PutRemote records that a remote cache, e.Origin, has the outputs of e.Action. Errors of the file
// system are *StoreError.
func (s *Store) PutRemote(e Entry) error {
	if e.Origin == "" {
		return errors.New("cache: a remote entry needs an origin")
	}
	if err := e.Check(); err != nil {
		return fmt.Errorf("the result of %s cannot be recorded: %w", e.Step, err)
	}
	unlock, err := s.lock(unix.LOCK_SH)
	if err != nil {
		return err
	}
	defer unlock()
	if e.Took = max(e.Took, 0); e.Built.UnixNano() <= 0 { // it does not say when; the lookup was later
		e.Built = time.Now()
	}
	e.Built = e.Built.UTC().Round(0)
	// A duration measured on this machine is more accurate.
	if _, ok := s.Took(e.Step); !ok {
		s.remember(e.Step, e.Took)
	}
	return s.writeSmall(s.remotePath(e.Action), e.encode(), false)
}

// Remote returns the entry that PutRemote recorded for an action.
func (s *Store) Remote(id ActionID) (Entry, bool) {
	e, ok := s.readEntry(s.remotePath(id), id)
	return e, ok && e.Origin != ""
}

// ForgetRemote removes the entry that PutRemote recorded, because its outputs are not available.
func (s *Store) ForgetRemote(id ActionID) {
	if err := os.Remove(s.remotePath(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.warn("%v", err)
	}
}

func (s *Store) remotePath(id ActionID) string {
	name := hex.EncodeToString(id[:])
	return s.path(remoteDir, name[:2], name)
}
