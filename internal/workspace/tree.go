// tree: the files of a tree as a Dockerfile sees them whose context is the whole tree.

package workspace

import (
	"io/fs"
	"path"
	"path/filepath"
	"slices"

	"buildsys/internal/manifest"
)

// TreeFiles returns the files at and below a path of the tree, sorted; names are relative to its
// root. Symlinks are returned as such, because a build resolves them inside its own context. A path
// that does not exist has no files. Directories for which skip returns true and leftovers of
// editors are left out.
func (w *Workspace) TreeFiles(at string, skip func(dir string) bool) ([]File, error) {
	info, err := fs.Lstat(w.FS, at)
	if err != nil {
		return nil, nil
	}
	t := treeWalk{w: w, start: at, skip: skip}
	if info.IsDir() {
		_ = fs.WalkDir(w.FS, at, t.visit) // visit returns nil
	} else {
		_ = t.visit(at, fs.FileInfoToDirEntry(info), nil)
	}
	slices.SortFunc(t.files, byFileName)
	return t.files, t.problems.Err()
}

type treeWalk struct {
	w        *Workspace
	start    string
	skip     func(string) bool
	files    []File
	problems manifest.Problems
}

func (t *treeWalk) bad(at string, err error) {
	t.problems = append(t.problems, manifest.Problem{File: at, Msg: "cannot be read: " +
		why(err).Error()})
}

// visit is an fs.WalkDirFunc that returns nil or fs.SkipDir.
func (t *treeWalk) visit(at string, e fs.DirEntry, err error) error {
	if err != nil {
		t.bad(at, err)
		return nil
	}
	if at != t.start && (Ignored(path.Base(at)) || e.IsDir() && t.skip(at)) {
		if e.IsDir() {
			return fs.SkipDir
		}
		return nil
	}
	switch kind := e.Type(); {
	case kind.IsRegular():
		info, err := e.Info()
		if err != nil {
			t.bad(at, err)
			return nil
		}
		t.files = append(t.files, File{Name: at, Host: filepath.Join(t.w.Root, filepath.FromSlash(at)),
			Mode: modeOf(info)})
	case kind&fs.ModeSymlink != 0:
		to, err := fs.ReadLink(t.w.FS, at)
		if err != nil {
			t.bad(at, err)
			return nil
		}
		t.files = append(t.files, File{Name: at, Link: to, Mode: 0o777})
	}
	return nil // a build cannot use sockets and the like
}
