// Outputs: everything a build wrote is checked before use, because a package's own build scripts
// wrote it.

package buildkit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

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
	if err := checkName(path.Base(p)); err != nil {
		return err
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
		return checkLink(root, p)
	}
	return fmt.Errorf("is a %s; only regular files are accepted", modeName(mode))
}

// checkLink accepts only a relative link to something inside the outputs.
func checkLink(root *os.Root, p string) error {
	target, err := root.Readlink(p)
	if err != nil {
		return err
	}
	if !filepath.IsLocal(path.Join(path.Dir(p), target)) || path.IsAbs(target) {
		return fmt.Errorf("is a symlink to %q, outside the outputs", target)
	}
	if _, err := root.Stat(p); err != nil { // follows it, and refuses to leave the root on the way
		return fmt.Errorf("is a symlink to %q, which does not exist inside the outputs", target)
	}
	return nil
}

// checkName rejects names that are unsafe in a command line, a glob or a terminal.
func checkName(name string) error {
	if strings.HasPrefix(name, "-") || strings.HasPrefix(name, ".") {
		return errors.New("its name begins with '-' or '.'")
	}
	if !utf8.ValidString(name) {
		return errors.New("its name is not valid UTF-8")
	}
	for _, r := range name {
		if !unicode.IsPrint(r) || strings.ContainsRune(" ;&|<>$`'\"\\*?", r) {
			return fmt.Errorf("its name contains the character %q", r)
		}
	}
	return nil
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
