// The files of a file system, whatever its kind: what a reader of one kind has to do, and what
// follows from it: paths, symbolic links, contents.

package image

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Inode is a file of any type in a file system.
type Inode struct {
	Number   uint64 // the same for all names of a file
	Mode     uint16 // type and permissions, as in stat(2)
	UID, GID uint32
	Links    uint32 // names of the file
	Size     int64  // of the contents, in bytes
	Stored   int64  // bytes that the contents take in the partition
	Time     int64  // of the last change of the contents, in seconds since 1970
	Device   [2]uint32
	raw      []byte // of ext4: the inode as stored; of erofs: its xattrs
	layout   erofsLayout
}

// Types of files, in Inode.Mode.
const (
	ModeType    = 0xf000
	ModeFIFO    = 0x1000
	ModeChar    = 0x2000
	ModeDir     = 0x4000
	ModeBlock   = 0x6000
	ModeRegular = 0x8000
	ModeLink    = 0xa000
	ModeSocket  = 0xc000
	// ModePerm has the permissions with set-user-ID, set-group-ID and sticky.
	ModePerm = 0xfff
)

// Type returns the type of the file.
func (i Inode) Type() uint16 { return i.Mode & ModeType }

// DirEntry is one name in a directory.
type DirEntry struct {
	Name string
	Dir  bool
	Size int64 // bytes; 0 for directories and in listings of ext4 and erofs

	inode uint64
	time  int64  // of FAT
	short string // of FAT: the other name
}

// once returns entries of a directory unless two have the same name: readers would differ in which
// of them they take.
func once(entries []DirEntry) ([]DirEntry, error) {
	names := map[string]bool{}
	for _, e := range entries {
		if names[e.Name] {
			return nil, fmt.Errorf("the directory has the name %q twice: it is damaged", e.Name)
		}
		names[e.Name] = true
	}
	return entries, nil
}

// Sink takes the contents of a file from its beginning to its end.
type Sink interface {
	io.Writer
	// Hole takes n bytes that are not stored and read as zeros.
	Hole(n int64) error
}

// Usage is how the bytes of a file system are used.
type Usage struct {
	Total int64 // of the file system
	Free  int64
}

// Files are the files of a file system. Whatever the partition contains, reading it ends soon, at
// worst with an error, and takes little memory; only contents are as large as they claim.
type Files interface {
	Root() (Inode, error)
	// List lists a directory in its own order, without "." and "..".
	List(dir Inode) ([]DirEntry, error)
	Stat(e DirEntry) (Inode, error)
	// Target returns what a symbolic link leads to.
	Target(link Inode) (string, error)
	// Copy copies the contents of a file or directory.
	Copy(to Sink, file Inode) error
	// Attributes returns the extended attributes of a file by their names.
	Attributes(file Inode) (map[string][]byte, error)
	Usage() Usage
}

// ErrNotFound reports that a file system has no file of the given name.
var ErrNotFound = errors.New("no such file")

var errNoDir = errors.New("is not a directory")

// Symbolic links that one name may lead through, and bytes of one's target: the limits of Linux.
const (
	maxLinks  = 40
	maxTarget = 4096
)

// ErrNoFiles reports that the files of a partition cannot be read.
var ErrNoFiles = errors.New("its files cannot be read")

// OpenFiles returns the files of the file system in a partition of size bytes. The error wraps
// ErrNoFiles if it has none or is of a kind that cannot be read.
func OpenFiles(part io.ReaderAt, size int64) (Files, error) {
	fs, err := ReadFileSystem(part)
	if err != nil {
		return nil, err
	}
	switch fs.Kind {
	case "ext4":
		return noNil(OpenExt4(part, size))
	case "erofs":
		return noNil(OpenErofs(part, size))
	case "vfat":
		return noNil(OpenFAT(part, size))
	case "":
		return nil, fmt.Errorf("holds no file system that is known: %w", ErrNoFiles)
	}
	return nil, fmt.Errorf("holds %s: %w", fs.Kind, ErrNoFiles)
}

