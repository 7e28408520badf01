// files: the files of a package and of a source group. Only regular files count, leftovers of
// editors do not. A symlink is an error, because its target may lie outside the tree; in foreign
// trees it is followed inside the tree.

package workspace

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"buildsys/internal/confined"
	"buildsys/internal/manifest"
)

// File is one regular file that a build may read. It converts to plan.File.
type File struct {
	Name string      // slash path inside the context it is meant for
	Host string      // the file on this machine; empty when Data is used
	Data []byte      // contents when Host is empty
	Mode fs.FileMode // 0o755 if the owner may execute it, 0o644 otherwise
	Link string      // target of a symlink; only TreeFiles returns them
	Far  bool        // reached through a symlink, so it may be anything in the tree
}

// Files returns the package's own files, sorted by name: all files below its directory except those
// that only cargo reads, leftovers of editors, and external files that Bottlerocket's buildsys
// downloaded there.
func (w *Workspace) Files(p *Package) []File { return slices.Clone(p.files) }

// SourceGroupFiles returns the files of the package's source groups, sorted by name; names are
// relative to sources/. It leaves out names that begin with "." and directories named "target". It
// keeps "vendor", because a build has no network.
func (w *Workspace) SourceGroupFiles(p *Package) ([]File, error) {
	var problems manifest.Problems
	byName := map[string]File{} // one group may lie inside another
	for _, group := range p.SourceGroups {
		walk := fileWalk{root: w.Root, tree: w.FS, base: sourcesDir, start: group, follow: w.Foreign(),
			skip: func(name string, dir bool) bool {
				return strings.HasPrefix(path.Base(name), ".") || (dir && path.Base(name) == "target")
			}}
		_ = fs.WalkDir(w.FS, path.Join(sourcesDir, group), walk.visit) // visit returns nil
		files, bad := walk.sorted()
		problems = append(problems, bad...)
		for _, f := range files {
			byName[f.Name] = f
		}
	}
	files := make([]File, 0, len(byName))
	for _, f := range byName {
		files = append(files, f)
	}
	slices.SortFunc(files, byFileName)
	return files, problems.Err()
}

// ModuleFiles returns the files of the Go module in a directory of the tree, a slash path, sorted
// by name; names are relative to it. It leaves out what SourceGroupFiles leaves out, and the build
// directory.
func (w *Workspace) ModuleFiles(dir string) ([]File, error) {
	files, problems := walk(w.Root, w.FS, dir, ".", func(name string, isDir bool) bool {
		base := path.Base(name)
		return strings.HasPrefix(base, ".") ||
			(isDir && (base == "target" || path.Join(dir, name) == "build"))
	})
	return files, problems.Err()
}

func byFileName(a, b File) int { return strings.Compare(a.Name, b.Name) }

// packageFiles returns the files of a package whose directory has the given entries.
func packageFiles(root string, tree fs.FS, p *Package, entries []fs.DirEntry, follow bool) ([]File,
	manifest.Problems) {
	skip := []string{manifestFile, "Cargo.lock", "build.rs", "lib.rs"}
	for _, f := range p.CargoFiles {
		skip = append(skip, path.Clean(f))
	}
	for _, e := range p.ExternalFiles {
		skip = append(skip, e.Names()...)
	}
	w := fileWalk{root: root, tree: tree, base: p.Dir, start: ".", follow: follow,
		skip: func(name string, dir bool) bool {
			return slices.Contains(skip, name) || (dir && name == "target")
		}}
	for _, e := range entries {
		if at := path.Join(p.Dir, e.Name()); e.IsDir() {
			_ = fs.WalkDir(tree, at, w.visit) // visit returns nil
		} else {
			_ = w.visit(at, e, nil)
		}
	}
	return w.sorted()
}

// Ignored reports whether a file is a leftover of an editor or file manager, or belongs to git.
func Ignored(name string) bool {
	switch {
	case strings.HasSuffix(name, "~"), strings.HasPrefix(name, ".#"), name == ".DS_Store",
		strings.HasPrefix(name, ".git"):
		return true
	case strings.HasPrefix(name, "#") && strings.HasSuffix(name, "#"):
		return true
	}
	swap, _ := path.Match(".*.sw?", name)
	return swap
}

// walk lists the regular files at and below base/start, sorted, with names relative to base.
// Anything else there that is not skipped is a problem.
func walk(root string, tree fs.FS, base, start string,
	skip func(name string, dir bool) bool) ([]File, manifest.Problems) {
	w := fileWalk{root: root, tree: tree, base: base, start: start, skip: skip}
	_ = fs.WalkDir(tree, path.Join(base, start), w.visit) // visit returns nil
	return w.sorted()
}

