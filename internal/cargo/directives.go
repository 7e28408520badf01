// directives: what a build script writes for cargo about what its crate depends on.

package cargo

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"buildsys/internal/confined"
	"buildsys/internal/git"
	"buildsys/internal/plan"
	"buildsys/internal/workspace"
)

// Crate is a crate whose build script has done its work: its outputs are in place, or it has none.
type Crate struct {
	Root     string // of the tree
	SDKImage string // that the steps run in
	BuildID  string // of images, from a setting; empty if it is the git commit
	Tree     *workspace.Workspace
	Plan     plan.Plan // ends with the crate's step
}

func (c Crate) step() plan.Step { return c.Plan.Steps[len(c.Plan.Steps)-1] }

// WriteDirectives writes every file and variable that can change the crate's outputs, and the
// outputs themselves, so that they are restored if they are removed. It writes everything in one
// call, or nothing.
func (c Crate) WriteDirectives(w io.Writer) error {
	var out bytes.Buffer
	for _, env := range c.variables() {
		fmt.Fprintf(&out, "cargo:rerun-if-env-changed=%s\n", env)
	}
	for _, path := range c.files() {
		fmt.Fprintf(&out, "cargo:rerun-if-changed=%s\n", path)
	}
	if dir := c.step().Out; dir != "" {
		fmt.Fprintf(&out, "cargo:rerun-if-changed=%s\n", dir)
	}
	_, err := w.Write(out.Bytes())
	return err
}

// recipeVariables maps build arguments of trees' own Dockerfiles to the settings that they come
// from.
var recipeVariables = map[string][]string{
	"TOOLCHAIN": {"BUILDSYS_TOOLCHAIN", "BUILDSYS_REGISTRY", "BUILDSYS_SDK_NAME",
		"BUILDSYS_SDK_VERSION"},
	"REPO": {"PUBLISH_REPO"},
}

// variables returns the settings that can change the outputs. Those that locate the engine and the
// caches cannot.
func (c Crate) variables() []string {
	unit := c.step()
	names := []string{"BUILDSYS_ARCH", "BUILDSYS_SDK_IMAGE"}
	for arg, settings := range recipeVariables {
		if _, ok := unit.Solve.Args[arg]; ok {
			names = append(names, settings...)
		}
	}
	if _, ok := unit.Solve.Args["REPO"]; ok && unit.Kind == plan.Package {
		names = append(names, "PUBLISH_REPO_ROOT_JSON")
	}
	slices.Sort(names)
	switch unit.Kind {
	case plan.Package:
		if c.Tree.Packages[unit.Name].Sensitive() {
			names = append(names, "BUILDSYS_VARIANT")
		}
		return names
	case plan.Kit:
		return append(names, "BUILDSYS_VERSION_IMAGE")
	}
	names = append(names, "BUILDSYS_NAME", "BUILDSYS_PRETTY_NAME", "BUILDSYS_VERSION_IMAGE",
		"BUILDSYS_VERSION_BUILD", "BUILDSYS_CACERTS_BUNDLE_OVERRIDE", "PUBLISH_REPO_ROOT_JSON")
	if len(unit.Solve.Secrets) > 0 {
		names = append(names, "BUILDSYS_SBKEYS_PROFILE", "BUILDSYS_SBKEYS_PROFILE_DIR")
	}
	if len(SensitivePackages(c.Tree, c.Plan)) > 0 {
		names = append(names, "BUILDSYS_VARIANT")
	}
	return names
}

// files returns the files that can change the outputs, sorted. A directory with only such files
// stands for them, so that an added file is noticed too. External files are missing, as their
// hashes are in the manifest.
func (c Crate) files() []string {
	files := map[string]bool{}
	for _, s := range c.Plan.Steps {
		for _, context := range s.Solve.Contexts {
			for _, f := range context.Files {
				if f.Host != "" && f.SHA512 == "" {
					files[f.Host] = true
				}
			}
		}
	}
	for _, name := range c.treeFiles() {
		if path := filepath.Join(c.Root, filepath.FromSlash(name)); exists(path) {
			files[path] = true
		}
	}
	if strings.HasPrefix(c.SDKImage, plan.ContextPrefix) { // the name is a hash of the SDK's recipe
		for _, f := range filesBelow(filepath.Join(c.Root, "sdk")) {
			files[f] = true
		}
	}
	paths := cover(c.Root, files)
	if !exists(filepath.Join(c.Root, "Dockerfile")) { // the recipe is in this program
		if exe, err := os.Executable(); err == nil {
			paths = append(paths, exe)
		}
	}
	kind := c.step().Kind
	if kind != plan.Package && kind != plan.Kit && c.BuildID == "" {
		paths = append(paths, gitHistory(c.Root)...)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// treeFiles returns slash paths of files that manifests and settings are read from; some may be
// missing. Cargo watches the files of the crate by itself. They are listed so that the crate's
// directory can stand for all of its files.
func (c Crate) treeFiles() []string {
	unit := c.step()
	crate := filepath.ToSlash(Dir(c.Tree, unit))
	names := []string{crate + "/Cargo.toml", "Makefile.toml", "Dockerfile", ".dockerignore",
		"Twoliter.toml", "Twoliter.lock", "Twoliter.override"}
	if unit.Kind != plan.Package {
		return append(names, crate+"/"+workspace.TemplateName, "Release.toml")
	}
	own := []string{"build.rs", "lib.rs", "Cargo.lock", ".gitignore"}
	for _, name := range slices.Concat(c.Tree.Packages[unit.Name].CargoFiles, own) {
		if filepath.IsLocal(name) {
			names = append(names, crate+"/"+name)
		}
	}
	return names
}

// cover returns the given files, but directories below root that contain no other files in place of
// their files. Files outside of root are returned as they are.
func cover(root string, files map[string]bool) []string {
	inside := map[string]bool{} // directories with some of the files
	apart := map[string]bool{}  // directories that are never returned
	var paths []string
	for file := range files {
		rel, err := filepath.Rel(root, file)
		if err != nil || !filepath.IsLocal(rel) {
			paths = append(paths, file)
			continue
		}
		for dir := filepath.Dir(rel); dir != "."; dir = filepath.Dir(dir) {
			inside[filepath.Join(root, dir)] = true
		}
	}
	// What is added in these belongs to another crate.
	for _, several := range []string{"", "packages", "kits", "variants", "sources"} {
		apart[filepath.Join(root, several)] = true
	}
	found, _ := coverDir(root, files, inside, apart)
	return append(paths, found...)
}

// coverDir is cover for one directory; whole reports whether it has only such files.
func coverDir(dir string, files, inside, apart map[string]bool) (paths []string, whole bool) {
	entries, err := confined.List(dir)
	if err != nil {
		return nil, false
	}
	whole = true
	for _, e := range entries {
		at := filepath.Join(dir, e.Name())
		switch {
		case files[at]:
			paths = append(paths, at)
		case e.IsDir() && inside[at]:
			below, all := coverDir(at, files, inside, apart)
			paths, whole = append(paths, below...), whole && all
		default:
			whole = false
		}
	}
	if whole && len(paths) > 0 && !apart[dir] {
		return []string{dir}, true
	}
	return paths, whole
}

// gitHistory returns the file that changes when another commit is checked out, which is the build
// ID if no setting gives one.
func gitHistory(root string) []string {
	checkout, err := git.Find(root)
	if err != nil {
		return nil // the build reports it
	}
	if path := checkout.HistoryFile(); path != "" {
		return []string{path}
	}
	return nil
}

func filesBelow(dir string) (files []string) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return nil // computing the name has reported what cannot be read
	})
	return files
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
