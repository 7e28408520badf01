// Publishing: a step's outputs replace the old ones as a whole and durably, and there is no moment
// without either.

package builddir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"buildsys/internal/confined"
)

// asideSuffix marks the old outputs while they are swapped on a file system that cannot exchange
// two directories.
const asideSuffix = ".buildsys-old"

// Publish puts dir in the place of the outputs o and leaves what was there, if anything, in dir.
// Readers see either the old directory or the new one, and so does the next run after a kill or a
// power cut.
func (s *Staging) Publish(o Outputs, dir string) error {
	return s.PublishSynced(o, dir, s.Sync(dir))
}

// PublishSynced is Publish for a dir that was already written to disk; synced is the error of that.
func (s *Staging) PublishSynced(o Outputs, dir string, synced error) error {
	fail := func(doing string, err error) error {
		err = confined.Unheld(err)
		if errors.Is(err, syscall.EXDEV) {
			err = fmt.Errorf("%w; the staging directory %s must be on the same file system", err,
				s.held.Dir())
		}
		return &HostError{Step: o.Step, Doing: doing, Err: err}
	}
	if synced != nil {
		return fail("write the outputs to disk", synced)
	}
	s.Stage("synced")
	parent, err := confined.Hold(s.top, filepath.Dir(o.Dir))
	if err != nil {
		return fail("make the output directory", err)
	}
	defer parent.Close()
	s.Stage("parent")
	if filepath.Dir(dir) == s.held.Dir() {
		dir = s.held.Path(filepath.Base(dir))
	}
	undo, err := s.replace(dir, parent.Path(filepath.Base(o.Dir)))
	if err != nil {
		return fail("put the outputs in place", err)
	}
	s.Stage("replaced")
	if err := s.hooks.Sync(parent.Path(".")); err != nil {
		// The kernel may have dropped the write. The old outputs are known to be good, so restore
		// them.
		return fail("write the output directory to disk", errors.Join(err, undo()))
	}
	s.Stage("durable")
	if err := s.flipLink(o, parent); err != nil {
		return fail(fmt.Sprintf("point the link %s to the outputs", o.Link), err)
	}
	s.Stage("linked")
	return nil
}

// replace moves dir to out, and what was at out to dir. undo reverses it.
func (s *Staging) replace(dir, out string) (undo func() error, err error) {
	if _, err := os.Lstat(out); errors.Is(err, fs.ErrNotExist) {
		return func() error { return os.Rename(out, dir) }, os.Rename(dir, out)
	}
	swap := func() error {
		err := s.hooks.Exchange(dir, out)
		if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {
			return s.swapByRenames(dir, out)
		}
		return err
	}
	return swap, swap()
}

// swapByRenames exchanges dir and out with three renames. A kill between the first two leaves out
// missing and its contents under the name with asideSuffix, which Recover repairs.
func (s *Staging) swapByRenames(dir, out string) error {
	aside := out + asideSuffix
	if err := removeTree(aside); err != nil {
		return err
	}
	if err := os.Rename(out, aside); err != nil {
		return err
	}
	s.Stage("aside")
	if err := os.Rename(dir, out); err != nil {
		return errors.Join(err, os.Rename(aside, out))
	}
	s.Stage("swapped")
	return os.Rename(aside, dir)
}

// flipLink makes the link point to the outputs. The target is relative, so that a checkout can be
// moved.
func (s *Staging) flipLink(o Outputs, parent confined.Held) error {
	if o.Link == "" {
		return nil
	}
	tmp := s.held.Path("link-" + randomName())
	if err := os.Symlink(filepath.Base(o.Dir), tmp); err != nil {
		return err
	}
	s.Stage("link")
	if err := os.Rename(tmp, parent.Path(o.Link)); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return s.hooks.Sync(parent.Path("."))
}

// Recover repairs outputs that a kill inside swapByRenames left aside.
func (s *Staging) Recover(o Outputs) error {
	if _, err := os.Lstat(o.Dir + asideSuffix); err != nil {
		return nil
	}
	parent, err := confined.HoldExisting(s.top, filepath.Dir(o.Dir))
	if err == nil {
		out := parent.Path(filepath.Base(o.Dir))
		if _, e := os.Lstat(out); errors.Is(e, fs.ErrNotExist) {
			err = os.Rename(out+asideSuffix, out)
		} else {
			err = removeTree(out + asideSuffix)
		}
		parent.Close()
	}
	if err != nil {
		return &HostError{Step: o.Step, Doing: "restore the outputs of an interrupted run",
			Err: confined.Unheld(err)}
	}
	return nil
}

// Sync writes dir and every file and directory below it to disk.
func (s *Staging) Sync(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		return s.hooks.Sync(path)
	})
}