// fileWalk collects the files that visit is called with.
type fileWalk struct {
	root, base, start string
	tree              fs.FS
	// follow replaces symlinks by their targets inside the tree, as foreign trees expect.
	follow   bool
	links    int // symlinks to directories around the present place
	skip     func(name string, dir bool) bool
	files    []File
	problems manifest.Problems
}

func (w *fileWalk) bad(at, format string, args ...any) {
	w.problems = append(w.problems, manifest.Problem{File: at, Msg: fmt.Sprintf(format, args...)})
}

// visit is an fs.WalkDirFunc that returns nil or fs.SkipDir.
func (w *fileWalk) visit(at string, e fs.DirEntry, err error) error {
	if err != nil {
		w.bad(at, "cannot be read: %v", why(err))
		return nil
	}
	name := strings.TrimPrefix(strings.TrimPrefix(at, w.base), "/")
	if name != "" && name != w.start && (Ignored(e.Name()) || w.skip(name, e.IsDir())) {
		if e.IsDir() {
			return fs.SkipDir
		}
		return nil
	}
	info, err := e.Info()
	switch {
	case err != nil:
		w.bad(at, "cannot be read: %v", why(err))
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		w.bad(at, "has a name that is not plain text")
	case e.IsDir():
	case w.follow && e.Type()&fs.ModeSymlink != 0:
		w.link(at, name)
	case !e.Type().IsRegular():
		w.bad(at, "is %s; a build may read only regular files", kindOf(e.Type()))
	default:
		if w.isPointer(at, info) {
			w.bad(at, "is a pointer of git-lfs, not the file itself")
			w.problems[len(w.problems)-1].Hint = "run \"git lfs pull\""
		}
		w.files = append(w.files, File{Name: name, Host: filepath.Join(w.root, filepath.FromSlash(at)),
			Mode: modeOf(info), Far: w.links > 0})
	}
	return nil
}

// A pointer of git-lfs has three lines, with a sha256 and a size: some 130 bytes.
const (
	pointerStart = "version https://git-lfs.github.com/spec/v1\n"
	minPointer   = 120
	maxPointer   = 200
)

// isPointer reports whether git-lfs has left its pointer in the place of a file. Only files of the
// size of one are opened.
func (w *fileWalk) isPointer(at string, info fs.FileInfo) bool {
	if info.Size() < minPointer || info.Size() > maxPointer {
		return false
	}
	f, err := w.tree.Open(at)
	if err != nil {
		return false // who needs the file reports it
	}
	defer f.Close()
	head := make([]byte, len(pointerStart))
	_, err = io.ReadFull(f, head)
	return err == nil && string(head) == pointerStart
}

// maxLinks bounds the nesting of symlinks to directories, which may form a circle.
const maxLinks = 8

// link adds the target of a symlink. A target outside the tree or missing is left out, with a
// warning: Bottlerocket's builds did not have it either.
func (w *fileWalk) link(at, name string) {
	info, err := fs.Stat(w.tree, at)
	if err != nil {
		w.leaveOut(at, "to nothing in the tree")
		return
	}
	if info.Mode().IsRegular() {
		if w.isPointer(at, info) {
			w.bad(at, "leads to a pointer of git-lfs, not to the file itself")
			w.problems[len(w.problems)-1].Hint = "run \"git lfs pull\""
		}
		w.files = append(w.files, File{Name: name, Host: filepath.Join(w.root, filepath.FromSlash(at)),
			Mode: modeOf(info), Far: true})
		return
	}
	target, _ := fs.ReadLink(w.tree, at)
	within := strings.HasPrefix(at+"/", path.Join(path.Dir(at), target)+"/")
	entries, err := confined.ReadDir(w.tree, at)
	if w.links++; err != nil || within || w.links > maxLinks {
		w.leaveOut(at, "in a circle")
	} else {
		for _, e := range entries {
			if below := path.Join(at, e.Name()); e.IsDir() {
				_ = fs.WalkDir(w.tree, below, w.visit) // visit returns nil
			} else {
				_ = w.visit(below, e, nil)
			}
		}
	}
	w.links--
}

func (w *fileWalk) leaveOut(at, where string) {
	w.bad(at, "is a symlink that leads %s, and is left out", where)
	w.problems[len(w.problems)-1].Warning = true
}

func (w *fileWalk) sorted() ([]File, manifest.Problems) {
	slices.SortFunc(w.files, byFileName)
	return w.files, w.problems
}

func modeOf(info fs.FileInfo) fs.FileMode {
	if info.Mode()&0o100 != 0 {
		return 0o755
	}
	return 0o644
}
