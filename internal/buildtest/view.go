// What the Fake sees of a context: the same names, modes and contents that a build on an engine
// sees, and the same errors.

package buildtest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/moby/patternmatcher"

	"buildsys/internal/plan"
)

// entry is a file, symbolic link or directory of a context.
type entry struct {
	mode fs.FileMode
	data []byte // or the target of a link
}

// view is a context by slash path.
type view map[string]entry

// look reads a context.
func look(c plan.Context) (view, error) {
	v := view{}
	ignored, err := patternmatcher.New(c.Ignore)
	if err != nil {
		return nil, err
	}
	for _, f := range c.Files {
		if err := v.addFile(f); err != nil {
			return nil, err
		}
	}
	for _, dir := range slices.Concat(c.Dirs, c.Derived) {
		if err := v.addDir(dir.Name, dir.Host, ignored); err != nil {
			return nil, err
		}
	}
	for _, dir := range c.Top {
		if err := v.addDir(".", dir.Host, ignored); err != nil {
			return nil, err
		}
	}
	for _, dir := range c.Made {
		v.addParents(dir + "/x")
	}
	return v, nil
}

func (v view) addFile(f plan.File) error {
	if f.Link != "" {
		return v.add(f.Name, entry{fs.ModeSymlink, []byte(f.Link)})
	}
	data, err := contents(f)
	if err != nil {
		return err
	}
	return v.add(f.Name, entry{executable(f.Mode, 0o111), withoutComments(data)})
}

func (v view) addDir(dir, root string, ignored *patternmatcher.PatternMatcher) error {
	v.addParents(dir + "/x")
	return filepath.WalkDir(root, func(host string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, host)
		if err != nil {
			return err
		}
		name := path.Join(dir, filepath.ToSlash(rel))
		if d.IsDir() {
			v.addParents(name + "/x")
			return nil
		}
		if out, err := ignored.MatchesOrParentMatches(name); out || err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file", host)
		}
		data, err := os.ReadFile(host)
		if err != nil {
			return err
		}
		return v.add(name, entry{executable(info.Mode(), 0o100), data})
	})
}

// executable returns the mode that a build sees for a file.
func executable(mode, bits fs.FileMode) fs.FileMode {
	if mode&bits != 0 {
		return 0o755
	}
	return 0o644
}

func (v view) add(name string, e entry) error {
	if !fs.ValidPath(name) || name == "." {
		return fmt.Errorf("%q is not a path inside a context", name)
	}
	if _, twice := v[name]; twice {
		return errors.New(name + " is in the context twice")
	}
	v.addParents(name)
	v[name] = e
	return nil
}

func (v view) addParents(name string) {
	for dir := path.Dir(path.Clean(name)); dir != "."; dir = path.Dir(dir) {
		v[dir] = entry{mode: fs.ModeDir}
	}
}
