// recipe: the recipe that a tree is built with: its own, or the one inside the program.

package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"buildsys/internal/manifest"
)

// Recipe is the Dockerfile with the tools and macros it uses.
type Recipe struct {
	Dockerfile []byte
	Files      []File // below tools/ and macros/, sorted
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
)

// Recipe returns the tree's own recipe if its root has a Dockerfile, else the one in fallback,
// which is embedded in the program. Both give the same values for the same contents: files of
// tools/ have mode 0o755 and all others 0o644, because embedded files have lost their modes. Files
// of the fallback come as Data. A Dockerfile of the tree that is not marked as a recipe for
// buildsys is Own.
func (w *Workspace) Recipe(fallback fs.FS) (*Recipe, error) {
	if _, err := fs.Lstat(w.FS, dockerfile); errors.Is(err, fs.ErrNotExist) {
		return w.readRecipe(fallback, true)
	}
	l := &loader{tree: w.FS}
	text, ok := l.read(dockerfile)
	if !ok {
		return nil, l.problems
	}
	if strings.Contains(string(text), recipeMark) {
		return w.readRecipe(w.FS, false)
	}
	r, err := w.readRecipe(fallback, true)
	if err != nil {
		return nil, err
	}
	r.Own = text
	return r, nil
}

// readRecipe reads a recipe for buildsys from a tree.
func (w *Workspace) readRecipe(tree fs.FS, embedded bool) (*Recipe, error) {
	l := &loader{tree: tree}
	text, ok := l.read(dockerfile)
	if !ok {
		return nil, l.problems
	}
	first, _, _ := strings.Cut(string(text), "\n")
	if first = strings.TrimSuffix(first, "\r"); first != recipeLine {
		return nil, notOurRecipe(first)
	}
	r := &Recipe{Dockerfile: text}
	for _, dir := range []string{"macros", recipeTools} {
		if !l.exists(dir) {
			continue
		}
		files, bad := walk(w.Root, tree, ".", dir, func(string, bool) bool { return false })
		l.problems = append(l.problems, bad...)
		for _, f := range files {
			f, err := recipeFile(f, tree, embedded)
			if err != nil {
				return nil, err
			}
			r.Files = append(r.Files, f)
		}
	}
	slices.SortFunc(r.Files, byFileName)
	return r, l.problems.Err()
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

func recipeFile(f File, tree fs.FS, embedded bool) (File, error) {
	f.Mode = 0o644
	if strings.HasPrefix(f.Name, recipeTools+"/") {
		f.Mode = 0o755
	}
	if !embedded {
		return f, nil
	}
	data, err := fs.ReadFile(tree, f.Name)
	if err != nil {
		return f, fmt.Errorf("read the recipe inside buildsys: %w", err)
	}
	f.Host, f.Data = "", data
	return f, nil
}
