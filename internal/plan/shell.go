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

// ShellEntry runs in a container made of the result of a shell's build: alone it is a shell, with
// arguments it runs them.
const ShellEntry = "/host/shell/enter"

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
	option, known := stageOptions[at]
	script := bytes.Index(s.Dockerfile, []byte(runScript))
	if script < 0 || !known {
		return Solve{}, false
	}
	stages := stageName.FindAllSubmatch(s.Dockerfile[:script], -1)
	if len(stages) == 0 {
		return Solve{}, false
	}
	s.Target = string(stages[len(stages)-1][1])
	s.Name += " shell"
	return stopped(s, script, "step", option), true
}

// Unpacked returns the build of the source of a package as it is after %prep: its outputs are
// UnpackedTree, and for each patch that %prep applies NNNN.patch, NNNN.files, NNNN.before and
// NNNN.after: the patch, the names of the files it changes, and archives of them. ok is as of
// Shell.
func Unpacked(s Solve) (unpacked Solve, ok bool) {
	script := bytes.Index(s.Dockerfile, []byte(runScript))
	if script < 0 {
		return Solve{}, false
	}
	s.Name += " source"
	return stopped(s, script, "unpack", stageOptions[AfterPrep]), true
}

// UnpackedTree is an output of an Unpacked build: an archive of the source.
const UnpackedTree = "tree.tar"

// stopped returns a build with another script in the place of the step's, for which rpmbuild gets
// an option.
func stopped(s Solve, at int, script, option string) Solve {
	s.Dockerfile = slices.Concat(s.Dockerfile[:at], []byte("--mount=from="+ContextPrefix+
		"shell,target=/host/shell bash /host/shell/"+script), s.Dockerfile[at+len(runScript):])
	files := append(shellContext(), File{Name: "stage", Data: []byte(option + "\n"), Mode: 0o644})
	sortFiles(files)
	s.Contexts = maps.Clone(s.Contexts)
	s.Contexts["shell"] = Context{Files: files}
	return s
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
