// gorun: the build that runs the go command on first-party code. It is no step, as nothing keeps
// its output.

package plan

import (
	"strings"

	"buildsys/internal/workspace"
)

// GoStatus is the output file of a GoRun: the exit status of the go command, in decimal.
const GoStatus = "status"

const goTarget = "go"

// GoRun returns the build that runs the go command of the SDK with arguments argv in the module
// with the given files. arch is the architecture for GOARCH. proxy is a host directory with the
// modules that it needs, in the form of a Go module proxy. The build is always fresh: whoever asks
// for tests wants to see them run.
func GoRun(recipe *workspace.Recipe, sdk, arch, module string, files []workspace.File, proxy string,
	argv []string) Solve {
	return Solve{
		Name:       "go " + module,
		Dockerfile: section(recipe.Dockerfile, goTarget),
		Target:     goTarget,
		Args:       map[string]string{"SDK": sdk, "GOARCH": goArch(arch)},
		Contexts: map[string]Context{
			"recipe": {Files: recipeFiles(recipe, goTarget, arch)},
			"module": {Files: contextFiles(files)},
			"proxy":  {Top: []*Dir{{Name: "proxy", Host: proxy}}},
			"command": {Files: []File{{Name: "argv", Data: []byte(strings.Join(argv, "\x00") + "\x00"),
				Mode: 0o644}}},
		},
		Fresh: true,
	}
}
