// loader: reads the files of an untrusted tree and collects the mistakes in them.

package workspace

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"buildsys/internal/confined"
	"buildsys/internal/manifest"
)

// loader collects the contents of a tree and the mistakes in it. Its maps are keyed by directory
// name, because dependencies are paths and a package's name may be wrong.
type loader struct {
	tree     fs.FS
	packages map[string]*Package
	variants map[string]*Variant
	kits     map[string]*Kit
	problems manifest.Problems
	rules    manifest.Rules
	foreign  bool // written for another program: allows more than our own trees need
	hints    int  // that were looked for
}

// part returns a loader for some of the manifests, with problems of its own.
func (l *loader) part() *loader {
	return &loader{tree: l.tree, rules: l.rules, foreign: l.foreign}
}

func (l *loader) problem(file string, line int, hint, format string, args ...any) {
	l.problems = append(l.problems, manifest.Problem{
		File: file, Line: line, Msg: fmt.Sprintf(format, args...), Hint: hint,
	})
}

// tolerate reports a problem that Bottlerocket ignored: a warning if rules are lenient.
func (l *loader) tolerate(file string, line int, hint, format string, args ...any) {
	l.problem(file, line, hint, format, args...)
	l.problems[len(l.problems)-1].Warning = l.rules.Lenient
}

// maxHints bounds what is looked for in vain. A tree may have mistakes without number.
const maxHints = 100

// near returns what was probably meant by a name, or "". It is manifest.Nearest for the first
// mistakes; of later ones nobody reads the hint.
func (l *loader) near(name string, known func() []string) string {
	if l.hints++; l.hints > maxHints {
		return ""
	}
	return manifest.Nearest(name, known())
}

// why returns an error without the path, which the message around it names already.
func why(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// read returns the contents of a regular file, at most one byte more than a manifest may have.
// Otherwise it reports a problem and ok is false.
func (l *loader) read(name string) (data []byte, ok bool) {
	info, err := fs.Lstat(l.tree, name)
	if err != nil {
		l.problem(name, 0, "", "cannot be read: %v", why(err))
		return nil, false
	}
	return l.readKind(name, info.Mode())
}

// readKind is read for a file whose type is known.
func (l *loader) readKind(name string, kind fs.FileMode) (data []byte, ok bool) {
	if !kind.IsRegular() {
		l.problem(name, 0, "", "must be a regular file, not %s", kindOf(kind))
		return nil, false
	}
	f, err := l.tree.Open(name)
	if err == nil {
		defer f.Close()
		data, err = io.ReadAll(io.LimitReader(f, manifest.MaxSize+1))
	}
	if err != nil {
		l.problem(name, 0, "", "cannot be read: %v", why(err))
		return nil, false
	}
	return data, true
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeSymlink != 0:
		return "a symlink"
	case mode.IsRegular():
		return "a regular file"
	}
	return "a special file"
}

func (l *loader) exists(name string) bool {
	_, err := fs.Lstat(l.tree, name)
	return err == nil
}

// list returns the names of the directories in parent that are not hidden, sorted.
func (l *loader) list(parent string) []string {
	info, err := fs.Lstat(l.tree, parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !info.IsDir() {
		l.problem(parent, 0, "", "must be a directory, not %s", kindOf(info.Mode()))
		return nil
	}
	entries, err := confined.ReadDir(l.tree, parent)
	if err != nil {
		l.problem(parent, 0, "", "cannot be read: %v", why(err))
	}
	var names []string
	for _, e := range entries {
		dir := path.Join(parent, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."), e.Type().IsRegular():
		case !e.IsDir():
			l.problem(dir, 0, "put the directory itself there",
				"must be a directory, not %s", kindOf(e.Type()))
		default:
			names = append(names, e.Name())
		}
	}
	return names
}
