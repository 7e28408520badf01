// entry.go: checking what is already in the store, and moving damaged entries aside.

package fetch

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"buildsys/internal/progress"
)

type entryState int

const (
	entryNone entryState = iota
	entryGood
	entryBad
)

// inspect hashes the store's entry of j, if there is one.
func (j *job) inspect(ctx context.Context) (entryState, error) {
	st, err := os.Lstat(j.final)
	if errors.Is(err, fs.ErrNotExist) {
		return entryNone, nil
	}
	if err != nil {
		return entryNone, storeError("look at", j.final, err)
	}
	if !st.Mode().IsRegular() { // a symlink or directory was never put there by us
		return entryBad, nil
	}
	sum, err := hashFile(ctx, j.final)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) { // moved aside by another process just now
			return entryNone, nil
		}
		return entryNone, storeError("read", j.final, err)
	}
	if sum != j.file.SHA512 {
		return entryBad, nil
	}
	return entryGood, nil
}

// quarantine renames a damaged entry to <name>.bad-<n>, so that it can be looked at, and says so.
func (j *job) quarantine() error {
	for n := 1; ; n++ {
		bad := fmt.Sprintf("%s.bad-%d", j.final, n)
		if _, err := os.Lstat(bad); err == nil {
			continue
		}
		if err := os.Rename(j.final, bad); err != nil {
			return storeError("move aside", j.final, err)
		}
		j.emit(progress.Warning, fmt.Sprintf("%s in the source store did not have its sha512 any more; "+
			"it was moved to %s and is fetched again; check that disk", j.name, bad), nil)
		return nil
	}
}

// hashFile returns the sha512 of a file's bytes in hex.
func hashFile(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha512.New()
	if _, err := io.Copy(h, ctxReader{ctx, f}); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// ctxReader ends a long copy soon after the context does.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}
