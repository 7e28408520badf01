// recipe: the recipe that a tree is built with: its own, or one of those inside the program.

package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"buildsys/internal/manifest"
)

// Recipe is the Dockerfile with the tools and macros it uses.
type Recipe struct {
	Dockerfile []byte
	Files      []File // below tools/ and macros/, sorted
	// Twoliter is true for the recipe of trees written for Twoliter, whose SDK has the RPM macros.
	Twoliter bool
	// Own is the tree's own Dockerfile if it was not written for buildsys. It makes the
	// packages and images, with the files it finds in the tree. The fields above are then the
	// fallback's, for what only buildsys does.
	Own []byte
}

const (
	dockerfile  = "Dockerfile"
	recipeMark  = "# buildsys-recipe:" // begins the first line of a recipe for buildsys
	recipeLine  = recipeMark + " 2"
	flatLine    = recipeMark + " 1" // first line of recipes with all of tools/ in one directory
	recipeTools = "tools"
	macrosDir   = "macros"
	// twoliterDir has what is different for trees written for Twoliter: parts of the Dockerfile that
	// take the places of those with the same names, and files of tools/ that are added to the others
	// or take theirs.
	twoliterDir = "twoliter"
)

// Recipe returns the tree's own recipe if its root has a Dockerfile, else the one in fallback for
// the program that the tree was written for. fallback is embedded in this program. All give the
// same values for the same contents: files of tools/ have mode 0o755 and all others 0o644, because
// embedded files have lost their modes. Files of the fallback come as Data. A Dockerfile of the
// tree that is not marked as a recipe for buildsys is Own.
func (w *Workspace) Recipe(fallback fs.FS) (*Recipe, error) {
	if _, err := fs.Lstat(w.FS, dockerfile); errors.Is(err, fs.ErrNotExist) {
		return w.inside(fallback)
	}
	l := &loader{tree: w.FS}
	text, ok := l.read(dockerfile)
	if !ok {
		return nil, l.problems
	}
	if strings.Contains(string(text), recipeMark) {
		return w.readRecipe(w.FS, dockerfile, false)
	}
	r, err := w.readRecipe(fallback, dockerfile, true)
	if err != nil {
		return nil, err
	}
	r.Own = text
	return r, nil
}

// inside returns the recipe in fallback for the generation of the tree.
func (w *Workspace) inside(fallback fs.FS) (*Recipe, error) {
	if w.Generation != manifest.Twoliter && w.Generation != manifest.TwoliterKits {
		r, err := w.readRecipe(fallback, dockerfile, true)
		if err == nil && !w.Foreign() {
			err = w.addMacros(r)
		}
		return r, err
	}
	r, err := w.readRecipe(fallback, dockerfile, true)
	if err != nil {
		return nil, err
	}
	r.Twoliter = true
	l := &loader{tree: fallback}
	parts, ok := l.read(path.Join(twoliterDir, dockerfile))
	if !ok {
		return nil, l.problems
	}
	if r.Dockerfile, err = replaceParts(r.Dockerfile, parts); err != nil {
		return nil, err
	}
	files, err := l.recipeDir(w.Root, twoliterDir, recipeTools, true)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		at, both := slices.BinarySearchFunc(r.Files, f, byFileName)
		if both {
			r.Files[at] = f
		} else {
			r.Files = slices.Insert(r.Files, at, f)
		}
	}
	return r, l.problems.Err()
}

// addMacros adds the tree's own macros, which are read after those of the same file of the recipe:
// a tree that is built with the recipe in this program names its RPMs in macros/shared. A tree
// without any leaves the recipe, and so every key, as it is.
func (w *Workspace) addMacros(r *Recipe) error {
	l := &loader{tree: w.FS}
	info, err := fs.Lstat(w.FS, macrosDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !info.IsDir() {
		l.problem(macrosDir, 0, "", "must be a directory, not %s", kindOf(info.Mode()))
		return l.problems
	}
	files, err := l.recipeDir(w.Root, ".", macrosDir, false)
	if err != nil {
		return err
	}
	for _, f := range files {
		at, known := slices.BinarySearchFunc(r.Files, f, byFileName)
		if !known {
			l.problems = append(l.problems, manifest.Problem{File: f.Name,
				Msg: "is read by no build: the recipe inside buildsys has no such file",
				Hint: "move what it defines to " + macrosDir + "/shared, or to the file of an " +
					"architecture"})
			continue
		}
		own, ok := l.read(f.Name)
		if len(own) > manifest.MaxSize {
			l.problem(f.Name, 0, "", "has more than %d bytes", manifest.MaxSize)
		} else if ok {
			r.Files[at].Data = slices.Concat(r.Files[at].Data, own, []byte("\n"))
		}
	}
	return l.problems.Err()
}

// readRecipe reads a recipe for buildsys from a tree: the Dockerfile of that name, and the files of
// tools/ and macros/.
func (w *Workspace) readRecipe(tree fs.FS, name string, embedded bool) (*Recipe, error) {
	l := &loader{tree: tree}
	text, ok := l.read(name)
	if !ok {
		return nil, l.problems
	}
	first, _, _ := strings.Cut(string(text), "\n")
	if first = strings.TrimSuffix(first, "\r"); first != recipeLine {
		return nil, notOurRecipe(first)
	}
	r := &Recipe{Dockerfile: text}
	for _, dir := range []string{macrosDir, recipeTools} {
		if !l.exists(dir) {
			continue
		}
		files, err := l.recipeDir(w.Root, ".", dir, embedded)
		if err != nil {
			return nil, err
		}
		r.Files = append(r.Files, files...)
	}
	slices.SortFunc(r.Files, byFileName)
	return r, l.problems.Err()
}

// recipeDir returns the files of a directory of a recipe, sorted; their names are relative to base.
func (l *loader) recipeDir(root, base, dir string, embedded bool) ([]File, error) {
	files, bad := walk(root, l.tree, base, dir, func(string, bool) bool { return false })
	l.problems = append(l.problems, bad...)
	for i, f := range files {
		var err error
		if files[i], err = recipeFile(f, l.tree, path.Join(base, f.Name), embedded); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// notOurRecipe returns the error for a recipe whose first line is not the expected one.
func notOurRecipe(first string) error {
	p := manifest.Problem{File: dockerfile, Line: 1,
		Msg:  fmt.Sprintf("is not a recipe for this buildsys: its first line is not %q", recipeLine),
		Hint: "move it away to use the recipe inside buildsys"}
	if first == flatLine {
		p.Hint = "move each file of tools/ into the directory of the target that runs it " +
			"(tools/package, tools/image, ...), correct the paths in the Dockerfile and write the new " +
			"first line, as docs/manifests.md says; or move the Dockerfile away to use the recipe " +
			"inside buildsys"
	}
	return manifest.Problems{p}
}

// recipeFile returns a file of a recipe, which is at the given place in tree, as a build sees it.
func recipeFile(f File, tree fs.FS, at string, embedded bool) (File, error) {
	f.Mode = 0o644
	if strings.HasPrefix(f.Name, recipeTools+"/") {
		f.Mode = 0o755
	}
	if !embedded {
		return f, nil
	}
	data, err := fs.ReadFile(tree, at)
	if err != nil {
		return f, fmt.Errorf("read the recipe inside buildsys: %w", err)
	}
	f.Host, f.Data = "", data
	return f, nil
}
