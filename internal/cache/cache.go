// Package cache stores what builds made: a content-addressed store of step outputs, shared by
// checkouts and processes, the transcripts of what outputs were made from, and a memo of file
// hashes. Its model is the build cache of the go command (cmd/go/internal/cache). It trusts nothing
// in the store: entries and blobs are checked whenever they are returned, and damaged files are
// moved aside. Packages executor and build use it; remote shares its entries.
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
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"buildsys/internal/atomicfile"
	"buildsys/internal/confined"
	"buildsys/internal/errkind"
)

// storeFormat is the version of the store's format. A program refuses a store with a higher one.
const storeFormat = 1

// The names in a store's directory. The files in entries, blobs, known, last and makers (maker.go)
// are in subdirectories named by the first byte of their names.
const (
	entriesDir    = "entries"    // <action ID>: an Entry as text
	blobsDir      = "blobs"      // <sha256>: the bytes of an output or a log
	remoteDir     = "known"      // <action ID>: a remote entry
	lastDir       = "last"       // <sha256 of a step's name>: how long it took
	quarantineDir = "quarantine" // damaged files
	tmpDir        = "tmp"        // files being written
	lockFile      = "lock"
	formatFile    = "format"
	readmeFile    = "README"
	trimFile      = "trimmed" // its time is that of the last attempt of TrimDaily
)

const readme = `This directory holds outputs of steps that buildsys has run, so no step runs twice.
Checkouts and running buildsys processes share it. Everything is checked before it is used.

  buildsys cache stat     shows what is in here
  buildsys cache trim     removes old results; those unused for 60 days are removed anyway
  buildsys cache verify   reads everything and moves damaged files to quarantine/

It is safe to delete this directory while no buildsys is running; steps then run again.
`

// Store is a directory of entries and blobs. It is safe for concurrent use by goroutines and
// processes.
type Store struct {
	Dir string
	// Warn is called with damage found and moved aside, perhaps concurrently; nil for silence.
	Warn func(string)

	stage func(name string) // called between the stages of Put, for tests; may be nil
}

// FormatError means that a newer program made a store.
type FormatError struct {
	Dir           string
	Found, Newest int
}

// Error returns the formats and what to do.
func (e *FormatError) Error() string {
	return fmt.Sprintf("the store %s has format %d, but this buildsys supports formats up to %d: "+
		"use the newer buildsys that made it, or another cache directory (BUILDSYS_CACHE_DIR)",
		e.Dir, e.Found, e.Newest)
}

// ErrorKind returns errkind.Environment.
func (*FormatError) ErrorKind() errkind.Kind { return errkind.Environment }

// Open returns the store in dir, creating it if necessary. Who else can write there is not checked
// (cachedir.Dir.CheckOwner). The error is a *FormatError if a newer program made the store, and a
// *StoreError if the file system fails.
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

// reach reports a stage of Put.
func (s *Store) reach(stage string) {
	if s.stage != nil {
		s.stage(stage)
	}
}

// formatText returns the content of the format file. It ends with a checksum, so that a flipped bit
// is not mistaken for a newer format.
func formatText(n int) string {
	line := fmt.Sprintf("buildsys store %d", n)
	sum := sha256.Sum256([]byte(line))
	return line + " " + hex.EncodeToString(sum[:4]) + "\n"
}

// maxFormat is more than any formatText.
const maxFormat = 1 << 10

func (s *Store) checkFormat() error {
	data, _, err := readRegular(s.path(formatFile), maxFormat)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errNotRegular) {
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
	// The file is missing or damaged. Every entry and blob is checked anyway, so rewrite it.
	return s.writeSmall(s.path(formatFile), []byte(formatText(storeFormat)), true)
}

// removeLeftovers deletes what killed processes left in tmp, unless another process is writing.
func (s *Store) removeLeftovers() {
	names, err := confined.List(s.path(tmpDir))
	if err != nil || len(names) == 0 {
		return
	}
	unlock, err := s.lock(unix.LOCK_EX | unix.LOCK_NB)
	if err != nil {
		return
	}
	defer unlock()
	for _, name := range names { // they are older than the lock, so no writer uses them
		_ = os.Remove(s.path(tmpDir, name.Name()))
	}
}

// lockWait is longer than anybody holds the lock who means well: whoever may read the store may
// hold it. Replaced by tests.
var lockWait = 10 * time.Minute

// waitForLock takes a lock on a file, and waits for it unless how has LOCK_NB.
func waitForLock(f *os.File, how int) error {
	for deadline := time.Now().Add(lockWait); ; <-time.After(100 * time.Millisecond) {
		err := atomicfile.Lock(f, how|unix.LOCK_NB,
			"use another cache directory (BUILDSYS_CACHE_DIR)")
		if !errors.Is(err, unix.EWOULDBLOCK) || how&unix.LOCK_NB != 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("another process has held the lock %s for %v: end it (fuser shows it), or "+
				"use another cache directory (BUILDSYS_CACHE_DIR)", f.Name(), lockWait)
		}
	}
}

// lock takes the store's lock: writers share it, and trimming excludes them. A holder of the shared
// lock may take it again.
func (s *Store) lock(how int) (unlock func(), err error) {
	// On NFS an exclusive lock needs a file that is open for writing.
	f, err := os.OpenFile(s.path(lockFile), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o644)
	if errors.Is(err, fs.ErrPermission) && how == unix.LOCK_SH { // of another user, who lets us read
		f, err = os.OpenFile(s.path(lockFile), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	}
	if err != nil {
		return nil, &StoreError{Doing: "lock the store", Err: err}
	}
	if err := waitForLock(f, how); err != nil {
		_ = f.Close()
		return nil, &StoreError{Doing: "lock the store", Err: err}
	}
	return func() { _ = f.Close() }, nil
}
