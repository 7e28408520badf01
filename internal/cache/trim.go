// trim: measures the store and removes what has not been used for long.

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

	"buildsys/internal/atomicfile"
)

// Stats measures a store. Bytes are those of file contents, without the file system's overhead.
type Stats struct {
	Entries     int   `json:"entries"`
	Blobs       int   `json:"blobs"`
	Bytes       int64 `json:"bytes"` // of everything, including the quarantine
	Quarantined int   `json:"quarantined"`
	// Oldest is the last use of the least recently used entry.
	Oldest time.Time `json:"oldest,omitzero"`
	Newest time.Time `json:"newest,omitzero"` // last use of the most recently used entry
}

// Trimmed counts what Trim removed.
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
	count(makersDir, &others)
	count(tmpDir, &others)
	return st, err
}

// stored is a file of the store.
type stored struct {
	path string
	size int64 // bytes
	used time.Time
}

// walk visits the files below a directory of the store. It ignores files that vanish meanwhile.
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

// Trim removes the entries not used for maxAge before now, then the least recently used ones until
// the store has at most maxBytes, and then every blob that no entry names. Zero means no limit. It
// waits for running Puts and Restores, and they wait for it.
func (s *Store) Trim(maxAge time.Duration, maxBytes int64, now time.Time) (Trimmed, error) {
	return s.trim(unix.LOCK_EX, maxAge, maxBytes, now)
}

// The limits of TrimDaily.
const (
	trimEvery  = 24 * time.Hour
	keepUnused = 60 * 24 * time.Hour
	// trimGap is how long after the last time the clock is believed. A clock that is two months
	// ahead would empty the store.
	trimGap = 7 * 24 * time.Hour
)

// TrimDaily removes what has not been used for sixty days, unless it was tried within the last day
// or another process is using the store. After a longer pause it only starts to count again: the
// clock may be wrong, or the machine was off. It is meant for the end of a build and costs next to
// nothing when there is nothing to do.
func (s *Store) TrimDaily(now time.Time) (Trimmed, error) {
	at := s.path(trimFile)
	info, err := os.Lstat(at)
	known := err == nil && info.Mode().IsRegular()
	if known && now.Sub(info.ModTime()).Abs() < trimEvery {
		return Trimmed{}, nil
	}
	if err := s.noteTrim(at, now); err != nil {
		return Trimmed{}, &StoreError{Doing: "record when the store was trimmed", Err: err}
	}
	if known && now.Sub(info.ModTime()).Abs() > trimGap {
		return Trimmed{}, nil
	}
	if !known { // nothing but the store's own files tells what time it may be
		if now, err = s.notAfter(now); err != nil {
			return Trimmed{}, err
		}
	}
	t, err := s.trim(unix.LOCK_EX|unix.LOCK_NB, keepUnused, 0, now)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return Trimmed{}, nil
	}
	return t, err
}

// noteTrim makes the file at a path, or a new one in the place of a link, and gives it a time.
func (s *Store) noteTrim(at string, now time.Time) error {
	if err := atomicfile.Replace(at, nil, 0o644); err != nil {
		return err
	}
	return os.Chtimes(at, now, now)
}

// notAfter returns now, or a time soon before the entry that was used last would be unused for too
// long if that is earlier.
func (s *Store) notAfter(now time.Time) (time.Time, error) {
	var newest time.Time
	err := s.walk(entriesDir, func(f stored) error {
		if f.used.After(newest) {
			newest = f.used
		}
		return nil
	})
	if latest := newest.Add(keepUnused - trimEvery); !newest.IsZero() && now.After(latest) {
		now = latest
	}
	return now, err
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

// trimmer holds the content of the whole store while it has the lock.
type trimmer struct {
	s       *Store
	entries []trimEntry // least recently used first
	sizes   map[string]int64
	refs    map[string]int // number of entries that name a blob
	left    int64          // bytes left once blobs without references are removed
	removed Trimmed
	err     error
}

type trimEntry struct {
	stored
	blobs []string // paths, without duplicates
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

// blobsOf returns the paths of the blobs that the entry at path names. An entry that cannot be read
// names none, because nothing can use its blobs.
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

// removeOther removes old records, the old quarantine, and what killed writers left.
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
		return // keep its blobs too
	}
	t.s.removeMaker(e.path)
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
