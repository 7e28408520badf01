// files: selects the files of the workspace and the recipe that a step sees.

package plan

import (
	"slices"
	"strings"

	"buildsys/internal/manifest"
	"buildsys/internal/workspace"
)

func contextFiles(files []workspace.File) []File {
	out := make([]File, 0, len(files))
	for _, f := range files {
		out = append(out, File{Name: f.Name, Host: f.Host, Data: f.Data, Mode: f.Mode, Link: f.Link})
	}
	return out
}

// once returns one entry for each file. Entries that name the same file differ only in the bundled
// Go module.
func once(files []manifest.ExternalFile) []manifest.ExternalFile {
	var out []manifest.ExternalFile
	known := map[string]bool{}
	for _, f := range files {
		if name := f.Name(); !known[name] {
			known[name] = true
			out = append(out, f)
		}
	}
	return out
}

// edited returns the files of a package with some of them replaced or added.
func edited(files, edits []File) []File {
	if len(edits) == 0 {
		return files
	}
	return append(slices.DeleteFunc(slices.Clone(files), func(f File) bool {
		return slices.ContainsFunc(edits, func(e File) bool { return e.Name == f.Name })
	}), edits...)
}

func sortFiles(files []File) {
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
}

// recipeDirs maps each target to the directories of the recipe that its steps see. Only these enter
// the keys of those steps, so an edit of how images are made rebuilds no package. Every kind of
// step uses tools/lib, but buildsys go is no step; tools/disk makes disks from RPMs or from earlier
// images.
var recipeDirs = map[string][]string{
	string(Package): {macrosDir, "tools/lib", "tools/package"},
	string(Variant): {macrosDir, "tools/disk", "tools/image", "tools/kmodkit", "tools/lib"},
	string(Repack):  {"tools/disk", "tools/lib", "tools/repack"},
	string(Modules): {"tools/lib", "tools/modules"},
	string(Kit):     {"tools/kit", "tools/lib"},
	string(KmodKit): {"tools/kmodkit", "tools/lib"},
	goTarget:        {"tools/go"},
}

// macrosDir has a file of RPM macros for each architecture, and files for all architectures.
const macrosDir = "macros"

// recipeFiles returns the files of the recipe that the steps of a target see. It leaves out macros
// of other architectures than arch, so an edit for aarch64 rebuilds nothing for x86_64, and all
// macros for a Twoliter tree: its macros are in the SDK.
func recipeFiles(recipe *workspace.Recipe, target, arch string) []File {
	var files []File
	for _, f := range contextFiles(recipe.Files) {
		below := func(dir string) bool { return strings.HasPrefix(f.Name, dir+"/") }
		if !slices.ContainsFunc(recipeDirs[target], below) {
			continue
		}
		name, isMacros := strings.CutPrefix(f.Name, macrosDir+"/")
		if isMacros && recipe.Twoliter {
			continue
		}
		if isMacros && name != arch && slices.Contains(manifest.Architectures(), name) {
			continue
		}
		files = append(files, f)
	}
	return files
}
