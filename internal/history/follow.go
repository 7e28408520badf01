// follow: what a step prints, while it prints it, in this process or another.

package history

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"buildsys/internal/builddir"
	"buildsys/internal/confined"
)

// look is how often a log that is followed is read.
const look = 100 * time.Millisecond

// Follow writes to out what a step of the run prints, from the beginning until the step has ended.
// If the step has not begun, it calls waiting once and waits for that. The error wraps
// fs.ErrNotExist if the run ended without building the step.
func (r Run) Follow(ctx context.Context, step string, out io.Writer, waiting func()) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	var f *os.File
	defer func() {
		if f != nil {
			_ = f.Close()
		}
	}()
	for {
		over := !locked(filepath.Join(r.dir, eventsFile)) // before the last lines are read
		if f == nil {
			var err error
			if f, err = r.begun(step); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		if f == nil && (over || r.packed(step)) {
			return r.copyLog(step, out)
		}
		if f != nil {
			over = over || !r.isLog(step, f)
			if _, err := io.Copy(out, f); err != nil || over {
				return err
			}
		} else if waiting != nil {
			waiting()
			waiting = nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// begun opens the log of a step that has begun and not ended.
func (r Run) begun(step string) (*os.File, error) {
	return confined.Path{Root: r.dir, Name: filepath.Join(logsDir, builddir.LogName(step))}.Open()
}

// packed reports whether the log of a step is packed: the step has ended.
func (r Run) packed(step string) bool {
	_, err := os.Lstat(filepath.Join(r.dir, logsDir, builddir.LogName(step)+packed))
	return err == nil
}

// isLog reports whether f is still the log of a step that has not ended.
func (r Run) isLog(step string, f *os.File) bool {
	is, err := os.Lstat(filepath.Join(r.dir, logsDir, builddir.LogName(step)))
	was, e := f.Stat()
	return err == nil && e == nil && os.SameFile(is, was)
}

func (r Run) copyLog(step string, out io.Writer) error {
	log, err := r.Log(step)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, log)
	return errors.Join(err, log.Close())
}
