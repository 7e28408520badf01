// trim: keeps the number and the size of runs within bounds.

package history

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"buildsys/internal/confined"
	"buildsys/internal/errkind"
)

// Limits are how much is kept. Those of no meaning are 0.
type Limits struct {
	Runs  int           // all of them
	Idle  int           // runs in which there was nothing to do
	Bytes int64         // on disk
	Age   time.Duration // since the end
}

// Usual are the limits that each run ends with: months of work, and less than an image.
var Usual = Limits{Runs: 300, Idle: 50, Bytes: 512 << 20}

// settling is how long a run without an end is left alone that nobody seems to write: its process
// may not have got to its lock yet, or be on a file system without locks.
const settling = time.Hour

// going begins the names of directories that are being removed.
const going = ".gone-"

// Stats is what the runs take.
type Stats struct {
	Runs  int   `json:"runs"`
	Bytes int64 `json:"bytes"`
}

// Stat measures the runs that are kept.
func (d Dir) Stat() (s Stats, err error) {
	ids, err := d.ids()
	for _, id := range ids {
		s.Runs++
		s.Bytes += size(d.path(id))
	}
	if err != nil {
		return s, errkind.Environmentf("read the runs that are kept: %w", err)
	}
	return s, nil
}

// Trim removes runs, the oldest first, until the limits are kept. It leaves those that go on.
func (d Dir) Trim(l Limits, now time.Time) (removed Stats, err error) {
	ids, err := d.ids()
	if err != nil {
		return removed, err
	}
	d.sweep()
	var kept, idle int
	var bytes int64
	for _, id := range ids {
		r, unread := d.read(id)
		if r.Running || unread == nil && r.Lost() && now.Sub(r.Began).Abs() < settling {
			continue
		}
		n := size(r.dir)
		nothing := unread == nil && r.End != nil && r.End.Idle()
		old := l.Age > 0 && unread == nil && now.Sub(r.last()) > l.Age
		if !old && (l.Runs == 0 || kept < l.Runs) && (l.Bytes == 0 || bytes+n <= l.Bytes || kept == 0) &&
			!(nothing && l.Idle > 0 && idle >= l.Idle) && !d.broken(id, unread, now) {
			kept++
			bytes += n
			if nothing {
				idle++
			}
			continue
		}
		if e := d.remove(id); e != nil {
			err = errors.Join(err, e)
			continue
		}
		removed.Runs++
		removed.Bytes += n
	}
	return removed, err
}

// broken reports whether a directory is none of a run, and none that is just being made.
func (d Dir) broken(id int, unread error, now time.Time) bool {
	info, err := os.Lstat(d.path(id))
	return unread != nil && err == nil && now.Sub(info.ModTime()).Abs() > settling
}

// last is the last that is known of when a run was alive.
func (r Run) last() time.Time {
	if r.End != nil {
		return r.End.Ended
	}
	return r.Began
}

// remove removes a run, at first from the list.
func (d Dir) remove(id int) error {
	gone := filepath.Join(d.Path, going+filepath.Base(d.path(id)))
	if err := os.Rename(d.path(id), gone); err != nil {
		if errors.Is(err, fs.ErrNotExist) { // by another process
			return nil
		}
		return err
	}
	return os.RemoveAll(gone)
}

// sweep removes what killed processes left half removed.
func (d Dir) sweep() {
	entries, _ := confined.List(d.Path)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), going) {
			_ = os.RemoveAll(filepath.Join(d.Path, e.Name()))
		}
	}
}

// size returns the bytes of the files in a directory, as far as they can be read.
func size(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				sum += info.Size()
			}
		}
		return nil
	})
	return sum
}
