// Package history keeps the runs of builds: what was asked, the plan, every event, and what each
// step printed. Each run has a directory of its own below the cache directory, which this user
// alone may enter: a build directory may have come with a checkout, and is not believed. Package
// build records runs; report and cli read them. Nothing here is needed to build, and no fault here
// stops a build.
package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/progress"
)

// format is the version of a run's directory. A run with a higher one is not read.
const format = 1

// The files in the directory of a run.
const (
	beginFile  = "begin.json"
	eventsFile = "events.jsonl" // locked by the process that writes it
	endFile    = "end.json"     // missing if the process was killed
	logsDir    = "logs"
)

// Limits of what is read: more was never written.
const (
	maxDocument = 4 << 20
	maxEvents   = 512 << 20
)

// Dir is the directory of all runs.
type Dir struct{ Path string }

// Begin is what is known of a run when it begins.
type Begin struct {
	Format  int       `json:"format"`
	Root    string    `json:"root"` // of the tree
	Command []string  `json:"command"`
	Arch    string    `json:"arch"`
	Variant string    `json:"variant,omitempty"`
	Unit    string    `json:"unit,omitempty"` // the ID of the one step, under cargo
	Again   bool      `json:"again,omitempty"`
	Began   time.Time `json:"began"`
	Host    string    `json:"host"`
	PID     int       `json:"pid"`
}

// Outcome is how a run ended.
type Outcome string

// The outcomes of a run.
const (
	Success   Outcome = "success"
	Failure   Outcome = "failure"   // steps failed
	Cancelled Outcome = "cancelled" // by a signal, for instance
	Broken    Outcome = "error"     // the run itself failed: an engine that is gone
)

// End is what is known of a run when it has ended.
type End struct {
	Ended   time.Time `json:"ended"`
	Outcome Outcome   `json:"outcome"`
	Error   string    `json:"error,omitempty"`
	Counts
	// Left is what is missing of the record, and why: "events: no space left on device".
	Left string `json:"left,omitempty"`
	// Traffic with remote caches.
	Remote *progress.Traffic `json:"remote,omitempty"`
}

// Counts are numbers of steps.
type Counts struct {
	Total     int `json:"total"`
	Built     int `json:"built"`
	Cached    int `json:"cached"` // of these, Restored and Fetched were put in place
	Restored  int `json:"restored"`
	Fetched   int `json:"fetched"`
	Failed    int `json:"failed"`
	Skipped   int `json:"skipped"`
	Cancelled int `json:"cancelled"`
}

// add counts an event.
func (c *Counts) add(e progress.Event) {
	switch e.Kind {
	case progress.PlanReady:
		c.Total = e.Total
	case progress.StepDone:
		c.Built++
	case progress.StepCached:
		c.Cached++
	case progress.StepRestored:
		c.Restored++
	case progress.StepFetched:
		c.Fetched++
	case progress.StepFailed:
		c.Failed++
	case progress.StepSkipped:
		c.Skipped++
	case progress.StepCancelled:
		c.Cancelled++
	}
}

// Idle reports whether a run that ended so has changed nothing.
func (e End) Idle() bool {
	return e.Outcome == Success && e.Built+e.Restored+e.Fetched == 0
}

// Run is a run that is kept.
type Run struct {
	ID int
	Begin
	End     *End // nil if it goes on, or if its process was killed
	Running bool // it goes on
	dir     string
}

// Lost reports whether the run has ended without saying so.
func (r Run) Lost() bool { return r.End == nil && !r.Running }

// NoRunError means that a run is not kept, or no longer.
type NoRunError struct{ ID int }

// Error returns what is wrong and what to do.
func (e *NoRunError) Error() string {
	return fmt.Sprintf("there is no run %d: 'buildsys runs --all' lists those that are kept", e.ID)
}

// ErrorKind returns errkind.Usage.
func (*NoRunError) ErrorKind() errkind.Kind { return errkind.Usage }

// open checks that nobody else could have written the runs, and reports whether there are any.
func (d Dir) open() (bool, error) {
	info, err := os.Lstat(d.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, owned(d.Path, info)
}

// owned returns an error unless a directory belongs to this user.
func owned(path string, info fs.FileInfo) error {
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", path)
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to the user with ID %d", path, st.Uid)
	}
	if st.Mode&0o022 != 0 {
		return fmt.Errorf("others may write to %s", path)
	}
	return nil
}

// ids returns the numbers of the runs that are kept, the newest first.
func (d Dir) ids() ([]int, error) {
	if ok, err := d.open(); !ok || err != nil {
		return nil, err
	}
	entries, err := confined.List(d.Path)
	var ids []int
	for _, e := range entries {
		if id, ok := number(e.Name()); ok && e.IsDir() {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b int) int { return b - a })
	return ids, err
}

// number reads the name of a run's directory.
func number(name string) (int, bool) {
	id, err := strconv.ParseInt(name, 10, 32)
	return int(id), err == nil && id > 0 && strconv.Itoa(int(id)) == name
}

func (d Dir) path(id int) string { return filepath.Join(d.Path, strconv.Itoa(id)) }

// List returns the runs that are kept, the newest first. A run whose record cannot be read is left
// out, and left tells why. One that has no record yet is only beginning.
func (d Dir) List(left func(id int, err error)) ([]Run, error) {
	ids, err := d.ids()
	if err != nil {
		return nil, errkind.Environmentf("read the runs that are kept: %w", err)
	}
	var runs []Run
	for _, id := range ids {
		r, err := d.read(id)
		switch {
		case err == nil:
			runs = append(runs, r)
		case !errors.Is(err, fs.ErrNotExist):
			left(id, err)
		}
	}
	return runs, nil
}

// Open returns a run. The error is a *NoRunError if it is not kept.
func (d Dir) Open(id int) (Run, error) {
	ok, err := d.open()
	if err != nil {
		return Run{}, errkind.Environmentf("read the runs that are kept: %w", err)
	}
	if !ok {
		return Run{}, &NoRunError{id}
	}
	r, err := d.read(id)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return r, &NoRunError{id}
	case err != nil:
		return r, errkind.Environmentf("run %d cannot be read: %w", id, err)
	}
	return r, nil
}

func (d Dir) read(id int) (Run, error) {
	r := Run{ID: id, dir: d.path(id)}
	if err := r.document(beginFile, &r.Begin); err != nil {
		return r, err
	}
	if r.Format > format {
		return r, fmt.Errorf("its format is %d, and this buildsys reads formats up to %d: use the "+
			"newer one", r.Format, format)
	}
	// In this order: a run that ends meanwhile has an end.
	r.Running = locked(filepath.Join(r.dir, eventsFile))
	var end End
	if err := r.document(endFile, &end); err == nil {
		r.End, r.Running = &end, false
	}
	return r, nil
}

// document reads one of the JSON documents of a run.
func (r Run) document(name string, into any) error {
	data, err := confined.Path{Root: r.dir, Name: name}.Read(maxDocument)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// locked reports whether another process has a file locked.
func locked(path string) bool {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}
