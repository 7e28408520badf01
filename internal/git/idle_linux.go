// Idle: a git that waits for something that never comes is ended long before its time is up.

package git

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"buildsys/internal/confined"
)

// maxIdle ends a git that uses no processor and waits: it does so if the repository or the work
// tree has a pipe in the place of a file. One that waits for a disk, or for a server of files, is
// in another state. Tests lower it.
var maxIdle = 10 * time.Second

// idleEvery is how often is looked.
const idleEvery = 250 * time.Millisecond

// watch ends with idle once the process has waited for too long. It returns when ctx ends.
func watch(ctx context.Context, pid int, idle func()) {
	tick := time.NewTicker(idleEvery)
	defer tick.Stop()
	var last []byte
	waits := time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := used(pid)
		if now == nil || !bytes.Equal(now, last) {
			last, waits = now, 0
			continue
		}
		if waits += idleEvery; waits >= maxIdle {
			idle()
			return
		}
	}
}

// used returns how much processor time the threads of a process have used, all of which wait, or
// nil if one does not, or waits for a disk.
func used(pid int) (times []byte) {
	tasks := fmt.Sprintf("/proc/%d/task", pid)
	threads, err := confined.List(tasks)
	for _, t := range threads {
		var data []byte
		if err == nil {
			data, err = os.ReadFile(filepath.Join(tasks, t.Name(), "stat"))
		}
		// The fields behind the name, which may have any characters: state … user time, system time.
		fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
		if err != nil || len(fields) < 13 || string(fields[0]) != "S" {
			return nil
		}
		times = fmt.Appendf(times, "%s %s %s\n", t.Name(), fields[11], fields[12])
	}
	return times
}

// maxSought bounds the files that are looked at to find the one that git waits for.
const maxSought = 200_000

// stalled returns the error of a git that waited in a checkout.
func stalled(dir, top string) error {
	for _, at := range []string{dir, top} {
		if name := pipeIn(at); name != "" {
			return fmt.Errorf("it waited for %s, which is a pipe or a device where git expects a file",
				line(name))
		}
	}
	return fmt.Errorf("it waited for %v and did nothing, as it does for a pipe in the place of a "+
		"file in %s or of one that its configuration names", maxIdle, line(top))
}

// pipeIn returns a pipe or device in a directory, or a link to one.
func pipeIn(top string) (found string) {
	n := 0
	_ = filepath.WalkDir(top, func(at string, d fs.DirEntry, err error) error {
		if n++; n > maxSought {
			return fs.SkipAll
		}
		if err != nil || d.IsDir() || d.Type().IsRegular() {
			return nil
		}
		if info, err := os.Stat(at); err == nil &&
			info.Mode()&(fs.ModeNamedPipe|fs.ModeDevice) != 0 {
			found = at
			return fs.SkipAll
		}
		return nil
	})
	return found
}
