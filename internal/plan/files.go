// files: which files of the workspace and the recipe a step sees.

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

// once returns the files without those that an earlier entry is for as well, with modules of
// another directory in it.
func once(files []manifest.ExternalFile) []manifest.ExternalFile {
	var out []manifest.ExternalFile
	for _, f := range files {
		if !slices.ContainsFunc(out, func(o manifest.ExternalFile) bool { return o.Name() == f.Name() }) {
			out = append(out, f)
		}
	}
	return out
}

func sortFiles(files []File) {
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
}

// recipeDirs names, for each target, the directories of the recipe that its steps see: all of these
// enters their keys and nothing else does, so an edit of how images are made rebuilds no package.
// tools/lib is what every kind of step may use; tools/disk makes disks, of RPMs or of earlier
// images.
var recipeDirs = map[string][]string{
	string(Package): {macrosDir, "tools/lib", "tools/package"},
	string(Variant): {macrosDir, "tools/disk", "tools/image", "tools/lib"},
	string(Repack):  {"tools/disk", "tools/lib", "tools/repack"},
	string(Modules): {"tools/lib", "tools/modules"},
	string(Kit):     {"tools/kit", "tools/lib"},
	goTarget:        {"tools/go"},
}

// macrosDir has a file of RPM macros for each architecture, beside those for all.
const macrosDir = "macros"

// recipeFiles returns the files of the recipe that the steps of a target see. Macros of another
// architecture than arch are left out: an edit for aarch64 then leaves x86_64 alone.
func recipeFiles(recipe *workspace.Recipe, target, arch string) []File {
	var files []File
	for _, f := range contextFiles(recipe.Files) {
		below := func(dir string) bool { return strings.HasPrefix(f.Name, dir+"/") }
		if !slices.ContainsFunc(recipeDirs[target], below) {
			continue
		}
		name, isMacros := strings.CutPrefix(f.Name, macrosDir+"/")
		if isMacros && name != arch && slices.Contains(manifest.Architectures(), name) {
			continue
		}
		files = append(files, f)
	}
	return files
}
