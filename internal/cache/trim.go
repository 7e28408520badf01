// Measuring the store and taking out what was not used for long.

package cache

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Stats measures a store. Bytes count the contents of files, not what the file system adds.
type Stats struct {
	Entries     int   `json:"entries"`
	Blobs       int   `json:"blobs"`
	Bytes       int64 `json:"bytes"` // of everything, the quarantine included
	Quarantined int   `json:"quarantined"`
	// last use of the entry that was not used for longest
	Oldest time.Time `json:"oldest,omitzero"`
	Newest time.Time `json:"newest,omitzero"` // last use of the entry that was used last
}

// Trimmed says what Trim took out.
type Trimmed struct {
	Entries int   `json:"entries"`
	Blobs   int   `json:"blobs"`
	Bytes   int64 `json:"bytes"`
}

// Stat measures the store without reading any entry.
func (s *Store) Stat() (Stats, error) {
	var st Stats
	err := s.walk(entriesDir, func(f stored) error {
		st.Entries++
		st.Bytes += f.size
		if st.Oldest.IsZero() || f.used.Before(st.Oldest) {
			st.Oldest = f.used
		}
		if f.used.After(st.Newest) {
			st.Newest = f.used
		}
		return nil
	})
	count := func(kind string, n *int) {
		err = errors.Join(err, s.walk(kind, func(f stored) error {
			*n++
			st.Bytes += f.size
			return nil
		}))
	}
	var others int
	count(blobsDir, &st.Blobs)
	count(quarantineDir, &st.Quarantined)
	count(remoteDir, &others)
	count(lastDir, &others)
	count(tmpDir, &others)
	return st, err
}

// stored is a file of the store.
type stored struct {
	path string
	size int64 // bytes
	used time.Time
}

// walk visits the files below a directory of the store. Files that vanish meanwhile are left out.
func (s *Store) walk(kind string, visit func(stored) error) error {
	err := filepath.WalkDir(s.path(kind), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return visit(stored{path, info.Size(), info.ModTime()})
	})
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return &StoreError{Doing: "look through the store", Err: pathErr}
	}
	return err
}

// Trim removes the entries not used for maxAge before now, then, beginning with those not used for
// longest, as many as it takes to bring the store down to maxBytes, and then every blob that no
// entry names. Zero means no limit. It waits for running Puts and Restores, and they for it.
func (s *Store) Trim(maxAge time.Duration, maxBytes int64, now time.Time) (Trimmed, error) {
	return s.trim(unix.LOCK_EX, maxAge, maxBytes, now)
}

// The limits of TrimDaily.
const (
	trimEvery  = 24 * time.Hour
	keepUnused = 60 * 24 * time.Hour
)

// TrimDaily removes what nobody has used for sixty days, unless that was tried within the last day
// or somebody is using the store right now. It is for the end of a build: it costs next to nothing
// when there is nothing to do.
func (s *Store) TrimDaily(now time.Time) (Trimmed, error) {
	at := s.path(trimFile)
	if info, err := os.Stat(at); err == nil && now.Sub(info.ModTime()).Abs() < trimEvery {
		return Trimmed{}, nil
	}
	if err := os.WriteFile(at, nil, 0o644); err != nil {
		return Trimmed{}, &StoreError{Doing: "note when the store was trimmed", Err: err}
	}
	// writing nothing into an empty file changes no time
	if err := os.Chtimes(at, now, now); err != nil {
		return Trimmed{}, &StoreError{Doing: "note when the store was trimmed", Err: err}
	}
	t, err := s.trim(unix.LOCK_EX|unix.LOCK_NB, keepUnused, 0, now)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return Trimmed{}, nil
	}
	return t, err
}

func (s *Store) trim(lock int, maxAge time.Duration, maxBytes int64, now time.Time) (Trimmed,
	error) {
	unlock, err := s.lock(lock)
	if err != nil {
		return Trimmed{}, err
	}
	defer unlock()
	t := trimmer{s: s, refs: map[string]int{}, sizes: map[string]int64{}}
	if err := t.read(); err != nil {
		return Trimmed{}, err
	}
	old := func(f stored) bool { return maxAge > 0 && now.Sub(f.used) > maxAge }
	t.removeOther(old)
	for _, e := range t.entries {
		if old(e.stored) || maxBytes > 0 && t.left > maxBytes {
			t.removeEntry(e)
		}
	}
	t.removeBlobs()
	return t.removed, t.err
}

// trimmer knows the whole store while nobody else writes to it.
type trimmer struct {
	s       *Store
	entries []trimEntry // least recently used first
	sizes   map[string]int64
	refs    map[string]int // how many entries name a blob
	left    int64          // bytes that will be left once blobs without references are gone
	removed Trimmed
	err     error
}

type trimEntry struct {
	stored
	blobs []string // paths, each once
}

func (t *trimmer) read() error {
	err := t.s.walk(blobsDir, func(f stored) error {
		t.sizes[f.path] = f.size
		return nil
	})
	if err != nil {
		return err
	}
	err = t.s.walk(entriesDir, func(f stored) error {
		e := trimEntry{stored: f, blobs: t.s.blobsOf(f.path)}
		t.left += f.size
		for _, b := range e.blobs {
			if t.refs[b]++; t.refs[b] == 1 {
				t.left += t.sizes[b]
			}
		}
		t.entries = append(t.entries, e)
		return nil
	})
	slices.SortFunc(t.entries, func(a, b trimEntry) int {
		return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.path, b.path))
	})
	return err
}

// blobsOf returns the paths of the blobs that the entry at path names: none when it cannot be read,
// for then nobody can use them either.
func (s *Store) blobsOf(path string) []string {
	data, _, err := readRegular(path, maxEntry)
	if err != nil {
		return nil
	}
	e, err := decodeEntry(data)
	if err != nil {
		return nil
	}
	var paths []string
	for _, b := range e.blobs() {
		paths = append(paths, s.blobPath(b.SHA256))
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// removeOther takes out old records, the old quarantine, and what killed writers left.
func (t *trimmer) removeOther(old func(stored) bool) {
	for kind, which := range map[string]func(stored) bool{
		remoteDir:     old,
		lastDir:       old,
		quarantineDir: old,
		tmpDir:        func(stored) bool { return true },
	} {
		t.keep(t.s.walk(kind, func(f stored) error {
			if which(f) {
				t.remove(f.path, f.size)
			} else {
				t.left += f.size
			}
			return nil
		}))
	}
}

func (t *trimmer) keep(err error) { t.err = errors.Join(t.err, err) }

func (t *trimmer) remove(path string, size int64) bool {
	err := os.Remove(path)
	if err == nil {
		t.removed.Bytes += size
		return true
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.keep(&StoreError{Doing: "trim the store", Err: err})
	}
	return false
}

func (t *trimmer) removeEntry(e trimEntry) {
	if !t.remove(e.path, e.size) {
		return // its blobs stay, too
	}
	t.removed.Entries++
	t.left -= e.size
	for _, b := range e.blobs {
		if t.refs[b]--; t.refs[b] == 0 {
			t.left -= t.sizes[b]
		}
	}
}

func (t *trimmer) removeBlobs() {
	for path, size := range t.sizes {
		if t.refs[path] == 0 && t.remove(path, size) {
			t.removed.Blobs++
		}
	}
}
