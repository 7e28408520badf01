// rerun: what a build script tells cargo its crate depends on.

package cli

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"buildsys/internal/plan"
	"buildsys/internal/workspace"
)

// tellCargo writes the directives of the unit that p ends with: every file and variable that can change its outputs, and the
// outputs themselves, so that they are put back when they are gone. It writes all at once or nothing.
func tellCargo(w io.Writer, c config, ws *workspace.Workspace, p plan.Plan) error {
	unit := p.Steps[len(p.Steps)-1]
	var out bytes.Buffer
	for _, env := range unitVariables(ws, p) {
		fmt.Fprintf(&out, "cargo:rerun-if-env-changed=%s\n", env)
	}
	for _, path := range unitFiles(c, ws, p) {
		fmt.Fprintf(&out, "cargo:rerun-if-changed=%s\n", path)
	}
	if unit.Out != "" {
		fmt.Fprintf(&out, "cargo:rerun-if-changed=%s\n", unit.Out)
	}
	_, err := w.Write(out.Bytes())
	return err
}

// unitVariables are the settings that can change the outputs of a unit. Where the engine and the caches are cannot.
func unitVariables(ws *workspace.Workspace, p plan.Plan) []string {
	names := []string{"BUILDSYS_ARCH", "BUILDSYS_SDK_IMAGE"}
	unit := p.Steps[len(p.Steps)-1]
	for arg, env := range map[string]string{"TOOLCHAIN": "BUILDSYS_TOOLCHAIN", "REPO": "PUBLISH_REPO"} { // of recipes that trees bring along
		if _, ok := unit.Solve.Args[arg]; ok {
			names = append(names, env)
		}
	}
	if _, ok := unit.Solve.Args["REPO"]; ok && unit.Kind == plan.Package {
		names = append(names, rootJSONEnv)
	}
	slices.Sort(names)
	if unit.Kind == plan.Package {
		if sensitive(ws.Packages[unit.Name]) {
			names = append(names, "BUILDSYS_VARIANT")
		}
		return names
	}
	if unit.Kind == plan.Kit {
		return append(names, "BUILDSYS_VERSION_IMAGE")
	}
	names = append(names, "BUILDSYS_NAME", "BUILDSYS_PRETTY_NAME", "BUILDSYS_VERSION_IMAGE", "BUILDSYS_VERSION_BUILD", cacertsEnv, rootJSONEnv)
	if len(unit.Solve.Secrets) > 0 {
		names = append(names, "BUILDSYS_SBKEYS_PROFILE", "BUILDSYS_SBKEYS_PROFILE_DIR")
	}
	for _, s := range p.Steps {
		if pkg := ws.Packages[s.Name]; s.Kind == plan.Package && pkg != nil && sensitive(pkg) {
			return append(names, "BUILDSYS_VARIANT")
		}
	}
	return names
}

// unitFiles are the files that can change the outputs of a unit, sorted. A directory stands for all in it where nothing else
// is in it, so that a file that is added is noticed too. External files are named by hash in the manifest.
func unitFiles(c config, ws *workspace.Workspace, p plan.Plan) []string {
	unit := p.Steps[len(p.Steps)-1]
	files := map[string]bool{}
	for _, s := range p.Steps {
		for _, context := range s.Solve.Contexts {
			for _, f := range context.Files {
				if f.Host != "" && f.SHA512 == "" {
					files[f.Host] = true
				}
			}
		}
	}
	add := func(names ...string) {
		for _, name := range names {
			if path := filepath.Join(c.root, filepath.FromSlash(name)); exists(path) {
				files[path] = true
			}
		}
	}
	crate := filepath.ToSlash(crateOf(ws, unit))
	add(crate+"/Cargo.toml", "Makefile.toml", "Dockerfile", ".dockerignore", "Twoliter.toml", "Twoliter.lock", "Twoliter.override")
	if unit.Kind == plan.Package {
		for _, name := range slices.Concat(ws.Packages[unit.Name].CargoFiles, []string{"build.rs", "lib.rs", "Cargo.lock", ".gitignore"}) {
			if filepath.IsLocal(name) { // cargo looks after these itself; they must only not keep the directory from standing for all
				add(crate + "/" + name)
			}
		}
	} else {
		add(crate+"/"+workspace.TemplateName, "Release.toml") // a kit has the version of the tree as well
	}
	if strings.HasPrefix(c.sdkImage, plan.ContextPrefix) { // named by the content of its recipe
		for _, f := range filesBelow(filepath.Join(c.root, "sdk")) {
			files[f] = true
		}
	}
	paths := cover(c.root, files)
	if !exists(filepath.Join(c.root, "Dockerfile")) { // the recipe is inside this program
		if exe, err := os.Executable(); err == nil {
			paths = append(paths, exe)
		}
	}
	if unit.Kind != plan.Package && unit.Kind != plan.Kit && c.versionBuild == "" {
		paths = append(paths, gitHistory(c.root)...)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// cover returns the given files with those of whole directories below root put together: a directory is named when it holds
// no other file. Files outside of root are named as they are.
func cover(root string, files map[string]bool) []string {
	inside, apart := map[string]bool{}, map[string]bool{} // directories that the files are in; directories never named
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
	for _, several := range []string{"", "packages", "kits", "variants", "sources"} { // what is added there belongs to another crate
		apart[filepath.Join(root, several)] = true
	}
	found, _ := coverDir(root, files, inside, apart)
	return append(paths, found...)
}

// coverDir is cover for one directory; whole says that it holds nothing but the files.
func coverDir(dir string, files, inside, apart map[string]bool) (paths []string, whole bool) {
	entries, err := os.ReadDir(dir)
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

// gitHistory are the files that change when another commit is checked out: the build ID is the commit, when no setting names one.
func gitHistory(root string) []string {
	for _, name := range []string{"logs/HEAD", "HEAD"} {
		out, err := exec.Command("git", "-C", root, "rev-parse", "--git-path", name).Output()
		if err != nil {
			return nil
		}
		path := strings.TrimSuffix(string(out), "\n")
		if !filepath.IsAbs(path) {
			path = filepath.Join(root, path)
		}
		if exists(path) {
			return []string{path}
		}
	}
	return nil
}

func filesBelow(dir string) (files []string) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return nil // what cannot be read was reported when the name was computed
	})
	return files
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
