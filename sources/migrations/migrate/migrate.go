// Package migrate is what all migrations share: the command line, and moving one entry of the data
// store.
//
// A migration is a program of its own, named migrate_v<version>_<what>. An update to that version
// runs it with --forward, a return to an older one with --backward. A migration must be able to run
// twice: a machine may lose power after the change and before anyone has noted it.
package migrate

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Direction says whether the machine goes to the migration's version or away from it.
type Direction string

// The directions of a migration.
const (
	Forward  Direction = "--forward"
	Backward Direction = "--backward"
)

// Main reads the command line "--forward|--backward STORE", runs the migration, and returns the
// exit status: 0 done, 1 failed, 2 wrong use. Messages go to stderr.
func Main(args []string, stderr io.Writer, run func(store *os.Root, d Direction) error) int {
	if len(args) != 3 || (args[1] != string(Forward) && args[1] != string(Backward)) {
		fmt.Fprintf(stderr, "usage: %s --forward|--backward STORE\n", filepath.Base(args[0]))
		return 2
	}
	store, err := os.OpenRoot(args[2])
	if err == nil {
		err = errors.Join(run(store, Direction(args[1])), store.Close())
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", filepath.Base(args[0]), err)
		return 1
	}
	return 0
}

// Move renames the file from to the file to, both inside the store. It is done when only to exists,
// or neither; with both it stops, because it cannot know which one is right.
func Move(store *os.Root, from, to string) error {
	_, fromErr := store.Lstat(from)
	_, toErr := store.Lstat(to)
	switch {
	case errors.Is(fromErr, os.ErrNotExist):
		return nil
	case fromErr != nil:
		return fromErr
	case toErr == nil:
		return fmt.Errorf("both %s and %s exist: remove the one that is wrong", from, to)
	case !errors.Is(toErr, os.ErrNotExist):
		return toErr
	}
	return os.Rename(filepath.Join(store.Name(), from), filepath.Join(store.Name(), to))
}
