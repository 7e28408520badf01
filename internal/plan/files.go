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

// once returns the files without those that an earlier entry is for as well, with modules of another directory in it.
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

// recipeFiles picks the files of the recipe that a step uses. Giving each step only its own tools and its own
// architecture's macros keeps an edit of rpm2img from rebuilding every package, and one for aarch64 from touching x86_64.
func recipeFiles(recipe *workspace.Recipe, arch string, tool func(name string) bool) []File {
	var files []File
	for _, f := range contextFiles(recipe.Files) {
		if name, isTool := strings.CutPrefix(f.Name, "tools/"); isTool && !tool(name) {
			continue
		}
		if name, isMacros := strings.CutPrefix(f.Name, "macros/"); isMacros && name != arch && slices.Contains(manifest.Architectures(), name) {
			continue
		}
		files = append(files, f)
	}
	return files
}

// packageTool says which tools the package target runs, imageTool which ones the variant target does.
func packageTool(name string) bool { return name == "build-rpm" }
func imageTool(name string) bool {
	return !packageTool(name) && !slices.Contains([]string{bundleTool, goTool, "docker-go", "img2img", "unpack-ext4", "rpm2kit"}, name)
}

// repackTool says which tools the repack target runs.
func repackTool(name string) bool {
	return slices.Contains([]string{"img2img", "imgassemble", "imghelper", "signhelper", "unpack-ext4"}, name)
}

// The tools of the targets that run the go command.
const (
	bundleTool = "bundle-go"
	goTool     = "run-go"
)

// toolFile is the part of the recipe that is one tool.
func toolFile(recipe *workspace.Recipe, tool string) []File {
	for _, f := range contextFiles(recipe.Files) {
		if f.Name == "tools/"+tool {
			return []File{f}
		}
	}
	return nil // the build says what it does not find
}
