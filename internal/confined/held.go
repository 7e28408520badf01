// Held: directories as they were when they were opened. Whoever may write to a checkout can put a
// link in the place of one at any moment; what is done through the handle of a directory stays in
// that.

package confined

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Held is an open directory.
type Held struct {
	f   *os.File
	dir string
}

// Hold opens a directory, which is made if it is missing. Below top no link is followed; an empty
// top is no limit.
func Hold(top, dir string) (Held, error) { return hold(top, dir, Path.MakeDir) }

// HoldExisting is Hold for a directory that is not made.
func HoldExisting(top, dir string) (Held, error) { return hold(top, dir, Path.OpenDir) }

func hold(top, dir string, open func(Path) (*os.Root, error)) (Held, error) {
	at := Path{Name: dir}
	if p, ok := In(top, dir); ok && top != "" {
		at = p
	}
	root, err := open(at)
	if err != nil {
		return Held{}, err
	}
	defer root.Close()
	f, err := root.Open(".")
	return Held{f, dir}, err
}

// handles is the directory of the handles of this process.
const handles = "/proc/self/fd"

var haveHandles = sync.OnceValue(func() bool {
	_, err := os.Stat(handles)
	return err == nil
})

// Path returns the path of a name in the directory, by the handle where the system has paths for
// those. It is good until Close.
func (h Held) Path(name string) string {
	if haveHandles() {
		return fmt.Sprintf("%s/%d/%s", handles, h.f.Fd(), name)
	}
	return filepath.Join(h.dir, name)
}

// Dir returns the path by which people know the directory.
func (h Held) Dir() string { return h.dir }

// Stat returns what the directory is.
func (h Held) Stat() (fs.FileInfo, error) { return h.f.Stat() }

// Chmod changes the mode of the directory.
func (h Held) Chmod(mode fs.FileMode) error { return h.f.Chmod(mode) }

// Close ends the use of the directory.
func (h Held) Close() { _ = h.f.Close() }

// Fault returns the error of an operation on a name in the directory, with the path by which people
// know it; nil stays nil.
func (h Held) Fault(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: filepath.Join(h.dir, name), Err: Unheld(err)}
}

// Unheld returns an error without the paths of handles, which say nothing to people.
func Unheld(err error) error {
	if cause, ok := errors.AsType[*os.LinkError](err); ok && strings.HasPrefix(cause.Old, handles) {
		return cause.Err
	}
	if cause, ok := errors.AsType[*os.PathError](err); ok && strings.HasPrefix(cause.Path, handles) {
		return cause.Err
	}
	return err
}
