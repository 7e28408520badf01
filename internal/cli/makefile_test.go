// makefile_test: the tasks of Makefile.toml have cargo-make's syntax, and what they start exists.
// The tests do not run cargo-make.

package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// task is what this test needs of a task's table, with the names of cargo-make's documentation
// ("Task", "Types").
type task struct {
	Description  string            `toml:"description"`
	Alias        string            `toml:"alias"`
	Dependencies []string          `toml:"dependencies"`
	Env          map[string]string `toml:"env"`
	Command      string            `toml:"command"`
	Args         []string          `toml:"args"`
	Script       []string          `toml:"script"`
}

func readMakefile(t *testing.T) map[string]task {
	t.Helper()
	var makefile struct {
		Config struct {
			SkipCoreTasks bool `toml:"skip_core_tasks"`
		} `toml:"config"`
		Env   map[string]string `toml:"env"`
		Tasks map[string]task   `toml:"tasks"`
	}
	known, err := toml.DecodeFile("../../Makefile.toml", &makefile)
	if err != nil {
		t.Fatal(err)
	}
	if unknown := known.Undecoded(); len(unknown) > 0 {
		t.Errorf("keys that no task here needs, or that cargo-make does not know: %v", unknown)
	}
	return makefile.Tasks
}

func TestMakefileTasks(t *testing.T) {
	tasks := readMakefile(t)
	for _, name := range []string{"default", "build", "build-variant", "build-package", "build-kit",
		"build-all", "world", "fetch", "setup", "test",
		"clean", "clean-packages", "clean-images", "clean-state", "clean-logs"} {
		if _, ok := tasks[name]; !ok {
			t.Errorf("there is no task %s", name)
		}
	}
	for name, one := range tasks {
		for _, other := range append(slices.Clone(one.Dependencies), one.Alias) {
			if _, ok := tasks[other]; !ok && other != "" {
				t.Errorf("task %s needs the task %s, which does not exist", name, other)
			}
		}
		actions := 0
		for _, has := range []bool{one.Alias != "", one.Command != "", len(one.Script) > 0} {
			if has {
				actions++
			}
		}
		if actions != 1 || len(one.Args) > 0 && one.Command == "" {
			t.Errorf("task %s is not one of alias, command and script", name)
		}
		if one.Command != "" {
			checkProgram(t, name, append([]string{one.Command}, one.Args...))
		}
		if len(one.Script) > 0 {
			checkScript(t, name, strings.Join(one.Script, "\n"))
		}
	}
}

// checkProgram checks that a command line is one of this repository or of this program.
func checkProgram(t *testing.T, name string, words []string) {
	t.Helper()
	switch {
	case words[0] == "bin/buildsys":
		root := newRootCommand(&System{})
		cmd, rest, err := root.Find(words[1:])
		if err == nil && !cmd.Runnable() || cmd == root {
			err = fmt.Errorf("no such command")
		}
		if err == nil {
			err = cmd.ParseFlags(rest)
		}
		if err == nil {
			err = cmd.ValidateArgs(cmd.Flags().Args())
		}
		if err != nil {
			t.Errorf("task %s runs %q: %v", name, words, err)
		}
	case strings.HasPrefix(words[0], "script/"):
		if info, err := os.Stat(filepath.Join("../..", words[0])); err != nil || info.Mode()&0o100 == 0 {
			t.Errorf("task %s runs %s, which is no program: %v", name, words[0], err)
		}
	case words[0] == "go", words[0] == "rm":
	default:
		t.Errorf("task %s runs %s", name, words[0])
	}
}

// checkScript checks that sh can read a script, and that its lines that begin with buildsys are
// valid.
func checkScript(t *testing.T, name, script string) {
	t.Helper()
	cmd := exec.Command("sh", "-n")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("the script of task %s: %v\n%s", name, err, out)
	}
	for line := range strings.SplitSeq(script, "\n") {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "bin/buildsys" {
			checkProgram(t, name, words[:2])
		}
	}
}

// The scripts run as cargo-make runs them: by sh, with the arguments of the task as their own.
func TestMakefileScripts(t *testing.T) {
	tasks := readMakefile(t)
	dir := t.TempDir()
	files := map[string]string{
		"bin/buildsys": "#!/bin/sh\necho \"$*\" >>calls\ncase $2 in skipped) exit 6 ;; " +
			"broken) exit 3 ;; esac\n",
		"variants/good/Cargo.toml": "", "variants/skipped/Cargo.toml": "",
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run := func(task string, env []string, args ...string) (calls string, err error) {
		script := filepath.Join(t.TempDir(), "script.sh")
		if err := os.WriteFile(script, []byte(strings.Join(tasks[task].Script, "\n")),
			0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sh", append([]string{script}, args...)...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
		err = cmd.Run()
		data, _ := os.ReadFile(filepath.Join(dir, "calls"))
		_ = os.Remove(filepath.Join(dir, "calls"))
		return string(data), err
	}
	for _, test := range []struct {
		env  []string
		args []string
		want string
	}{
		{nil, []string{"musl", "bash"}, "build-package musl bash\n"},
		{[]string{"PACKAGE=musl"}, nil, "build-package musl\n"},
	} {
		if calls, err := run("build-package", test.env, test.args...); err != nil || calls != test.want {
			t.Errorf("build-package with %q %q ran %q, %v; want %q", test.env, test.args, calls, err,
				test.want)
		}
	}
	if calls, err := run("build-all", nil); err != nil ||
		calls != "build-variant good\nbuild-variant skipped\n" {
		t.Errorf("build-all ran %q, %v", calls, err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "variants/broken"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "variants/broken/Cargo.toml"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if calls, err := run("build-all", nil); err == nil || calls != "build-variant broken\n" {
		t.Errorf("build-all with a variant that fails ran %q, %v", calls, err)
	}
}
