// Held: directories of a checkout as they were when they were opened. Whoever may write to the
// checkout can put a link in the place of one at any moment; what is done through the handle of a
// directory stays in that.

package builddir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"buildsys/internal/confined"
)

// held is an open directory.
type held struct {
	f   *os.File
	dir string
}

// hold opens a directory, which is made if it is missing. Below top no link is followed; an empty
// top is no limit.
func hold(top, dir string) (held, error) {
	at := confined.Path{Name: dir}
	if p, ok := confined.In(top, dir); ok && top != "" {
		at = p
	}
	root, err := at.MakeDir()
	if err != nil {
		return held{}, err
	}
	defer root.Close()
	f, err := root.Open(".")
	return held{f, dir}, err
}

// handles is the directory of the handles of this process.
const handles = "/proc/self/fd"

var haveHandles = sync.OnceValue(func() bool {
	_, err := os.Stat(handles)
	return err == nil
})

// path returns the path of a name in the directory, by the handle where the system has paths for
// those.
func (h held) path(name string) string {
	if haveHandles() {
		return fmt.Sprintf("%s/%d/%s", handles, h.f.Fd(), name)
	}
	return filepath.Join(h.dir, name)
}

func (h held) close() { _ = h.f.Close() }

// unheld returns an error without the paths of handles, which say nothing to people.
func unheld(err error) error {
	if cause, ok := errors.AsType[*os.LinkError](err); ok && strings.HasPrefix(cause.Old, handles) {
		return cause.Err
	}
	if cause, ok := errors.AsType[*os.PathError](err); ok && strings.HasPrefix(cause.Path, handles) {
		return cause.Err
	}
	return err
}
