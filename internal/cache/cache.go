// Package cache remembers what builds made: a content-addressed store of step outputs, outside of
// the checkout and shared by checkouts and processes, the transcripts that say what an output was
// made from, and a memo of file hashes.
//
// An action ID is the hash of everything that goes into a step; a content ID is the hash of what
// came out. Steps name their dependencies by content ID, so a dependency that is rebuilt to the
// same bytes rebuilds nothing above it. The model is the build cache of the go command (in
// cmd/go/internal: package cache, and buildid.go of package work).
//
// Nothing in the store is trusted: entries carry a checksum of themselves, blobs are named by
// theirs, and both are checked whenever they are handed out. Whatever is wrong is moved aside and
// treated as never having been there.
package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"buildsys/internal/errkind"
)

// storeFormat is the version of the layout below. A program refuses a store with a higher one.
const storeFormat = 1

// The names in a store's directory. Entries, blobs, known and last are divided by the first byte of
// the names they hold.
const (
	entriesDir    = "entries"    // <action ID>: one Entry as text
	blobsDir      = "blobs"      // <sha256>: the bytes of an output or a log
	remoteDir     = "known"      // <action ID>: one remote Entry
	lastDir       = "last"       // <sha256 of a key>: the last action of that key
	quarantineDir = "quarantine" // what was found damaged
	tmpDir        = "tmp"        // what is being written
	lockFile      = "lock"
	formatFile    = "format"
	readmeFile    = "README"
	trimFile      = "trimmed" // its time is when TrimDaily last tried
)

const readme = `This directory holds the outputs of steps that buildsys has run, so that no step runs twice.
Several checkouts and several running buildsys share it. Everything is checked before it is used.

  buildsys cache stat     says what is in here
  buildsys cache trim     removes what was not used for long; what was not for 60 days goes by itself
  buildsys cache verify   reads everything and moves what is damaged to quarantine/

It is safe to delete this directory while no buildsys runs; steps then run again.
`

// Store is a directory of entries and blobs. Its methods may be called at the same time from any
// number of goroutines and processes.
type Store struct {
	Dir string
	// told about damage found and moved aside; nil for silence; may be called concurrently
	Warn func(string)

	stage func(name string) // called between the stages of Put, for tests that stop there; may be nil
}

// FormatError says that a store was made by a newer program.
type FormatError struct {
	Dir           string
	Found, Newest int
}

// Error names the ways out.
func (e *FormatError) Error() string {
	return fmt.Sprintf("the store %s has format %d, and this buildsys knows formats up to %d: "+
		"use the newer buildsys that made it, or another cache directory (BUILDSYS_CACHE_DIR)", e.Dir, e.Found, e.Newest)
}

// ErrorKind returns errkind.Environment.
func (*FormatError) ErrorKind() errkind.Kind { return errkind.Environment }

// Open returns the store in dir and makes it when it is not there. It fails with a *FormatError
// when a newer program made the store, and with a *StoreError when the file system refuses.
func Open(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, &StoreError{Doing: "find the store", Err: err}
	}
	s := &Store{Dir: dir}
	for _, sub := range []string{entriesDir, blobsDir, remoteDir, lastDir, quarantineDir, tmpDir} {
		if err := os.MkdirAll(s.path(sub), 0o755); err != nil {
			return nil, &StoreError{Doing: "make the store", Err: err}
		}
	}
	if err := s.prepare(); err != nil {
		return nil, err
	}
	s.removeLeftovers()
	return s, nil
}

func (s *Store) prepare() error {
	unlock, err := s.lock(unix.LOCK_SH)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.checkFormat(); err != nil {
		return err
	}
	if _, err := os.Lstat(s.path(readmeFile)); errors.Is(err, fs.ErrNotExist) {
		return s.writeSmall(s.path(readmeFile), []byte(readme), false)
	}
	return nil
}

func (s *Store) path(parts ...string) string {
	return filepath.Join(append([]string{s.Dir}, parts...)...)
}

func (s *Store) warn(format string, args ...any) {
	if s.Warn != nil {
		s.Warn(fmt.Sprintf(format, args...))
	}
}

// AtStages has f called between the stages of Put, for tests that stop there.
func (s *Store) AtStages(f func(name string)) { s.stage = f }

// reach marks a stage of Put.
func (s *Store) reach(stage string) {
	if s.stage != nil {
		s.stage(stage)
	}
}

// formatText is the content of the format file: its line ends in a checksum, so that a flipped bit
// is not mistaken for a newer format.
func formatText(n int) string {
	line := fmt.Sprintf("buildsys store %d", n)
	sum := sha256.Sum256([]byte(line))
	return line + " " + hex.EncodeToString(sum[:4]) + "\n"
}

func (s *Store) checkFormat() error {
	data, err := os.ReadFile(s.path(formatFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &StoreError{Doing: "read the store's format", Err: err}
	}
	if string(data) == formatText(storeFormat) {
		return nil
	}
	first, _, _ := strings.Cut(string(data), "\n")
	if words := strings.Fields(first); len(words) == 4 {
		if n, err := strconv.Atoi(words[2]); err == nil && n > storeFormat &&
			first+"\n" == formatText(n) {
			return &FormatError{Dir: s.Dir, Found: n, Newest: storeFormat}
		}
	}
	// Absent or damaged. Every entry and blob proves itself, so the file can be written again without
	// a doubt about them.
	return s.writeSmall(s.path(formatFile), []byte(formatText(storeFormat)), true)
}

// removeLeftovers deletes what killed processes left in tmp, unless somebody is writing now.
func (s *Store) removeLeftovers() {
	names, err := os.ReadDir(s.path(tmpDir))
	if err != nil || len(names) == 0 {
		return
	}
	unlock, err := s.lock(unix.LOCK_EX | unix.LOCK_NB)
	if err != nil {
		return
	}
	defer unlock()
	for _, name := range names { // those seen before the lock was ours: their writers are done or dead
		_ = os.Remove(s.path(tmpDir, name.Name()))
	}
}

// lock takes the store's lock: all who write share it, and trimming excludes them. Whoever holds it
// shared may take it shared once more.
func (s *Store) lock(how int) (unlock func(), err error) {
	f, err := os.OpenFile(s.path(lockFile), os.O_RDONLY|os.O_CREATE, 0o644)
	if err != nil {
		return nil, &StoreError{Doing: "lock the store", Err: err}
	}
	for {
		err = unix.Flock(int(f.Fd()), how)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, unix.EINTR) {
			_ = f.Close()
			return nil, &StoreError{Doing: "lock the store", Err: &os.PathError{Op: "flock", Path: f.Name(),
				Err: err}}
		}
	}
}
