// Outputs: everything a build wrote is checked before use, because a package's own build scripts
// wrote it.

package buildkit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"

	"buildsys/internal/cache"
	"buildsys/internal/errkind"
)

// OutputError reports that a build wrote something that must not be published.
type OutputError struct {
	Name string // plan.Solve.Name
	File string // path inside the outputs; empty if all of them are meant
	Err  error
}

func (e *OutputError) Error() string {
	if e.File == "" {
		return fmt.Sprintf("outputs of %s: %v", e.Name, e.Err)
	}
	return fmt.Sprintf("outputs of %s: file %q: %v", e.Name, e.File, e.Err)
}

// ErrorKind returns errkind.Integrity.
func (*OutputError) ErrorKind() errkind.Kind { return errkind.Integrity }

func (e *OutputError) Unwrap() error { return e.Err }

// checkOutputs walks dir and sets modes to 0644 and 0755. Package outputs are regular files side by
// side; a variant or kit may also have directories, and relative symlinks that stay inside.
func checkOutputs(dir, name string, directories bool) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("outputs of %s: %w", name, err)
	}
	defer root.Close()
	files := 0
	err = fs.WalkDir(root.FS(), ".", func(p string, entry fs.DirEntry, err error) error {
		if err != nil || p == "." {
			return err
		}
		if err := checkOutput(root, p, entry, directories); err != nil {
			return &OutputError{Name: name, File: p, Err: err}
		}
		if !entry.IsDir() {
			files++
		}
		return nil
	})
	if err != nil {
		return err
	}
	if files == 0 {
		return &OutputError{Name: name,
			Err: errors.New("the build wrote no file; its recipe must write its outputs into /output")}
	}
	return nil
}

// checkOutput checks one file and normalises its mode.
func checkOutput(root *os.Root, p string, entry fs.DirEntry, directories bool) error {
	if reason := cache.BadName(path.Base(p)); reason != "" {
		return errors.New(reason)
	}
	info, err := entry.Info()
	if err != nil {
		return err
	}
	mode := info.Mode()
	switch {
	case mode&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0:
		return fmt.Errorf("has the mode %v; setuid, setgid and sticky bits are not accepted", mode)
	case mode.IsRegular():
		return root.Chmod(p, 0o644)
	case mode.IsDir() && directories:
		return root.Chmod(p, 0o755)
	case mode&fs.ModeSymlink != 0 && directories:
		if err := cache.CheckLink(root, p); err != nil {
			return fmt.Errorf("is %w", err)
		}
		return nil
	}
	return fmt.Errorf("is a %s; only regular files are accepted", modeName(mode))
}

// full reports whether nothing more can be written to a directory. The client's exporter does not
// report it: the engine only notices, and reports, that its peer is gone.
func full(dir string) bool {
	f, err := os.CreateTemp(dir, "probe-*")
	if err == nil {
		_, err = f.Write(make([]byte, 64<<10))
		if e := f.Close(); err == nil {
			err = e
		}
		if e := os.Remove(f.Name()); err == nil {
			err = e
		}
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
