// log: reads what a step printed from the store.

package cache

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
)

// OpenLog opens the log of an entry. Reading it to the end is an error if it is damaged. The error
// wraps fs.ErrNotExist if it is not stored.
func (s *Store) OpenLog(e Entry) (io.ReadCloser, error) {
	if e.Log.IsZero() {
		return nil, fmt.Errorf("the result of %s has no log: %w", e.Step, fs.ErrNotExist)
	}
	f, err := s.OpenBlob(e.Log)
	if err != nil {
		return nil, err
	}
	return &checkedLog{File: f, want: e.Log, hash: sha256.New()}, nil
}

// checkedLog is a log that is compared with its hash as it is read.
type checkedLog struct {
	*os.File
	want Blob
	hash hash.Hash
}

// Read reads, and at the end checks, the log.
func (l *checkedLog) Read(p []byte) (int, error) {
	n, err := l.File.Read(p)
	l.hash.Write(p[:n])
	if errors.Is(err, io.EOF) && [sha256.Size]byte(l.hash.Sum(nil)) != l.want.SHA256 {
		err = errors.New("the stored log is damaged: it does not have its hash")
	}
	return n, err
}

// WriteTo is Read until the end: that of a file would not check it.
func (l *checkedLog) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{l})
}
