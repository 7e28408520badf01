// Staging: where outputs are made before they are published, and where replaced ones end up.

package builddir

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

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
	dir   string
	hooks Hooks
}

// OpenStaging creates dir if it is missing, and deletes everything in it: a run that was killed
// left it.
func OpenStaging(dir string, hooks Hooks) (*Staging, error) {
	if hooks.Exchange == nil {
		hooks.Exchange = exchange
	}
	if hooks.Sync == nil {
		hooks.Sync = atomicfile.Sync
	}
	if err := emptyDir(dir); err != nil {
		return nil, &HostError{Doing: "empty the staging directory", Err: err}
	}
	return &Staging{dir: dir, hooks: hooks}, nil
}

// Close deletes everything in the staging directory.
func (s *Staging) Close() error { return emptyDir(s.dir) }

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
	defer func() { _ = removeTree(dir) }() // Close tries again
	return work(dir)
}

// makeDir creates an empty directory with the mode of outputs; os.MkdirTemp would make it private.
func (s *Staging) makeDir(step string) (string, error) {
	for {
		dir := filepath.Join(s.dir, fileName(step)+"-"+randomName())
		err := os.Mkdir(dir, 0o755)
		if !errors.Is(err, os.ErrExist) {
			return dir, err
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

// emptyDir creates dir if it is missing and deletes everything in it. Only its owner may enter it:
// what a build sends may have set-user-ID bits and devices until it has been checked, and nobody
// else must have a file open that is published later.
func emptyDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return err
	}
	entries, err := confined.List(dir)
	for _, e := range entries {
		err = errors.Join(err, removeTree(filepath.Join(dir, e.Name())))
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
