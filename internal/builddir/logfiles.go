// LogFiles: the whole output of each step in its own file.

package builddir

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"buildsys/internal/confined"
	"buildsys/internal/progress"
	"buildsys/internal/safetext"
)

// LogFiles writes the output of step "package/bash" to <dir>/package-bash.log, which is replaced
// when the step starts. A log that cannot be written does not stop a build: the first error becomes
// a Warning event for warn, and later ones are dropped. It is safe for concurrent use.
type LogFiles struct {
	top  string // no link below it is followed; may be empty
	dir  string
	mode fs.FileMode
	warn progress.Sink

	mu     sync.Mutex
	warned bool
	open   map[string]*logFile
	paths  map[string]string // logs begun in this run
}

// NewLogFiles returns a LogFiles for the directory dir, which is created when the first step
// starts. Its files have the given mode, and the directory that and the right to enter. Below top,
// the checkout, no link is followed; an empty top is no limit.
func NewLogFiles(top, dir string, mode fs.FileMode, warn progress.Sink) *LogFiles {
	return &LogFiles{top: top, dir: dir, mode: mode, warn: warn, open: map[string]*logFile{},
		paths: map[string]string{}}
}

// LogName returns the name of the log of a step.
func LogName(step string) string { return fileName(step) + ".log" }

// Event opens, writes or closes the log of the event's step. Lines are written as they are, but for
// the logins of URLs.
func (l *LogFiles) Event(e progress.Event) {
	l.mu.Lock()
	err := l.event(e)
	first := err != nil && !l.warned
	l.warned = l.warned || err != nil
	l.mu.Unlock()
	if first { // outside the lock: warn may pass the event to l again
		text := fmt.Sprintf("cannot write logs: %v; the build goes on without them", err)
		l.warn.Event(progress.Event{Time: e.Time, Kind: progress.Warning, Text: text})
	}
}

func (l *LogFiles) event(e progress.Event) error {
	switch e.Kind {
	case progress.StepStart:
		return l.start(e.Step)
	case progress.StepLog:
		return l.write(e.Step, e.Text)
	case progress.StepRetry:
		return l.write(e.Step, fmt.Sprintf("--- built again after: %v", e.Err))
	case progress.StepFailed:
		if err := l.write(e.Step, fmt.Sprintf("--- failed: %v", e.Err)); err != nil {
			return err
		}
		return l.end(e.Step)
	case progress.StepDone, progress.StepCancelled:
		return l.end(e.Step)
	}
	return nil
}

func (l *LogFiles) start(step string) error {
	if err := l.end(step); err != nil {
		return err
	}
	if l.top == "" {
		if err := os.MkdirAll(l.dir, l.mode|l.mode>>2&0o111); err != nil {
			return err
		}
	}
	path := filepath.Join(l.dir, LogName(step))
	f, err := newFile(l.top, path, l.mode)
	if err != nil {
		return err
	}
	l.open[step], l.paths[step] = &logFile{file: f, lines: bufio.NewWriterSize(f, 64<<10)}, path
	return nil
}

// logFile is an open log. Its lines wait for a moment: a step may print millions at once, and a
// call of the system for each would slow down the step.
type logFile struct {
	file    *os.File
	lines   *bufio.Writer
	waiting bool // a timer will write the lines
}

// moment is so short that whoever follows a log does not notice.
const moment = 100 * time.Millisecond

// newFile replaces a log by an empty one. It is a new file, not a truncated one: whoever still
// reads the old log keeps reading it, and a link there is removed, not followed.
func newFile(top, path string, mode fs.FileMode) (*os.File, error) {
	dir, err := confined.Hold(top, filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	at := dir.Path(filepath.Base(path))
	if err := os.Remove(at); err != nil && !os.IsNotExist(err) {
		return nil, &fs.PathError{Op: "remove", Path: path, Err: confined.Unheld(err)}
	}
	f, err := os.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, &fs.PathError{Op: "create", Path: path, Err: confined.Unheld(err)}
	}
	return f, nil
}

func (l *LogFiles) write(step, line string) error {
	f := l.open[step]
	if f == nil {
		return nil
	}
	if !f.waiting {
		f.waiting = true
		time.AfterFunc(moment, func() { l.writeOut(f) })
	}
	_, err := f.lines.WriteString(safetext.WithoutLogins(line)) // logs are shared
	return errors.Join(err, f.lines.WriteByte('\n'))
}

// writeOut writes the lines that wait. A log that has ended has none.
func (l *LogFiles) writeOut(f *logFile) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f.waiting = false
	_ = f.lines.Flush() // the next line, or the end, has the error again
}

func (l *LogFiles) end(step string) error {
	f := l.open[step]
	if f == nil {
		return nil
	}
	delete(l.open, step)
	return errors.Join(f.lines.Flush(), f.file.Close())
}

// Path returns the log of a step that was started in this run, else "". All lines so far are in it.
func (l *LogFiles) Path(step string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.open[step]; f != nil {
		_ = f.lines.Flush() // the next line, or the end, has the error again
	}
	return l.paths[step]
}

// Close closes the logs of steps that never ended.
func (l *LogFiles) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var first error
	for step := range l.open {
		if err := l.end(step); err != nil && first == nil {
			first = err
		}
	}
	return first
}
