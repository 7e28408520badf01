// Step: one step's use of its space, within bounds. Whoever speaks to it may be hostile.

package objects

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"buildsys/internal/bytesize"
	"buildsys/internal/errkind"
)

// MaxValue is the largest value that is kept, in bytes. Go archives of large packages have tens of
// megabytes, objects of ccache rarely one.
const MaxValue = 64 << 20

// What one step may do. Replaced by tests.
var (
	maxConns   = 256               // at once: one for each compiler that runs
	maxStored  = 4 << 30           // bytes of values
	maxObjects = 200_000           // that it leaves
	maxServed  = 64 << 30          // bytes of values
	maxAudited = 10_000            // objects that are compiled again
	maxAsked   = int64(10_000_000) // commands
	slowDisk   = 5 * time.Second
)

// Use is how a run uses a store; nil for not at all.
type Use struct {
	Store    *Store
	SDK      string
	Arch     string
	Domain   string
	ReadOnly bool // steps leave nothing
	// Audit is the share, in percent, of known objects that are withheld, so that the compiler makes
	// them again and they can be compared.
	Audit int
	Warn  func(text string) // at most once for each package
	// Fetch fills an empty file with the pack of a space that other machines have shared; the error is
	// fs.ErrNotExist if there is none. It is called for a space without objects, and may be nil.
	Fetch func(space string, to *os.File) error
	// Share gives the pack of a space to other machines. It owns the file from then on. It may be nil.
	Share func(space, file string) error

	// Room is how many bytes all steps together may keep; 0 is no limit.
	Room int64

	mu    sync.Mutex
	total Stats
	kept  int64
}

// Stats counts what steps asked for.
type Stats struct {
	Asked    int64 // objects asked for
	Known    int64 // of these, served
	Kept     int64 // new ones kept
	Compared int64 // of those asked for, known, compiled again, and the same
	Served   int64 // bytes of those known
	Stored   int64 // bytes of those kept
	Refused  int64 // connections that broke a rule or the protocol
}

// String returns a sentence: "1,351 of 1,352 objects known, 13 of them compared, 2.1 MiB; 1 kept".
func (s Stats) String() string {
	text := fmt.Sprintf("%s of %s objects known", commas(s.Known+s.Compared), commas(s.Asked))
	if s.Compared > 0 {
		text += fmt.Sprintf(" (%s compiled again, the same)", commas(s.Compared))
	}
	text += ", " + bytesize.Format(s.Served) + " sent"
	if s.Kept > 0 {
		text += fmt.Sprintf("; %s kept, %s", commas(s.Kept), bytesize.Format(s.Stored))
	}
	if s.Refused > 0 {
		text += fmt.Sprintf("; refused connections: %s", commas(s.Refused))
	}
	return text
}

