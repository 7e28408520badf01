// The locks that keep two runs out of one checkout, and limit the processes on one engine.

package builddir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"buildsys/internal/atomicfile"
	"buildsys/internal/errkind"
)

// lockPoll is how often a waiting run checks whether the lock is free. A blocking flock could not
// be cancelled.
const lockPoll = 200 * time.Millisecond

// LockedError reports that another run holds the lock and the caller does not wait.
type LockedError struct {
	Path   string
	Holder string // what the holder wrote about itself
}

// Error names the holder.
func (e *LockedError) Error() string {
	return fmt.Sprintf("another run is at work in this checkout (%s); "+
		"wait for it or stop it. Lock: %s", e.Holder, e.Path)
}

// ErrorKind returns errkind.Environment.
func (*LockedError) ErrorKind() errkind.Kind { return errkind.Environment }

// Lock takes the exclusive lock at path and writes into the file who holds it. The file is created
// if necessary and never deleted. The kernel frees the lock when the process ends, however it ends.
// Below top, the checkout, no link is followed; an empty top is no limit.
//
// If another run holds the lock, onWait is called once with what the holder wrote about itself, and
// Lock returns when the lock is free or ctx is done. If onWait is nil, Lock does not wait but
// returns a *LockedError.
func Lock(
	ctx context.Context, top, path string, onWait func(holder string),
) (unlock func(), err error) {
	return lock(ctx, top, path, unix.LOCK_EX, strings.Join(os.Args, " "), onWait)
}

// LockShared is Lock for several holders at once, which together exclude any holder of Lock. The
// file names the latest of them, by the text as.
func LockShared(
	ctx context.Context, top, path, as string, onWait func(holder string),
) (unlock func(), err error) {
	return lock(ctx, top, path, unix.LOCK_SH, as, onWait)
}

func lock(
	ctx context.Context, top, path string, how int, as string, onWait func(holder string),
) (unlock func(), err error) {
	f, err := openOwn(top, path, os.O_RDWR|os.O_CREATE)
	if errkind.Is[*PlaceError](err) {
		return nil, err
	}
	if err != nil {
		return nil, &HostError{Doing: "take a lock", Err: err}
	}
	if err := acquire(ctx, f, how, onWait); err != nil {
		_ = f.Close()
		return nil, err
	}
	if err := present(f, as); err != nil {
		_ = f.Close()
		return nil, &HostError{Doing: "write a lock", Err: err}
	}
	return func() {
		if how == unix.LOCK_EX { // the text of the others who share it stays
			_ = f.Truncate(0) // the text is for people; the lock counts, and closing frees it
		}
		_ = f.Close()
	}, nil
}

func acquire(ctx context.Context, f *os.File, how int, onWait func(string)) error {
	for first := true; ; first = false {
		err := atomicfile.Lock(f, how|unix.LOCK_NB,
			"put the checkout, or its build/ by a mount, on another one")
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EWOULDBLOCK):
			return &HostError{Doing: "take a lock", Err: err}
		case onWait == nil:
			return &LockedError{Path: f.Name(), Holder: holder(f)}
		case first:
			onWait(holder(f))
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("waiting for another run in this checkout (%s): %w", holder(f), err)
		}
	}
}

// pause waits for lockPoll, or until ctx is done.
func pause(ctx context.Context) error {
	select {
	case <-time.After(lockPoll):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// present writes who holds the lock.
func present(f *os.File, as string) error {
	text := fmt.Sprintf("pid %d, since %s, %s\n", os.Getpid(), time.Now().Format(time.DateTime), as)
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// holder returns who holds the lock. A holder is unknown until it has written its text.
func holder(f *os.File) string {
	data, _ := io.ReadAll(io.NewSectionReader(f, 0, 4096))
	if s := strings.TrimSpace(string(data)); s != "" {
		return s
	}
	return "pid unknown"
}

// Slot takes one of the slots below dir; there are as many as builds may run at once on one engine,
// in all processes together. A process that is killed frees its slot. While it waits, onWait is
// called once with the texts of the holders.
func Slot(
	ctx context.Context, dir string, slots int, as string, onWait func(holders []string),
) (release func(), err error) {
	for first := true; ; first = false {
		var holders []string
		for i := range slots {
			slot := filepath.Join(dir, fmt.Sprintf("slot-%d", i))
			release, err := lock(ctx, "", slot, unix.LOCK_EX, as, nil)
			locked, taken := errors.AsType[*LockedError](err)
			if !taken {
				return release, err
			}
			holders = append(holders, locked.Holder)
		}
		if first {
			onWait(holders)
		}
		if err := pause(ctx); err != nil {
			return nil, fmt.Errorf("waiting for one of %d build slots: %w", slots, err)
		}
	}
}
