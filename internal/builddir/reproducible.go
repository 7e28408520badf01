// Reproducible: where the two builds of a step are kept if they differ.

package builddir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"buildsys/internal/confined"
)

// Builds is the directory for the two builds of a step that are compared.
type Builds struct{ top, dir string }

// Builds returns the directory for the two builds of the step or image with the given name.
func (d Dir) Builds(name string) Builds {
	return Builds{filepath.Dir(d.Root), filepath.Join(d.Root, "reproducible", name)}
}

// Dir returns the path of the directory.
func (b Builds) Dir() string { return b.dir }

// First and Second return the directories of the outputs of the two builds.
func (b Builds) First() string  { return filepath.Join(b.dir, "first") }
func (b Builds) Second() string { return filepath.Join(b.dir, "second") }

// Remove deletes both builds.
func (b Builds) Remove() error {
	parent, err := confined.Hold(b.top, filepath.Dir(b.dir))
	if err != nil {
		return err
	}
	defer parent.Close()
	return confined.Unheld(os.RemoveAll(parent.Path(filepath.Base(b.dir))))
}

// KeepFirst copies the outputs of the first build next to those of the second.
func (b Builds) KeepFirst(outputs string) error {
	own, err := confined.Hold(b.top, b.dir)
	if err != nil {
		return err
	}
	defer own.Close()
	if err := os.RemoveAll(own.Path("first")); err != nil {
		return confined.Unheld(err)
	}
	return confined.Unheld(os.CopyFS(own.Path("first"), os.DirFS(outputs)))
}

// KeepReport writes a program's report of the differences, and returns the file's path.
func (b Builds) KeepReport(program string, text []byte) (string, error) {
	file := filepath.Join(b.dir, program+".txt")
	f, err := newFile(b.top, file, 0o644)
	if err == nil {
		_, err = f.Write(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return "", fmt.Errorf("cannot keep the report of %s: %w", program, err)
	}
	return file, nil
}
