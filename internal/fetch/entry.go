// entry: checks the entries of the store and moves damaged ones aside.

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

	"buildsys/internal/confined"
	"buildsys/internal/ctxio"
	"buildsys/internal/progress"
)

type entryState int

const (
	entryNone entryState = iota
	entryGood
	entryBad
)

// inspect returns the state of the store's entry of j, by its hash.
func (j *job) inspect(ctx context.Context) (entryState, error) {
	st, err := os.Lstat(j.final)
	if errors.Is(err, fs.ErrNotExist) {
		return entryNone, nil
	}
	if err != nil {
		return entryNone, storeError("look at", j.final, err)
	}
	if !st.Mode().IsRegular() { // the store never made a symlink or directory there
		return entryBad, nil
	}
	sum, err := hashFile(ctx, j.final)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) { // another process has just moved it aside
			return entryNone, nil
		}
		return entryNone, storeError("read", j.final, err)
	}
	if sum != j.file.SHA512 {
		return entryBad, nil
	}
	return entryGood, nil
}

// quarantine renames a damaged entry to <name>.bad-<n>, where it can be examined, and warns.
func (j *job) quarantine() error {
	for n := 1; ; n++ {
		bad := fmt.Sprintf("%s.bad-%d", j.final, n)
		if _, err := os.Lstat(bad); err == nil {
			continue
		}
		if err := os.Rename(j.final, bad); err != nil {
			return storeError("move aside", j.final, err)
		}
		j.emit(progress.Warning, fmt.Sprintf("%s in the source store no longer had its sha512; "+
			"it was moved to %s and is fetched again; check that disk", j.name, bad), nil)
		return nil
	}
}

// hashFile returns the sha512 of a file in hex.
func hashFile(ctx context.Context, path string) (string, error) {
	f, err := confined.Path{Name: path}.Open()
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha512.New()
	if _, err := io.Copy(h, ctxio.NewReader(ctx, f)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
