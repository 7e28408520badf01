// phases: turns a buildspec into a script that runs its phases in the order and under the
// conditions of the service.

package codebuild

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Spec is the part of a buildspec of version 0.2 that determines how a build runs.
type Spec struct {
	Version float64 `yaml:"version"`
	Env     struct {
		Shell     string            `yaml:"shell"`
		Variables map[string]string `yaml:"variables"`
	} `yaml:"env"`
	Phases    map[string]Phase `yaml:"phases"`
	Artifacts struct {
		Files         []string `yaml:"files"`
		BaseDirectory string   `yaml:"base-directory"`
	} `yaml:"artifacts"`
}

// Phase is one phase of a build.
type Phase struct {
	OnFailure string   `yaml:"on-failure"` // ABORT, CONTINUE or empty
	Commands  []string `yaml:"commands"`
	Finally   []string `yaml:"finally"`
}

// phaseOrder lists all phases that a buildspec can have, in order.
var phaseOrder = []string{"install", "pre_build", "build", "post_build"}

// ParseSpec reads a buildspec of version 0.2.
func ParseSpec(data []byte) (Spec, error) {
	var s Spec
	if err := yaml.Unmarshal(data, &s); err != nil {
		return s, err
	}
	if s.Version != 0.2 {
		return s, fmt.Errorf("version is %v; only buildspecs of version 0.2 are supported", s.Version)
	}
	for name := range s.Phases {
		if !slices.Contains(phaseOrder, name) {
			return s, fmt.Errorf("there is no phase %q: use %s", name, strings.Join(phaseOrder, ", "))
		}
	}
	if len(s.Phases) == 0 {
		return s, fmt.Errorf("it has no phases: it is a batch, whose builds name the buildspec to run")
	}
	return s, nil
}

// scriptHead holds the functions of a script. The commands of a phase run in one shell, so
// directories and variables carry over, and the first that fails ends its list. A failure in
// install or pre_build ends the build; after a failed build, post_build still runs and artifacts
// are uploaded. on-failure changes that. The build has failed if any phase has.
const scriptHead = `# Runs the phases of a buildspec in this shell, as AWS CodeBuild does. Artifacts go to $CODEBUILD_LOCAL_ARTIFACTS.
export CODEBUILD_SRC_DIR="${CODEBUILD_SRC_DIR:-$PWD}" CODEBUILD_BUILD_SUCCEEDING=1
codebuild_over=0
codebuild_say() { printf '[codebuild] %s\n' "$*" >&2; }
codebuild_phase() { codebuild_failed=0 codebuild_skip=0; codebuild_say "Entering phase $1"; }
codebuild_run() {
  [ "$codebuild_skip" = 0 ] || return 0
  codebuild_say "Running command $1"
  eval "$1"
  codebuild_status=$?
  [ "$codebuild_status" = 0 ] || { codebuild_failed=1 codebuild_skip=1; codebuild_say "Command did not exit successfully: exit status $codebuild_status"; }
}
codebuild_end() { # NAME ABORT|CONTINUE
  if [ "$codebuild_failed" = 0 ]; then codebuild_say "Phase complete: $1 State: SUCCEEDED"; return; fi
  codebuild_say "Phase complete: $1 State: FAILED"
  export CODEBUILD_BUILD_SUCCEEDING=0
  [ "$2" = CONTINUE ] || codebuild_over=1
}
`

const scriptArtifacts = `if [ "$codebuild_over" = 0 ] && [ -n "${CODEBUILD_LOCAL_ARTIFACTS:-}" ]; then
  codebuild_phase UPLOAD_ARTIFACTS
  codebuild_copied=0
  cd "$CODEBUILD_SRC_DIR"/%s || codebuild_failed=1
  shopt -s globstar nullglob dotglob
  IFS=
  for codebuild_pattern in%s; do
    for codebuild_file in $codebuild_pattern; do
      [ -f "$codebuild_file" ] || continue
      cp --parents -- "$codebuild_file" "$CODEBUILD_LOCAL_ARTIFACTS"/ || codebuild_failed=1
      codebuild_copied=$((codebuild_copied + 1))
    done
  done
  [ "$codebuild_copied" -gt 0 ] || { codebuild_say "no matching artifact paths found"; codebuild_failed=1; }
  codebuild_end UPLOAD_ARTIFACTS ABORT
fi
`

// WriteScript writes a script for bash that runs the phases of s. Its exit code is 0 if the build
// succeeded, else 1. Environment variables take precedence over those of the buildspec, as those of
// a project do.
func WriteScript(w io.Writer, s Spec) error {
	var b bytes.Buffer
	b.WriteString(scriptHead)
	for _, name := range slices.Sorted(maps.Keys(s.Env.Variables)) {
		fmt.Fprintf(&b, "[ -n \"${%[1]s+set}\" ] || %[1]s=%[2]s\nexport %[1]s\n", name,
			quote(s.Env.Variables[name]))
	}
	for _, name := range phaseOrder {
		phase, ok := s.Phases[name]
		if !ok {
			continue
		}
		after := phase.OnFailure
		if after == "" && (name == "build" || name == "post_build") {
			after = "CONTINUE" // to post_build and the artifacts; the build has still failed
		}
		upper := strings.ToUpper(name)
		fmt.Fprintf(&b, "if [ \"$codebuild_over\" = 0 ]; then\ncodebuild_phase %s\n", upper)
		for _, command := range phase.Commands {
			fmt.Fprintf(&b, "codebuild_run %s\n", quote(command))
		}
		b.WriteString("codebuild_skip=0\n")
		for _, command := range phase.Finally {
			fmt.Fprintf(&b, "codebuild_run %s\n", quote(command))
		}
		fmt.Fprintf(&b, "codebuild_end %s %s\nfi\n", upper, quote(after))
	}
	if len(s.Artifacts.Files) > 0 {
		patterns := ""
		for _, p := range s.Artifacts.Files {
			patterns += " " + quote(p)
		}
		fmt.Fprintf(&b, scriptArtifacts, quote(s.Artifacts.BaseDirectory), patterns)
	}
	b.WriteString("[ \"$CODEBUILD_BUILD_SUCCEEDING\" = 1 ]\n")
	_, err := w.Write(b.Bytes())
	return err
}

// quote quotes text as one word for a shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
