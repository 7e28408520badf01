// verify: reads and checks every byte of the store.

package cache

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Verified counts what Verify found.
type Verified struct {
	Entries int   `json:"entries"`
	Blobs   int   `json:"blobs"`
	Bytes   int64 `json:"bytes"` // read
	Damaged int   `json:"damaged"`
	Dropped int   `json:"dropped"` // intact entries removed because a blob is damaged or missing
	Unused  int   `json:"unused"`  // blobs that no entry names; Trim removes them
}

// Verify reads the whole store. It moves damaged files to the quarantine and removes entries that
// cannot be restored, and calls report with a line about each. If ctx is done, it ends early with
// ctx's error. Damage is not an error.
func (s *Store) Verify(ctx context.Context, report func(string)) (Verified, error) {
	unlock, err := s.lock(unix.LOCK_SH) // prevents trimming
	if err != nil {
		return Verified{}, err
	}
	defer unlock()
	told := *s
	told.Warn = report
	v := verifier{s: &told, ctx: ctx, good: map[string]bool{}}
	if err := v.walk(blobsDir, v.blob); err != nil {
		return v.Verified, err
	}
	v.Unused = len(v.good)
	err = v.walk(entriesDir, v.entry) // changes v
	return v.Verified, err
}

type verifier struct {
	Verified
	s    *Store
	ctx  context.Context
	good map[string]bool // paths of the good blobs; true if an entry names it
}

// walk calls visit for every file. It moves damaged files aside, and returns errors of this
// machine.
func (v *verifier) walk(kind string, visit func(stored) error) error {
	return v.s.walk(kind, func(f stored) error {
		if err := v.ctx.Err(); err != nil {
			return err
		}
		err := visit(f)
		if err == nil || errors.Is(err, fs.ErrNotExist) { // moved aside by another process
			return nil
		}
		if _, ok := errors.AsType[*fs.PathError](err); ok && !isDamage(err) {
			return &StoreError{Doing: "verify the store", Err: err}
		}
		v.Damaged++
		v.s.quarantine(f.path, err.Error())
		return nil
	})
}

func (v *verifier) blob(f stored) error {
	sum, err := hashFile(v.ctx, f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	v.Blobs++
	v.Bytes += f.size
	if err == nil && hex.EncodeToString(sum[:]) != filepath.Base(f.path) {
		err = fmt.Errorf("its sha256 is %.12x…", sum)
	}
	if err == nil {
		v.good[f.path] = false
	}
	return err
}

func (v *verifier) entry(f stored) error {
	data, _, err := readRegular(f.path, maxEntry)
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	v.Entries++
	v.Bytes += int64(len(data))
	if err != nil {
		return err
	}
	e, err := decodeEntry(data)
	if err != nil {
		return err
	}
	if v.s.entryPath(e.Action) != f.path {
		return errors.New("it belongs to another action")
	}
	for _, b := range e.blobs() {
		path := v.s.blobPath(b.SHA256)
		named, good := v.good[path]
		if !good {
			sum, err := hashFile(v.ctx, path) // a Put may have added it since the blobs were read
			good = err == nil && sum == b.SHA256
			named = true
		}
		if !good {
			v.Dropped++
			v.s.drop(e, fmt.Sprintf("its output %s is damaged or missing", b.name))
			return nil
		}
		if !named {
			v.good[path] = true
			v.Unused--
		}
	}
	return nil
}
