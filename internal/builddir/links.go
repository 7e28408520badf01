// Links: what a checkout may bring along below build/, which buildsys writes to and deletes from.

package builddir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"buildsys/internal/confined"
	"buildsys/internal/errkind"
)

// PlaceError reports something below build/ that is not what buildsys makes there. A checkout that
// came from somebody else can have it, to lead writes and deletions elsewhere.
type PlaceError struct {
	Path string
	What string // "a symbolic link"
}

// Error names the place and what to do.
func (e *PlaceError) Error() string {
	return fmt.Sprintf("%s is %s: buildsys makes only files and directories there, and follows no "+
		"link; remove it (a build directory on another disk can be mounted there)", e.Path, e.What)
}

// ErrorKind returns errkind.Usage.
func (*PlaceError) ErrorKind() errkind.Kind { return errkind.Usage }

// Check returns a *PlaceError if a place below build/ that buildsys itself writes to, empties or
// deletes from is a link or a special file. It is called before anything there is read or written.
// Outputs, which are deeper, are made anew, or read like any file of a tree.
func (d Dir) Check() error {
	if err := checkPlace(d.Root, false); err != nil {
		return err
	}
	return d.check()
}

// check is Check for what is below the directory with the given names below build/.
func (d Dir) check(below ...string) error {
	dir := filepath.Join(append([]string{d.Root}, below...)...)
	entries, err := confined.List(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
		return &HostError{Doing: "look at the build directory", Err: err}
	}
	for _, e := range entries {
		if err := d.checkEntry(dir, e, append(below[:len(below):len(below)], e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// checkEntry checks an entry of a directory, and what is below it if that is not an output.
func (d Dir) checkEntry(dir string, e fs.DirEntry, names []string) error {
	if !e.Type().IsRegular() && !e.IsDir() {
		latest := names[0] == "images" && len(names) == 3 && e.Name() == Latest
		return checkPlace(filepath.Join(dir, e.Name()), latest)
	}
	if e.IsDir() && ours(names) {
		return d.check(names...)
	}
	return nil
}

// ours reports whether buildsys writes single files in a directory, and does not replace it whole.
func ours(names []string) bool {
	switch {
	case len(names) == 1, names[0] == "state":
		return true
	case names[0] == "images":
		return len(names) == 2
	}
	return names[0] == "kits" && names[1] == "oci"
}

// checkPlace checks one place. The link to the newest images may lead to a directory beside it.
func checkPlace(place string, latest bool) error {
	info, err := os.Lstat(place)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &HostError{Doing: "look at the build directory", Err: err}
	}
	switch mode := info.Mode(); {
	case mode.IsDir(), mode.IsRegular():
		return nil
	case mode&fs.ModeSymlink != 0 && latest:
		if target, err := os.Readlink(place); err == nil && target == filepath.Base(target) &&
			target != ".." {
			return nil
		}
		return &PlaceError{place, "a symbolic link that leads out of its directory"}
	case mode&fs.ModeSymlink != 0:
		return &PlaceError{place, symlink(place)}
	default:
		return &PlaceError{place, fmt.Sprintf("a special file (%s)", mode.Type())}
	}
}

// symlink returns where a link leads.
func symlink(place string) string {
	target, err := os.Readlink(place)
	if err != nil {
		return "a symbolic link"
	}
	what := fmt.Sprintf("a symbolic link to %q", target)
	if _, err := os.Stat(place); errors.Is(err, fs.ErrNotExist) {
		what += ", where nothing is"
	}
	return what
}

// openOwn opens a file for writing that nobody else has open under another name: a link is not
// followed, and a file with several names is refused. Its directory is made if it is missing; below
// top no link leads there.
func openOwn(top, path string, flags int) (*os.File, error) {
	dir, err := confined.Hold(top, filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	at := filepath.Base(path)
	const how = unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	fd, err := unix.Open(dir.Path(at), flags|how, 0o644)
	for err == unix.EINTR { // as os.OpenFile does
		fd, err = unix.Open(dir.Path(at), flags|how, 0o644)
	}
	if errors.Is(err, unix.ELOOP) {
		return nil, &PlaceError{path, "a symbolic link"}
	}
	if err != nil {
		return nil, dir.Fault("open", at, err)
	}
	f := os.NewFile(uintptr(fd), path)
	var st unix.Stat_t
	if err = unix.Fstat(int(f.Fd()), &st); err == nil && (st.Mode&unix.S_IFMT != unix.S_IFREG ||
		st.Nlink > 1) {
		err = &PlaceError{path, "not a regular file with a single name"}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}
