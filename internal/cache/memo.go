// memo: remembers file hashes, so that a run without changes reads no file's bytes.

package cache

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"buildsys/internal/atomicfile"
	"buildsys/internal/confined"
)

// racyWindow is how long a file must be unchanged before its hash is remembered. A file that
// changes twice within one tick of the file system's clock, without changing its size, looks the
// same after both changes (git's "racily clean" index entries). Two seconds is the coarsest clock
// in use.
const racyWindow = 2 * time.Second

// memoDays is how long an unused hash is kept.
const memoDays = 30

// Memo remembers the hashes of files by path, size, times and inode. It is safe for concurrent use.
type Memo struct {
	ctx context.Context // ends the reading of files
	now func() time.Time

	mu      sync.Mutex
	known   map[string]memoEntry
	changed bool // since Load or Save
}

type memoEntry struct {
	id  fileID
	sum [32]byte
	day int64 // of the last use, counted from 1970
}

// fileID changes whenever a file's bytes do. Unlike the other fields, programs cannot set the
// change time.
type fileID struct {
	size, mtime, ctime int64 // bytes, nanoseconds, nanoseconds
	dev, inode         uint64
}

// NewMemo returns an empty memo, whose reading of files ends with ctx.
func NewMemo(ctx context.Context) *Memo {
	return &Memo{ctx: ctx, now: time.Now, known: map[string]memoEntry{}}
}

// HashFile returns the sha256 of the file at path, from memory if the file has not changed since it
// was hashed. It follows links.
func (m *Memo) HashFile(path string) ([32]byte, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return [32]byte{}, err
	}
	id, err := identify(path)
	if err != nil {
		return [32]byte{}, err
	}
	today := m.now().Unix() / (24 * 60 * 60)
	m.mu.Lock()
	e, ok := m.known[path]
	if ok && e.id == id {
		if e.day != today {
			e.day, m.changed = today, true
			m.known[path] = e
		}
		m.mu.Unlock()
		return e.sum, nil
	}
	m.mu.Unlock()
	return m.rehash(path, today)
}

// ScanDir is ScanDir with hashes from the memo.
func (m *Memo) ScanDir(dir string) ([]File, ContentID, error) { return scanDir(dir, m.HashFile) }

// rehash reads the file and remembers its hash, unless the file may have changed unnoticed.
func (m *Memo) rehash(path string, today int64) ([32]byte, error) {
	start := m.now()
	before, err := identify(path)
	if err != nil {
		return [32]byte{}, err
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return [32]byte{}, err
	}
	sum, err := hashFile(m.ctx, real)
	if err != nil {
		return sum, err
	}
	after, err := identify(path)
	if err != nil {
		return sum, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if before == after && start.UnixNano()-max(after.mtime, after.ctime) >= int64(racyWindow) {
		m.known[path] = memoEntry{id: after, sum: sum, day: today}
		m.changed = true
	} else if _, ok := m.known[path]; ok {
		delete(m.known, path)
		m.changed = true
	}
	return sum, nil
}

func identify(path string) (fileID, error) {
	var st syscall.Stat_t
	if err := ignoringEINTR(func() error { return syscall.Stat(path, &st) }); err != nil {
		return fileID{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	modified, changed := confined.Times(&st)
	return fileID{
		size: st.Size, mtime: modified, ctime: changed,
		dev: uint64(st.Dev), inode: uint64(st.Ino), // the types differ between architectures
	}, nil
}

func ignoringEINTR(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// maxMemo is the size in bytes of the largest file of hashes that is read: that of a million files.
const maxMemo = 256 << 20

const memoHeader = "buildsys hashes 1\n"

// Load adds the hashes that Save wrote to the file at path. A missing or damaged file adds nothing.
func (m *Memo) Load(path string) {
	data, _, err := readRegular(path, maxMemo)
	if err != nil {
		return
	}
	text, err := checkSum(data)
	if err != nil {
		return
	}
	rest, ok := strings.CutPrefix(text, memoHeader)
	if !ok {
		return
	}
	read := make(map[string]memoEntry, strings.Count(rest, "\n"))
	for line := range strings.Lines(rest) {
		name, e, err := parseMemoLine(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return
		}
		read[name] = e
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.known) == 0 {
		m.known = read
		return
	}
	for name, e := range read {
		if _, ok := m.known[name]; !ok {
			m.known[name] = e
		}
	}
}

// Save replaces the file at path by the hashes in the memo, if there are new ones since Load. It
// leaves out hashes not used for memoDays. Losing the file costs only time, so it is not forced to
// disk. Below top, the checkout, no link is followed; an empty top is no limit.
func (m *Memo) Save(top, path string) error {
	m.mu.Lock()
	if !m.changed {
		m.mu.Unlock()
		return nil
	}
	oldest := m.now().Unix()/(24*60*60) - memoDays
	text := []byte(memoHeader)
	for name, e := range m.known {
		if e.day >= oldest {
			text = appendMemoLine(text, name, e)
		}
	}
	m.changed = false
	m.mu.Unlock()
	dir, err := confined.Hold(top, filepath.Dir(path))
	if err == nil {
		name := filepath.Base(path)
		err = dir.Fault("replace", name,
			atomicfile.Replace(dir.Path(name), appendSum(string(text)), 0o600))
		dir.Close()
	}
	if err != nil {
		return &StoreError{Doing: "save the hashes of files", Err: err}
	}
	return nil
}

func appendMemoLine(to []byte, name string, e memoEntry) []byte {
	to = hex.AppendEncode(to, e.sum[:])
	for _, n := range []int64{e.id.size, e.id.mtime, e.id.ctime, int64(e.id.dev), int64(e.id.inode),
		e.day} {
		to = append(to, ' ')
		to = strconv.AppendInt(to, n, 10)
	}
	to = append(to, ' ')
	to = append(to, word(name)...)
	return append(to, '\n')
}

func parseMemoLine(line string) (name string, e memoEntry, err error) {
	const digits = 2 * len(e.sum)
	if len(line) < digits {
		return "", e, errors.New("short line")
	}
	if _, err := hex.Decode(e.sum[:], []byte(line[:digits])); err != nil {
		return "", e, err
	}
	rest, ok := strings.CutPrefix(line[digits:], " ")
	var numbers [6]int64
	for i := range numbers {
		if !ok {
			return "", e, errors.New("short line")
		}
		var one string
		one, rest, ok = strings.Cut(rest, " ")
		if numbers[i], err = strconv.ParseInt(one, 10, 64); err != nil {
			return "", e, err
		}
	}
	names, err := parseLine(rest)
	if err != nil || len(names) != 1 {
		return "", e, errors.New("bad name")
	}
	e.id = fileID{numbers[0], numbers[1], numbers[2], uint64(numbers[3]), uint64(numbers[4])}
	e.day = numbers[5]
	return names[0], e, nil
}
