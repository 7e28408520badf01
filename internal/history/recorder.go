// Recorder: writes the record of a run while it runs.

package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"buildsys/internal/atomicfile"
	"buildsys/internal/builddir"
	"buildsys/internal/progress"
	"buildsys/internal/safetext"
)

// Limits of a record: a run that goes wild must not fill the disk.
const (
	maxRecorded = 200_000  // events; the ends of steps are always kept
	maxLog      = 64 << 20 // bytes that one step printed
)

// Recorder is a sink that keeps a run. The first error becomes a Warning event, and the run goes on
// without a record. It is safe for concurrent use.
type Recorder struct {
	dir  string
	id   int
	warn progress.Sink
	logs *builddir.LogFiles

	mu      sync.Mutex
	file    *os.File // nil once the record has ended
	lines   *bufio.Writer
	events  *progress.JSON
	waiting bool // a timer will write the lines
	n       int
	counts  Counts
	printed map[string]int64 // bytes, by step
	parts   map[string]int   // how often each step has begun
	packing sync.WaitGroup
	left    string
}

// moment is how long events wait to be written together. Whoever follows a run does not notice.
const moment = 100 * time.Millisecond

// Start begins the record of a run. It never fails: warn is told why there is none.
func (d Dir) Start(b Begin, warn progress.Sink) *Recorder {
	r := &Recorder{warn: warn, printed: map[string]int64{}, parts: map[string]int{}}
	if err := r.start(d, b); err != nil {
		r.close()
		r.tell(err)
	}
	return r
}

func (r *Recorder) start(d Dir, b Begin) error {
	if err := os.MkdirAll(d.Path, 0o700); err != nil {
		return err
	}
	if _, err := d.open(); err != nil {
		return err
	}
	if err := r.makeDir(d); err != nil {
		return err
	}
	var err error
	path := filepath.Join(r.dir, eventsFile)
	r.file, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	// Without locks, as on some network file systems, the run seems to have ended.
	_ = unix.Flock(int(r.file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	r.lines = bufio.NewWriterSize(r.file, 64<<10)
	r.events = progress.NewJSON(r.lines)
	r.logs = builddir.NewLogFiles("", filepath.Join(r.dir, logsDir), 0o600, leftOut{r})
	b.Format, b.PID, b.Began = format, os.Getpid(), b.Began.UTC()
	b.Host, _ = os.Hostname()
	return writeJSON(filepath.Join(r.dir, beginFile), b)
}

// makeDir makes the directory of the run, whose number is the next.
func (r *Recorder) makeDir(d Dir) error {
	ids, err := d.ids()
	if err != nil {
		return err
	}
	r.id = 1
	if len(ids) > 0 {
		r.id = ids[0] + 1
	}
	for { // other runs take numbers at the same time
		r.dir = d.path(r.id)
		err := os.Mkdir(r.dir, 0o700)
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		r.id++
	}
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Replace(path, append(safetext.JSON(data), '\n'), 0o600)
}

// ID returns the number of the run; 0 if there is no record.
func (r *Recorder) ID() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return 0
	}
	return r.id
}

// Event keeps an event.
func (r *Recorder) Event(e progress.Event) {
	err := r.event(e)
	if err != nil {
		r.close()
		r.tell(err)
	}
}

func (r *Recorder) event(e progress.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return nil
	}
	r.counts.add(e)
	switch e.Kind {
	case progress.Heartbeat, progress.RunForecast: // of use only at that moment
		return nil
	case progress.StepLog:
		r.log(e)
		return nil
	}
	r.logs.Event(e)
	if e.Kind == progress.StepStart { // perhaps again
		r.parts[e.Step]++
	}
	if ends(e.Kind) {
		r.pack(e.Step, r.parts[e.Step])
	} else if r.n >= maxRecorded {
		r.left = fmt.Sprintf("only the first %d events and the ends of steps are kept", maxRecorded)
		return nil
	}
	r.n++
	r.events.Event(e)
	if !r.waiting {
		r.waiting = true
		time.AfterFunc(moment, r.flush)
	}
	return r.events.Err()
}

// ends reports whether a kind of event is the end of a step or of the run.
func ends(k progress.Kind) bool {
	switch k {
	case progress.StepDone, progress.StepFailed, progress.StepCached, progress.StepCancelled,
		progress.StepSkipped, progress.PlanDone:
		return true
	}
	return false
}

// log keeps a line that a step has printed.
func (r *Recorder) log(e progress.Event) {
	before := r.printed[e.Step]
	r.printed[e.Step] = before + int64(len(e.Text)) + 1
	switch {
	case r.printed[e.Step] <= maxLog:
		r.logs.Event(e)
	case before <= maxLog:
		e.Text = fmt.Sprintf("--- more than %d MiB: the rest is only in build/logs/", maxLog>>20)
		r.logs.Event(e)
	}
}

// leftOut is told, by an event of its recorder, that logs cannot be written.
type leftOut struct{ r *Recorder }

// Event notes what is missing.
func (l leftOut) Event(e progress.Event) { l.r.left = e.Text }

// flush writes the events that wait.
func (r *Recorder) flush() {
	r.mu.Lock()
	r.waiting = false
	var err error
	if r.file != nil {
		err = r.lines.Flush()
	}
	r.mu.Unlock()
	if err != nil {
		r.close()
		r.tell(err)
	}
}

// close ends the record without an end.
func (r *Recorder) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file != nil {
		_ = r.lines.Flush()
		_ = r.logs.Close()
		_ = r.file.Close()
		r.file = nil
	}
}

// tell warns that the run is not kept. It is called once, as close comes before it.
func (r *Recorder) tell(err error) {
	r.warn.Event(progress.Event{Time: time.Now(), Kind: progress.Warning,
		Text: fmt.Sprintf("this run is not kept: %v; the build goes on without", err)})
}

// End completes the record, and reports whether there was nothing to do. What e counts and when it
// ended is filled in.
func (r *Recorder) End(e End) (idle bool) {
	r.packing.Wait()
	r.mu.Lock()
	there := r.file != nil
	e.Counts, e.Ended = r.counts, time.Now().UTC()
	e.Left = r.left
	r.mu.Unlock()
	if !there {
		return e.Idle()
	}
	e.Error = short(e.Error)
	// Before the lock is freed: a run without an end and without a lock was killed.
	err := writeJSON(filepath.Join(r.dir, endFile), e)
	r.close()
	if err != nil {
		r.tell(err)
	}
	return e.Idle()
}

// maxError bounds the error of a run.
const maxError = 16 << 10

func short(text string) string {
	if len(text) > maxError {
		text = strings.ToValidUTF8(text[:maxError], "") + "…"
	}
	return text
}
