// Publishing: a step's outputs replace the old ones whole, durably, and at no moment is there neither.

package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"buildsys/internal/plan"
)

// asideSuffix marks the old outputs while they are swapped on a file system that cannot exchange two directories.
const asideSuffix = ".buildsys-old"

// publish puts dir in the place of the step's Out and leaves the old outputs, if any, in dir.
// Readers see either the old directory or the new one, and so does the next run after a kill or a power cut.
func (w worker) publish(dir string) error { return w.publishSynced(dir, w.syncTree(dir)) }

// publishSynced is publish for a dir that was written to disk already; synced is what came of that.
func (w worker) publishSynced(dir string, synced error) error {
	out := w.step.Out
	fail := func(doing string, err error) error {
		if errors.Is(err, syscall.EXDEV) {
			err = fmt.Errorf("%w; the staging directory %s must be on the same file system", err, w.o.Staging)
		}
		return &HostError{Step: w.step.ID, Doing: doing, Err: err}
	}
	if synced != nil {
		return fail("write the outputs to disk", synced)
	}
	w.o.stage("synced")
	parent := filepath.Dir(out)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fail("make the output directory", err)
	}
	w.o.stage("parent")
	undo, err := w.replace(dir, out)
	if err != nil {
		return fail("put the outputs in place", err)
	}
	w.o.stage("replaced")
	if err := w.o.sync(parent); err != nil {
		// The kernel may have dropped the write. The old outputs are known to be good, so go back to them.
		return fail("write the output directory to disk", errors.Join(err, undo()))
	}
	w.o.stage("durable")
	if err := w.flipLink(parent); err != nil {
		return fail(fmt.Sprintf("point the link %s to the outputs", w.step.Link), err)
	}
	w.o.stage("linked")
	return nil
}

// replace moves dir to out; what out was is then in dir. undo reverses it.
func (w worker) replace(dir, out string) (undo func() error, err error) {
	if _, err := os.Lstat(out); errors.Is(err, fs.ErrNotExist) {
		return func() error { return os.Rename(out, dir) }, os.Rename(dir, out)
	}
	swap := func() error {
		err := w.o.exchange(dir, out)
		if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {
			return w.swapByRenames(dir, out)
		}
		return err
	}
	return swap, swap()
}

// swapByRenames exchanges dir and out with three renames. A kill between the first two leaves out missing and its
// contents aside, which recoverOutputs repairs.
func (w worker) swapByRenames(dir, out string) error {
	aside := out + asideSuffix
	if err := removeTree(aside); err != nil {
		return err
	}
	if err := os.Rename(out, aside); err != nil {
		return err
	}
	w.o.stage("aside")
	if err := os.Rename(dir, out); err != nil {
		return errors.Join(err, os.Rename(aside, out))
	}
	w.o.stage("swapped")
	return os.Rename(aside, dir)
}

// flipLink makes the step's link in parent point to its outputs. The target is relative, so a checkout can be moved.
func (w worker) flipLink(parent string) error {
	if w.step.Link == "" {
		return nil
	}
	tmp := filepath.Join(w.o.Staging, "link-"+randomName())
	if err := os.Symlink(filepath.Base(w.step.Out), tmp); err != nil {
		return err
	}
	w.o.stage("link")
	if err := os.Rename(tmp, filepath.Join(parent, w.step.Link)); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return w.o.sync(parent)
}

// linkInPlace says whether the step's link points to its outputs; a step without one has nothing to be wrong.
func (w worker) linkInPlace() bool {
	if w.step.Link == "" {
		return true
	}
	target, err := os.Readlink(filepath.Join(filepath.Dir(w.step.Out), w.step.Link))
	return err == nil && target == filepath.Base(w.step.Out)
}

// recoverOutputs repairs what a kill inside swapByRenames left behind.
func recoverOutputs(p plan.Plan) error {
	for _, s := range p.Steps {
		if s.Given { // another process may be at it
			continue
		}
		aside := s.Out + asideSuffix
		if _, err := os.Lstat(aside); err != nil {
			continue
		}
		var err error
		if _, e := os.Lstat(s.Out); errors.Is(e, fs.ErrNotExist) {
			err = os.Rename(aside, s.Out)
		} else {
			err = removeTree(aside)
		}
		if err != nil {
			return &HostError{Step: s.ID, Doing: "restore the outputs of an interrupted run", Err: err}
		}
	}
	return nil
}

// syncTree writes every file and directory below dir, and dir, to disk.
func (w worker) syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		return w.o.sync(path)
	})
}

// syncPath writes one file or directory to disk. An error of Close counts: some file systems report a lost write only there.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// emptyDir makes dir when it is missing and deletes all it holds.
func emptyDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, removeTree(filepath.Join(dir, e.Name())))
	}
	return err
}

// removeTree deletes path and all below it, also directories that a build left without write permission.
func removeTree(path string) error {
	err := os.RemoveAll(path)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	_ = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(p, 0o700) // RemoveAll below reports what could not be done
		}
		return nil
	})
	return os.RemoveAll(path)
}
