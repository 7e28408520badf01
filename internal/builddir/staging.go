// Staging: where outputs are made before they are published, and where replaced ones go.

package builddir

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// Hooks are for tests, which fail or end the process at a moment of their choice; a nil one is the
// real thing.
type Hooks struct {
	Exchange func(a, b string) error // swaps two directories
	Sync     func(path string) error // writes one file or directory to disk
	Stage    func(name string)       // called between the stages of publishing
}

// Staging is the directory in which outputs are made. It lies on the file system of the outputs.
// Its methods may be called by several goroutines at once.
type Staging struct {
	dir   string
	hooks Hooks
}

// OpenStaging makes dir, when it is missing, and deletes all it holds: what is there was left by a
// run that was killed.
func OpenStaging(dir string, hooks Hooks) (*Staging, error) {
	if hooks.Exchange == nil {
		hooks.Exchange = exchange
	}
	if hooks.Sync == nil {
		hooks.Sync = syncPath
	}
	if err := emptyDir(dir); err != nil {
		return nil, &HostError{Doing: "empty the staging directory", Err: err}
	}
	return &Staging{dir: dir, hooks: hooks}, nil
}

// Close deletes all that the staging directory holds.
func (s *Staging) Close() error { return emptyDir(s.dir) }

// Stage tells a test that a stage is reached.
func (s *Staging) Stage(name string) {
	if s.hooks.Stage != nil {
		s.hooks.Stage(name)
	}
}

// Use has work done in an empty directory for the outputs of a step. What is there afterwards is
// deleted: outputs that were not published, or those that were replaced.
func (s *Staging) Use(step string, work func(dir string) error) error {
	dir, err := s.makeDir(step)
	if err != nil {
		return &HostError{Step: step, Doing: "make a staging directory", Err: err}
	}
	defer func() { _ = removeTree(dir) }() // Close tries once more
	return work(dir)
}

// makeDir makes an empty directory with the mode that outputs have; os.MkdirTemp would make it
// private.
func (s *Staging) makeDir(step string) (string, error) {
	for {
		dir := filepath.Join(s.dir, unitName(step)+"-"+randomName())
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

// removeTree deletes path and all below it, also directories that a build left without write
// permission.
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
