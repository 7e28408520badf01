// Package atomicfile replaces files as a whole. At every moment a name has the old or the new
// content, never a part, even if the process is killed, a write fails or the disk is full. After a
// power cut, a file written by Replace may be empty or lost; one written by ReplaceDurable is old
// or new, and new once the call has returned. Errors name the file to be replaced. Modes are as
// given, regardless of the umask.
package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// prefix begins the names of all temporary files, by which those of killed writers are recognised.
const prefix = ".buildsys-new-"

// abandoned is the age after which a temporary file counts as left by a killed writer, which may
// have run on another machine.
const abandoned = 24 * time.Hour

// Temp is a file being written, for content whose name is known only at its end.
type Temp struct {
	f    *os.File
	mode fs.FileMode
}

// New returns an empty Temp in dir, which must be on the file system of its later name. The first
// call for a directory removes the temporary files that killed writers left there.
func New(dir string, mode fs.FileMode) (*Temp, error) {
	cleanOnce(dir)
	f, err := os.CreateTemp(dir, prefix)
	if err != nil {
		return nil, err
	}
	return &Temp{f, mode}, nil
}

// Write appends p.
func (t *Temp) Write(p []byte) (int, error) { return t.f.Write(p) }

// Replace gives t its name. The Temp is used up, even if there is an error.
func (t *Temp) Replace(name string) error { return t.replace(name, false) }

// ReplaceDurable gives t its name and forces both to disk. If only the very last step fails, which
// forces the name, the new file stays in place.
func (t *Temp) ReplaceDurable(name string) error { return t.replace(name, true) }

// Discard removes the file unless it has been given a name.
func (t *Temp) Discard() {
	if t.f != nil {
		_ = t.f.Close()
		_ = os.Remove(t.f.Name())
		t.f = nil
	}
}

// System calls that tests replace.
var (
	syncFile = (*os.File).Sync
	rename   = os.Rename
	link     = os.Link
)

func (t *Temp) replace(name string, durable bool) error {
	err := t.f.Chmod(t.mode)
	if err == nil && durable {
		err = syncFile(t.f)
	}
	if err = errors.Join(err, t.f.Close()); err == nil { // some file systems report lost writes here
		err = rename(t.f.Name(), name)
	}
	if err != nil {
		t.Discard()
		return failed(name, err)
	}
	t.f = nil
	if durable {
		return failed(name, Sync(filepath.Dir(name)))
	}
	return nil
}

// failed returns err as an error of replacing name; nil stays nil.
func failed(name string, err error) error {
	if err == nil {
		return nil
	}
	if cause, ok := errors.AsType[*fs.PathError](err); ok { // it names the temporary file
		err = cause.Err
	} else if cause, ok := errors.AsType[*os.LinkError](err); ok {
		err = cause.Err
	}
	return &fs.PathError{Op: "replace", Path: name, Err: err}
}

// Replace writes data to the file name. A power cut may lose it.
func Replace(name string, data []byte, mode fs.FileMode) error {
	return write(name, data, mode, (*Temp).Replace)
}

// ReplaceDurable writes data to the file name and forces it to disk.
func ReplaceDurable(name string, data []byte, mode fs.FileMode) error {
	return write(name, data, mode, (*Temp).ReplaceDurable)
}

func write(name string, data []byte, mode fs.FileMode, replace func(*Temp, string) error) error {
	t, err := New(filepath.Dir(name), mode)
	if err != nil {
		return failed(name, err)
	}
	if _, err := t.Write(data); err != nil {
		t.Discard()
		return failed(name, err)
	}
	return replace(t, name)
}

// Link makes name another name of the file old or, on a file system without hard links, a copy of
// it with the given mode. A power cut may lose it.
func Link(old, name string, mode fs.FileMode) error {
	t, err := New(filepath.Dir(name), mode)
	if err != nil {
		return failed(name, err)
	}
	temp := t.f.Name()
	t.Discard() // link needs a free name
	if link(old, temp) == nil {
		err := rename(temp, name)
		_ = os.Remove(temp) // if both are names of one file, rename keeps both
		if err == nil {
			return nil
		}
	}
	data, err := os.ReadFile(old)
	if err != nil {
		return err
	}
	return Replace(name, data, mode)
}

// Sync forces a file, or the names in a directory, to disk. An error of Close counts: some file
// systems report a lost write only there.
func Sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(syncFile(f), f.Close())
}

// Clean removes all temporary files in dir. Only the sole writer of dir may call it.
func Clean(dir string) error { return clean(dir, time.Now().Add(time.Hour)) }

// directory is which directory one is. A path alone does not say it: that of a handle is soon
// another's. Nor do its numbers: those of one that is removed are given again.
type directory struct {
	path       string
	dev, inode uint64
}

var cleaned sync.Map // of directory

// cleanOnce removes what killed writers left in dir. It ignores failures, which cost only space.
func cleanOnce(dir string) {
	var st syscall.Stat_t
	if syscall.Stat(dir, &st) != nil {
		return
	}
	is := directory{dir, uint64(st.Dev), uint64(st.Ino)} // the types differ between architectures
	if _, done := cleaned.LoadOrStore(is, true); !done {
		_ = clean(dir, time.Now().Add(-abandoned))
	}
}

// clean removes the temporary files in dir that were last written before a time.
func clean(dir string, before time.Time) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	err = errors.Join(err, d.Close())
	for _, name := range names {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		path := filepath.Join(dir, name)
		info, gone := os.Lstat(path)
		if gone == nil && info.Mode().IsRegular() && info.ModTime().Before(before) {
			if e := os.Remove(path); !errors.Is(e, fs.ErrNotExist) {
				err = errors.Join(err, e)
			}
		}
	}
	return err
}
