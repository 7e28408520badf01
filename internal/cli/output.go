// output: files and directories that the caller names for what commands write.

package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"buildsys/internal/atomicfile"
	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/git"
)

// writeFile writes a file that the caller named. Inside the checkout it goes through no symbolic
// link, and takes the place of one: the caller meant the name, and the link may be a stranger's.
// Elsewhere the name is used as it is, also that of a pipe.
func (a *app) writeFile(name string, data []byte, mode fs.FileMode) error {
	top, err := a.throughNoLink(filepath.Dir(name))
	if err != nil {
		return err
	}
	if info, err := os.Lstat(name); err == nil && top == "" && !info.Mode().IsRegular() {
		if planted(filepath.Dir(name), info) {
			return errkind.Usagef("%s is another user's, in a directory where everybody may make files: "+
				"name another file", name)
		}
		return os.WriteFile(name, data, mode) // a pipe, or /dev/stdout
	}
	if top != "" {
		dir, err := confined.HoldExisting(top, filepath.Dir(name))
		if errors.Is(err, fs.ErrNotExist) {
			return &fs.PathError{Op: "replace", Path: name, Err: syscall.ENOENT}
		}
		if err != nil {
			return err
		}
		defer dir.Close()
		base := filepath.Base(name)
		return dir.Fault("replace", base, atomicfile.Replace(dir.Path(base), data, mode))
	}
	return atomicfile.Replace(name, data, mode)
}

// planted reports whether another user has put something into a directory where everybody may, such
// as /tmp. Most systems follow no such link (fs.protected_symlinks), but not that of every
// machine.
func planted(dir string, what fs.FileInfo) bool {
	parent, err := os.Stat(dir)
	if err != nil || parent.Mode()&fs.ModeSticky == 0 || parent.Mode()&0o002 == 0 {
		return false
	}
	file, ok1 := what.Sys().(*syscall.Stat_t)
	owner, ok2 := parent.Sys().(*syscall.Stat_t)
	return ok1 && ok2 && int(file.Uid) != os.Geteuid() && file.Uid != owner.Uid
}

// throughNoLink returns the checkout that a directory is in, or "". One that is reached through a
// symbolic link of the checkout is an error of usage.
func (a *app) throughNoLink(dir string) (checkout string, err error) {
	for _, top := range a.tops() {
		p, ok := confined.In(top, dir)
		if !ok {
			continue
		}
		at := top
		for word := range strings.SplitSeq(p.Name, string(filepath.Separator)) {
			at = filepath.Join(at, word)
			info, err := os.Lstat(at)
			if err != nil { // whoever opens or makes it says why
				break
			}
			if info.Mode()&fs.ModeSymlink != 0 {
				return top, errkind.BadUsage(fmt.Errorf("%s: %w; name the directory itself", at,
					confined.ErrLink))
			}
		}
		return top, nil
	}
	return "", nil
}

// tops returns the directories of the checkout and of the tree in it, as far as there are any.
func (a *app) tops() (tops []string) {
	for _, find := range []func() (string, error){
		func() (string, error) {
			c, err := git.Find(a.sys.Dir)
			return c.Top(), err
		},
		a.caller().Root,
	} {
		if top, err := find(); err == nil {
			tops = append(tops, top)
		}
	}
	return tops
}
