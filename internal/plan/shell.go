// shell: the build in whose result a shell is opened. It is no step, as nothing of it is kept.

package plan

import (
	"bytes"
	"embed"
	"io/fs"
	"maps"
	"regexp"
	"slices"
)

// Stage is a place in the build of a package where a shell can be opened.
type Stage string

// The stages: after a part of the spec, or where the build fails.
const (
	AfterPrep    Stage = "prep"
	AfterBuild   Stage = "build"
	AfterInstall Stage = "install"
	AtFailure    Stage = "fail"
)

// stageOptions maps each stage to the option of rpmbuild that stops there.
var stageOptions = map[Stage]string{AfterPrep: "-bp", AfterBuild: "-bc", AfterInstall: "-bi",
	AtFailure: "-bb"}

// Stages returns the stages that there are.
func Stages() []Stage { return slices.Sorted(maps.Keys(stageOptions)) }

// Places of a shell's build.
const (
	// ShellEntry runs in a container made of the build's result: alone it is a shell, with arguments
	// it runs them.
	ShellEntry = "/host/shell/enter"
	// ShellStatus has the exit status of the step, in decimal.
	ShellStatus = "/buildsys/step"
)

//go:embed shell
var shellFiles embed.FS

// runScript is how the Dockerfiles of this program run the script of a package's step.
const runScript = "bash /host/recipe/tools/package/build-rpm"

// stageName matches the line of a Dockerfile that begins a stage.
var stageName = regexp.MustCompile(`(?m)^FROM [^\n]* AS ([a-z]+)$`)

// Shell returns the build for a shell in the step of a package, at a stage: it runs the script of
// the step in a form that cannot fail, and stops there. ok is false if a Dockerfile does not run
// that script in its own way, as those of other programs do not.
func Shell(s Solve, at Stage) (shell Solve, ok bool) {
	script := bytes.Index(s.Dockerfile, []byte(runScript))
	option, known := stageOptions[at]
	if script < 0 || !known {
		return Solve{}, false
	}
	stages := stageName.FindAllSubmatch(s.Dockerfile[:script], -1)
	if len(stages) == 0 {
		return Solve{}, false
	}
	s.Target = string(stages[len(stages)-1][1])
	s.Dockerfile = slices.Concat(s.Dockerfile[:script], []byte("--mount=from="+ContextPrefix+
		"shell,target=/host/shell bash /host/shell/step"), s.Dockerfile[script+len(runScript):])
	s.Contexts = maps.Clone(s.Contexts)
	files := append(shellContext(), File{Name: "stage", Data: []byte(option + "\n"), Mode: 0o644})
	sortFiles(files)
	s.Contexts["shell"] = Context{Files: files}
	s.Name += " shell"
	return s, true
}

// shellContext returns the scripts of a shell.
func shellContext() (files []File) {
	dir, err := fs.Sub(shellFiles, "shell")
	if err == nil {
		err = fs.WalkDir(dir, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := fs.ReadFile(dir, name)
			files = append(files, File{Name: name, Data: data, Mode: 0o755})
			return err
		})
	}
	if err != nil {
		panic(err) // they are a part of this program
	}
	return files
}