// noNil returns no Files, rather than a nil pointer, with an error.
func noNil[F Files](f F, err error) (Files, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Find returns the file at a slash path from the root, and where it is after all symbolic links.
// They are followed inside the file system; the last one only if follow is true. The error is
// ErrNotFound if there is no such file.
func Find(f Files, name string, follow bool) (Inode, string, error) {
	root, err := f.Root()
	if err != nil {
		return root, "", err
	}
	w := way{f: f, inodes: []Inode{root}}
	if err := w.walk(name, follow); err != nil {
		return Inode{}, "", err
	}
	return w.end(), "/" + strings.Join(w.names, "/"), nil
}

// way is the directories from the root to a file, and the file.
type way struct {
	f      Files
	inodes []Inode
	names  []string // of all but the root
}

func (w *way) end() Inode { return w.inodes[len(w.inodes)-1] }

// walk goes on from the end. As in a mounted system, the root has no parent and links that begin
// with a slash start there.
func (w *way) walk(name string, follow bool) error {
	rest := strings.Split(name, "/")
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		if w.end().Type() != ModeDir && (part != "" || len(w.names) > 0) {
			return errNoDir
		}
		switch part {
		case "", ".":
			continue
		case "..":
			n := max(1, len(w.inodes)-1)
			w.inodes, w.names = w.inodes[:n], w.names[:n-1]
			continue
		}
		inode, err := child(w.f, w.end(), part)
		if err != nil {
			return err
		}
		if inode.Type() != ModeLink || !follow && len(rest) == 0 {
			w.inodes, w.names = append(w.inodes, inode), append(w.names, part)
			continue
		}
		if links++; links > maxLinks {
			return fmt.Errorf("leads through more than %d symbolic links", maxLinks)
		}
		target, err := w.f.Target(inode)
		if err != nil {
			return fmt.Errorf("symbolic link %q: %w", part, err)
		}
		if strings.HasPrefix(target, "/") {
			w.inodes, w.names = w.inodes[:1], nil
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return nil
}

// child returns the inode that a directory has under a name.
func child(f Files, dir Inode, name string) (Inode, error) {
	entries, err := f.List(dir)
	if err != nil {
		return Inode{}, err
	}
	for _, entry := range entries {
		if entry.Name == name {
			return f.Stat(entry)
		}
	}
	return Inode{}, ErrNotFound
}

// ReadFile returns the contents of a regular file of at most limit bytes. Symbolic links are
// followed inside the file system. The error is ErrNotFound if the file does not exist.
func ReadFile(f Files, name string, limit int64) ([]byte, error) {
	inode, _, err := Find(f, name, true)
	if err == nil && inode.Type() != ModeRegular {
		err = errors.New("is not a regular file")
	}
	var data []byte
	if err == nil {
		data, err = contents(f, inode, limit)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return data, nil
}

// contents returns the data of a file of at most limit bytes.
func contents(f Files, inode Inode, limit int64) ([]byte, error) {
	if inode.Size < 0 || inode.Size > limit {
		return nil, fmt.Errorf("has %d bytes, more than the expected limit of %d", uint64(inode.Size),
			limit)
	}
	var b buffer
	b.Grow(int(inode.Size))
	err := f.Copy(&b, inode)
	return b.Bytes(), err
}

// copySection copies bytes of a partition of size bytes. Errors of the writer stay as they are.
func copySection(to io.Writer, part io.ReaderAt, size, off, length int64) error {
	if length == 0 { // and there need be no place
		return nil
	}
	if off < 0 || length < 0 || off > size-length {
		return fmt.Errorf("read its data: byte %d is outside the partition of %d bytes: the file "+
			"system is damaged or cut off", off+length, size)
	}
	block := make([]byte, min(length, 128<<10))
	for ; length > 0; off, length = off+int64(len(block)), length-int64(len(block)) {
		block = block[:min(int64(len(block)), length)]
		if n, err := part.ReadAt(block, off); n < len(block) {
			return fmt.Errorf("read its data: %w", torn(err))
		}
		if _, err := to.Write(block); err != nil {
			return err
		}
	}
	return nil
}

// buffer is a Sink in memory.
type buffer struct{ bytes.Buffer }

// Hole implements Sink.
func (b *buffer) Hole(n int64) error {
	_, err := b.Write(make([]byte, n)) // at most the size that it has grown to
	return err
}
