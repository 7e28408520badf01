// Staging: where outputs are made before they are published, and where replaced ones end up.

package builddir

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"

	"buildsys/internal/atomicfile"
	"buildsys/internal/confined"
)

// Hooks let a test fail or end the process at a chosen moment; a nil hook is the real operation.
type Hooks struct {
	Exchange func(a, b string) error // swaps two directories
	Sync     func(path string) error // writes one file or directory to disk
	Stage    func(name string)       // called between the stages of publishing
}

// Staging is the directory in which outputs are made. It lies on the file system of the outputs.
// Its methods are safe for concurrent use.
type Staging struct {
	top   string // no link below it is followed; may be empty
	held  confined.Held
	hooks Hooks
}

// OpenStaging creates dir if it is missing, and deletes everything in it: a run that was killed
// left it. Below top, the checkout, no link is followed, then and later; an empty top is no limit.
func OpenStaging(top, dir string, hooks Hooks) (*Staging, error) {
	if hooks.Exchange == nil {
		hooks.Exchange = exchange
	}
	if hooks.Sync == nil {
		hooks.Sync = atomicfile.Sync
	}
	dir, err := filepath.Abs(dir)
	s := &Staging{top: top, hooks: hooks}
	if err == nil {
		s.held, err = holdOwn(top, dir)
	}
	if err == nil {
		if err = s.empty(); err != nil {
			s.held.Close()
		}
	}
	if err != nil {
		return nil, &HostError{Doing: "empty the staging directory", Err: confined.Unheld(err)}
	}
	return s, nil
}

// holdOwn is confined.Hold for a directory in which nobody else may put anything. One that belongs
// to another user, who could, is made anew.
func holdOwn(top, dir string) (confined.Held, error) {
	own, err := confined.Hold(top, dir)
	if err != nil {
		return own, err
	}
	if ours, err := isOurs(own); err != nil || ours {
		return own, err
	}
	own.Close()
	parent, err := confined.HoldExisting(top, filepath.Dir(dir))
	if err != nil {
		return parent, err
	}
	defer parent.Close()
	if err := removeTree(parent.Path(filepath.Base(dir))); err != nil {
		return parent, err
	}
	if own, err = confined.Hold(top, dir); err != nil {
		return own, err
	}
	if ours, err := isOurs(own); err != nil || ours {
		return own, err
	}
	return own, &PlaceError{dir, "of another user"}
}

// isOurs reports whether a directory has the owner that its file system gives to what this process
// makes there: with NFS that need not be the user.
func isOurs(dir confined.Held) (bool, error) {
	f, err := os.CreateTemp(dir.Path("."), "owner-")
	if errors.Is(err, fs.ErrPermission) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	defer os.Remove(f.Name())
	made, err := f.Stat()
	if err != nil {
		return false, err
	}
	is, err := dir.Stat()
	if err != nil {
		return false, err
	}
	return owner(made) == owner(is), nil
}

func owner(info fs.FileInfo) uint32 { return info.Sys().(*syscall.Stat_t).Uid }

// Close deletes everything in the staging directory.
func (s *Staging) Close() error {
	defer s.held.Close()
	return confined.Unheld(s.empty())
}

// Stage tells a test that a stage is reached.
func (s *Staging) Stage(name string) {
	if s.hooks.Stage != nil {
		s.hooks.Stage(name)
	}
}

// Use calls work with an empty directory for the outputs of a step. It deletes what is there
// afterwards: outputs that were not published, or those that were replaced.
func (s *Staging) Use(step string, work func(dir string) error) error {
	dir, err := s.makeDir(step)
	if err != nil {
		return &HostError{Step: step, Doing: "make a staging directory", Err: err}
	}
	defer func() { _ = removeTree(s.held.Path(filepath.Base(dir))) }() // Close tries again
	return work(dir)
}

// makeDir creates an empty directory with the mode of outputs; os.MkdirTemp would make it private.
func (s *Staging) makeDir(step string) (string, error) {
	for {
		name := fileName(step) + "-" + randomName()
		err := os.Mkdir(s.held.Path(name), 0o755)
		if !errors.Is(err, os.ErrExist) {
			return filepath.Join(s.held.Dir(), name), confined.Unheld(err)
		}
	}
}

func randomName() string {
	const letters = "abcdefghijklmnopqrstuvwxyz234567"
	b := make([]byte, 10)
	for i := range b {
		b[i] = letters[rand.IntN(len(letters))]
	}
	return string(b)
}

// empty deletes everything in the directory. Only its owner may enter it: what a build sends may
// have set-user-ID bits and devices until it has been checked, and nobody else must have a file
// open that is published later.
func (s *Staging) empty() error {
	if err := s.held.Chmod(0o700); err != nil {
		return err
	}
	entries, err := confined.List(s.held.Path("."))
	for _, e := range entries {
		err = errors.Join(err, removeTree(s.held.Path(e.Name())))
	}
	return err
}

// removeTree deletes path and everything below it, even directories that a build left without write
// permission.
func removeTree(path string) error {
	err := os.RemoveAll(path)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	_ = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(p, 0o700) // RemoveAll below reports the failure
		}
		return nil
	})
	return os.RemoveAll(path)
}
