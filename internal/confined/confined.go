// Package confined reads small files whole, and never waits for one: only regular files, up to a
// limit. A path that a tree names is confined to the tree, and no symbolic link on the way is
// followed, as a tree may come from anybody. A path that the caller names is used as it is. Package
// workspace reads manifests and sources, with rules of its own about links.
package confined

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrLink is the reason for a path in a tree that leads through a symbolic link.
var ErrLink = errors.New("a symbolic link in a tree is not followed")

var (
	errLeaves     = errors.New("it leaves the tree")
	errNotRegular = errors.New("not a regular file")
)

// Path is a file or directory that a setting names.
type Path struct {
	// Root is the tree that the path must not leave, or "" if the caller named the path.
	Root string
	Name string // below Root, or absolute
}

// In returns the path in a tree, which may be given as an absolute one. ok is false if it would
// leave the tree.
func In(root, name string) (p Path, ok bool) {
	if filepath.IsAbs(name) {
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return Path{}, false
		}
		name = rel
	}
	return Path{Root: root, Name: filepath.Clean(name)}, filepath.IsLocal(name)
}

// String returns the path as an absolute one.
func (p Path) String() string { return filepath.Join(p.Root, p.Name) }

// IsZero reports whether there is no path.
func (p Path) IsZero() bool { return p == Path{} }

// Join returns the path of a file in the directory p.
func (p Path) Join(name string) Path { return Path{p.Root, filepath.Join(p.Name, name)} }

// Dir returns the directory that p is in.
func (p Path) Dir() Path { return Path{p.Root, filepath.Dir(p.Name)} }

// MakeDir opens the directory p, which is made if it is missing, as are those on the way to it.
func (p Path) MakeDir() (*os.Root, error) {
	if p.Root == "" {
		if err := os.MkdirAll(p.Name, 0o755); err != nil {
			return nil, err
		}
		return OpenDir(p.Name)
	}
	return p.enter(func(dir *os.Root, name string) (*os.Root, error) {
		if err := dir.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		return OpenDirIn(dir, name)
	})
}

// OpenDir opens the directory p.
func (p Path) OpenDir() (*os.Root, error) {
	if p.Root == "" {
		return OpenDir(p.Name)
	}
	return p.enter(OpenDirIn)
}

// enter opens p one directory after the other.
func (p Path) enter(open func(dir *os.Root, name string) (*os.Root, error)) (*os.Root, error) {
	if !filepath.IsLocal(p.Name) {
		return nil, p.fault("open", errLeaves)
	}
	dir, err := OpenDir(p.Root)
	for _, word := range words(p.Name) {
		if err != nil {
			return nil, err
		}
		var next *os.Root
		next, err = open(dir, word)
		_ = dir.Close()
		dir = next
	}
	if err != nil {
		return nil, p.fault("open", err)
	}
	return dir, nil
}

// Check returns an error unless p is a regular file that can be opened.
func (p Path) Check() error {
	f, err := p.Open()
	if err == nil {
		err = f.Close()
	}
	return err
}

// Read returns the content of a regular file of at most limit bytes. The error names the path.
func (p Path) Read(limit int64) ([]byte, error) {
	f, err := p.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = p.fault("read", tooLong(limit))
	}
	return data, err
}

// ReadIn returns the content of a regular file of at most limit bytes in a file system, which says
// where symbolic links may lead. The error names the file.
func ReadIn(fsys fs.FS, name string, limit int64) ([]byte, error) {
	fault := func(why error) error { return &fs.PathError{Op: "read", Path: name, Err: why} }
	info, err := fs.Stat(fsys, name) // before opening: a FIFO would wait
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fault(errNotRegular)
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fault(tooLong(limit))
	}
	return data, err
}

func tooLong(limit int64) error { return fmt.Errorf("it has more than %d bytes", limit) }

func (p Path) fault(op string, err error) error {
	return &fs.PathError{Op: op, Path: p.String(), Err: err}
}

// Open opens a regular file. Opening a FIFO or a device would wait or act; with O_NONBLOCK it does
// not wait, and what is no regular file is closed again.
func (p Path) Open() (*os.File, error) {
	const how = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	var fd int
	var err error
	if p.Root == "" {
		fd, err = unix.Open(p.Name, how, 0)
	} else {
		fd, err = p.descend(how)
	}
	if err != nil {
		return nil, p.fault("open", err)
	}
	f := os.NewFile(uintptr(fd), p.String())
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = p.fault("open", errNotRegular)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// descend opens the path one directory after the other, and follows no link.
func (p Path) descend(how int) (int, error) {
	if !filepath.IsLocal(p.Name) {
		return -1, errLeaves
	}
	dir, err := unix.Open(p.Root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	words := words(p.Name)
	for i, word := range words {
		if err != nil {
			return -1, err
		}
		flags := how
		if i < len(words)-1 {
			flags = unix.O_RDONLY | unix.O_CLOEXEC | unix.O_DIRECTORY
		}
		var next int
		next, err = unix.Openat(dir, word, flags|unix.O_NOFOLLOW, 0)
		if err != nil && isLink(dir, word) {
			err = ErrLink
		}
		_ = unix.Close(dir)
		dir = next
	}
	return dir, err
}

func words(path string) []string {
	return strings.Split(filepath.Clean(path), string(filepath.Separator))
}

// isLink reports whether a name in a directory is a symbolic link, for which systems have several
// errors.
func isLink(dir int, name string) bool {
	var st unix.Stat_t
	err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && st.Mode&syscall.S_IFMT == syscall.S_IFLNK
}

// OpenDir is os.OpenRoot for a place where others may have put something else than a directory,
// such as a pipe, which os.OpenRoot waits for.
func OpenDir(name string) (*os.Root, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOTDIR}
	}
	return os.OpenRoot(name)
}

// OpenDirIn is OpenDir for a name in a directory, where it follows no link.
func OpenDirIn(dir *os.Root, name string) (*os.Root, error) {
	info, err := dir.Lstat(name)
	switch {
	case err != nil:
		return nil, err
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, ErrLink
	case !info.IsDir():
		return nil, syscall.ENOTDIR
	}
	return dir.OpenRoot(name)
}

// ReadDir is fs.ReadDir for a place where others may have put something else than a directory, such
// as a pipe, which fs.ReadDir waits for.
func ReadDir(fsys fs.FS, name string) ([]fs.DirEntry, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOTDIR}
	}
	return fs.ReadDir(fsys, name)
}

// List is os.ReadDir for such a place.
func List(name string) ([]fs.DirEntry, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// Glob is fs.Glob for a directory that others have filled.
func Glob(fsys fs.FS, pattern string) ([]string, error) { return fs.Glob(dirsOnly{fsys}, pattern) }

// dirsOnly lists directories with ReadDir.
type dirsOnly struct{ fs.FS }

func (d dirsOnly) ReadDir(name string) ([]fs.DirEntry, error) { return ReadDir(d.FS, name) }
func (d dirsOnly) Stat(name string) (fs.FileInfo, error)      { return fs.Stat(d.FS, name) }