// commas formats a number with commas between thousands.
func commas(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// Add adds another step's.
func (s *Stats) Add(t Stats) {
	s.Asked += t.Asked
	s.Known += t.Known
	s.Kept += t.Kept
	s.Compared += t.Compared
	s.Served += t.Served
	s.Stored += t.Stored
	s.Refused += t.Refused
}

// Total returns what all steps together have done that are closed.
func (u *Use) Total() Stats {
	if u == nil {
		return Stats{}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.total
}

// Step is the use of a space by one attempt of one step. A nil Step serves nothing.
type Step struct {
	use   *Use
	pkg   string
	space space
	slots chan struct{} // one for each connection
	asked atomic.Int64  // commands
	read  atomic.Int64  // bytes of values, also of those that were not served
	slow  atomic.Bool   // the disk is, or it is full: nothing is known or kept any more

	mu        sync.Mutex
	stats     Stats
	room      int64             // bytes that may still be kept
	left      int               // objects that may still be kept
	withheld  map[string]bool   // keys of known objects that are to be compiled again
	open      map[io.Closer]int // connections
	closed    bool
	different *DifferenceError
}

// DifferenceError means that a compiler made another object than the one that is kept under the
// same key, so results with objects of that space are not to be believed.
type DifferenceError struct {
	Package string
	Key     string
	Dir     string // of the space
}

// Error names the package, and what to do.
func (e *DifferenceError) Error() string {
	return fmt.Sprintf("the compiler made another object of %s than the one that is kept for the "+
		"same input (%s): what was built with kept objects of %s may be wrong. They are out of use "+
		"from now on, in %s; find out who wrote them, and build again what used them: "+
		"remove the store, and use --compile-cache=off", e.Package, e.Key, e.Package, e.Dir)
}

// ErrorKind returns errkind.Integrity.
func (*DifferenceError) ErrorKind() errkind.Kind { return errkind.Integrity }

// Step returns the use of the space of a package, or nil if it cannot or must not be used.
func (u *Use) Step(pkg string) *Step {
	if u == nil {
		return nil
	}
	sp, err := u.Store.open(Space{u.SDK, u.Arch, pkg, u.Domain})
	switch {
	case err != nil:
		u.warn("compiled objects of %s are not used: %v", pkg, err)
		return nil
	case sp.spoiled():
		u.warn("compiled objects of %s are not used, because one differed from what the compiler made "+
			"(%s); remove that directory to begin anew", pkg, sp.dir)
		return nil
	}
	u.fetch(pkg, sp)
	return &Step{use: u, pkg: pkg, space: sp, slots: make(chan struct{}, maxConns),
		room: int64(maxStored), left: maxObjects, withheld: map[string]bool{},
		open: map[io.Closer]int{}}
}

func (u *Use) warn(format string, args ...any) {
	if u.Warn != nil {
		u.Warn(fmt.Sprintf(format, args...))
	}
}

// Close ends all connections. It returns what the step did, and a *DifferenceError if an object was
// not what the compiler made. Other machines get the objects of a step that went well.
func (s *Step) Close(well bool) (Stats, error) {
	if s == nil {
		return Stats{}, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		for c := range s.open {
			_ = c.Close()
		}
		s.use.mu.Lock()
		s.use.total.Add(s.stats)
		s.use.mu.Unlock()
		if well && s.stats.Kept > 0 && s.different == nil {
			s.use.share(s.pkg, s.space)
		}
	}
	if s.different != nil {
		return s.stats, s.different
	}
	return s.stats, nil
}

// count changes the statistics.
func (s *Step) count(change func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.stats)
}

// find returns the object with a key, or nil if there is none or it is withheld.
func (s *Step) find(key string) *entry {
	if s.slow.Load() {
		return nil
	}
	if s.space.spoiled() {
		return nil
	}
	e, err := s.get(key)
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.withheld[key] || len(s.withheld) < maxAudited && chosen(s.use.Audit) {
		s.withheld[key] = true
	} else if s.stats.Served+e.size <= int64(maxServed) {
		return e
	}
	_ = e.Close()
	return nil
}

// get reads an object from a disk that may be too slow.
func (s *Step) get(key string) (*entry, error) {
	defer s.hurry()()
	e, err := s.space.get(key)
	if err == nil && s.read.Add(e.size) > 2*int64(maxServed) {
		s.give("the step asks for more than any compiler")
	}
	return e, err
}

// have reports whether there is an object with a key that is not to be compiled again.
func (s *Step) have(key string) bool {
	s.mu.Lock()
	again := s.withheld[key]
	s.mu.Unlock()
	if again || s.slow.Load() {
		return false
	}
	defer s.hurry()()
	_, err := os.Lstat(s.space.object(key))
	return err == nil
}

// remove removes an object that a client cannot use, and returns how many there were.
func (s *Step) remove(key string) int {
	if s.use.ReadOnly || s.slow.Load() || os.Remove(s.space.object(key)) != nil {
		return 0
	}
	return 1
}

// chosen returns true in so many percent of calls. Nobody can foresee in which.
func chosen(percent int) bool {
	if percent <= 0 {
		return false
	}
	n, err := rand.Int(rand.Reader, big.NewInt(100))
	return err == nil && n.Int64() < int64(percent)
}

// hurry stops the use of a disk that is too slow to save time: nothing is known from then on. The
// caller calls done when the disk has answered.
func (s *Step) hurry() (done func()) {
	t := time.AfterFunc(slowDisk, func() { s.give("the disk is too slow") })
	return func() { t.Stop() }
}

// give gives up: nothing is known or kept for the rest of the step.
func (s *Step) give(why string) {
	if !s.slow.Swap(true) {
		s.use.warn("compiled objects of %s are not used any more in this run: %s", s.pkg, why)
	}
}

// reserve reports whether the run may keep so many more bytes, and counts them.
func (u *Use) reserve(size int64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.Room > 0 && u.kept+size > u.Room {
		return false
	}
	u.kept += size
	return true
}

// reserve reports whether a value of a size may be kept, and counts it.
func (s *Step) reserve(size int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.room < size || s.left == 0 || s.slow.Load() || !s.use.reserve(size) {
		return false
	}
	s.room -= size
	s.left--
	return true
}

// keep reads a value of a size that the step offers under a key. Whatever becomes of it, it reads
// all of it; its error is that of reading.
func (s *Step) keep(key string, value *io.LimitedReader) error {
	err := s.take(key, value)
	if _, e := io.Copy(io.Discard, value); e != nil || value.N > 0 {
		return errors.Join(e, io.ErrUnexpectedEOF)
	}
	if err != nil {
		s.give(err.Error())
	}
	return nil
}

// take keeps a value, or compares it with the one that was withheld. Its error is one of the disk.
func (s *Step) take(key string, value *io.LimitedReader) error {
	s.mu.Lock()
	again := s.withheld[key]
	s.mu.Unlock()
	var old *entry
	if s.slow.Load() {
		return nil
	}
	if e, err := s.get(key); err == nil {
		defer e.Close()
		old = e
	}
	size := value.N
	switch {
	case old != nil && !again, old == nil && s.use.ReadOnly:
		return nil
	case s.space.spoiled(), !s.reserve(size):
		return nil
	}
	w, err := s.space.writer(key)
	if err != nil {
		return err
	}
	defer w.Discard()
	var same comparison
	var to io.Writer = slowWriter{w, s}
	if old != nil {
		same = comparison{key: key, old: old, size: old.size}
		to = io.MultiWriter(to, &same)
	}
	if _, err := io.Copy(to, value); err != nil {
		if _, disk := errors.AsType[*os.PathError](err); disk {
			return err
		}
		return nil // of reading, which reading on finds as well
	}
	if value.N > 0 {
		return nil
	}
	if old != nil {
		return s.compared(key, same.equal(), w)
	}
	if err := s.space.put(key, w); err != nil {
		return err
	}
	s.count(func(t *Stats) { t.Kept++; t.Stored += size })
	return nil
}

// compared notes the end of a comparison.
func (s *Step) compared(key string, equal bool, made *writer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.withheld, key)
	if equal {
		s.stats.Compared++
		return nil
	}
	err := s.space.spoil(key, made.Temp)
	if s.different == nil {
		s.different = &DifferenceError{s.pkg, key, s.space.dir}
	}
	return err
}

// slowWriter is a disk that may be too slow.
type slowWriter struct {
	to io.Writer
	s  *Step
}

func (w slowWriter) Write(p []byte) (int, error) {
	defer w.s.hurry()()
	return w.to.Write(p)
}
