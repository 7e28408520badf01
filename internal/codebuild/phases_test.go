// phases_test: scripts made from buildspecs, run by bash, do what the service does when commands
// fail.

package codebuild

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/buildtest/need"
)

func TestPhases(t *testing.T) {
	const all = `version: 0.2
env: {shell: bash, variables: {GREETING: "it's", SET: no}}
phases:
  install: {commands: [INSTALL], finally: [echo if]}
  pre_build: {commands: [PRE_BUILD]}
  build: {commands: ['echo b1 "$GREETING"', BUILD, echo b2], finally: [echo bf], on-failure: ON_FAILURE}
  post_build: {commands: ['echo p "$CODEBUILD_BUILD_SUCCEEDING"', POST_BUILD]}
`
	for _, test := range []struct {
		name   string
		fail   string // placeholder that becomes a failing command
		action string
		want   string
		code   int
	}{
		{"nothing fails", "", "", "if b1 it's b2 bf p 1", 0},
		{"install fails", "INSTALL", "", "if", 1},
		{"pre_build fails", "PRE_BUILD", "", "if", 1},
		{"build fails", " BUILD", "", "if b1 it's bf p 0", 1},
		{"build fails and aborts", " BUILD", "ABORT", "if b1 it's bf", 1},
		{"post_build fails", "POST_BUILD", "", "if b1 it's b2 bf p 1", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			text := all
			if test.fail != "" {
				text = strings.Replace(text, test.fail, " (exit 3)", 1)
			}
			for _, word := range []string{"INSTALL", "PRE_BUILD", "POST_BUILD", "BUILD,"} {
				text = strings.ReplaceAll(text, "["+word, "[\"true\"")
				text = strings.ReplaceAll(text, ", "+word, ", \"true\"")
			}
			text = strings.NewReplacer("[\"true\" echo", "[\"true\", echo", "\"true\" echo",
				"\"true\", echo", "ON_FAILURE", test.action).Replace(text)
			out, code := runScript(t, t.TempDir(), text, nil)
			if got := strings.Join(strings.Fields(out), " "); got != test.want || code != test.code {
				t.Errorf("printed %q, exit code %d; want %q, %d\n%s", got, code, test.want, test.code, text)
			}
		})
	}
}

func TestPhasesShareOneShellAndUploadArtifacts(t *testing.T) {
	dir, artifacts := t.TempDir(), t.TempDir()
	out, code := runScript(t, dir, `version: 0.2
env: {variables: {A: theirs, B: theirs}}
phases:
  build:
    commands: [mkdir -p out/sub, cd out, 'echo 1 >"a b"', "echo 2 >sub/c", X=kept, "false"]
  post_build:
    commands: ['echo "$X $A $B"']
artifacts:
  files: ["**/*"]
  base-directory: out
`, []string{"A=ours", "CODEBUILD_LOCAL_ARTIFACTS=" + artifacts})
	if code != 1 || out != "kept ours theirs\n" {
		t.Errorf("printed %q, exit code %d", out, code)
	}
	for _, name := range []string{"a b", "sub/c"} {
		if _, err := os.Stat(filepath.Join(artifacts, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestParseSpecErrors(t *testing.T) {
	for text, want := range map[string]string{
		"version: 0.1":                           "only buildspecs of version 0.2",
		"version: 0.2\nphases: {tests: {}}":      "no phase \"tests\"",
		"version: 0.2\nbatch: {build-graph: []}": "it is a batch",
		"version: [":                             "yaml",
	} {
		if _, err := ParseSpec([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q in it", text, err, want)
		}
	}
}

// runScript runs the script of a buildspec in dir and returns its standard output and exit code.
func runScript(t *testing.T, dir, buildspec string, env []string) (string, int) {
	t.Helper()
	bash := need.Program(t, "bash")
	spec, err := ParseSpec([]byte(buildspec))
	if err != nil {
		t.Fatalf("%v in\n%s", err, buildspec)
	}
	var script, out, said bytes.Buffer
	if err := WriteScript(&script, spec); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bash, "-c", script.String())
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &said
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	t.Logf("%s", &said)
	return out.String(), cmd.ProcessState.ExitCode()
}
