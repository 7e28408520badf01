// Tests on an engine of builds that succeed: inputs, outputs, caching, network.

package buildkit

import (
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"buildsys/internal/plan"
)

func (e *engineTest) outputs(t *testing.T) {
	out := t.TempDir()
	if _, err := e.build(t.Context(), e.request("outputs", "", "write", "/output/a.rpm", "first", ",",
		"write", "/output/b.rpm", "second"), out); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a.rpm": "-rw-r--r-- first", "b.rpm": "-rw-r--r-- second"}
	if got := readTree(t, out); !maps.Equal(got, want) {
		t.Errorf("outputs %q, want %q", got, want)
	}
}

func (e *engineTest) contexts(t *testing.T) {
	dir, tool := t.TempDir(), filepath.Join(t.TempDir(), "x.sh")
	writeFile(t, filepath.Join(dir, "sub/deep.rpm"), "deep", 0o600)
	writeFile(t, filepath.Join(dir, "run"), "run", 0o700)
	writeFile(t, tool, "tool", 0o640)
	s := e.request("contexts",
		mountPackage+"--mount=from=buildsys.invalid/rpms,target=/host/rpms "+
			"--mount=from=buildsys.invalid/empty,target=/host/empty ",
		"list", "/host", "/output/list")
	s.Contexts = map[string]plan.Context{
		"package": {Files: []plan.File{{Name: "a.spec", Data: []byte("spec"), Mode: 0o600},
			{Name: "tools/x.sh", Host: tool, Mode: 0o755}}},
		"rpms":  {Dirs: []*plan.Dir{{Name: "musl", Host: dir}}},
		"empty": {},
	}
	out := t.TempDir()
	if _, err := e.build(t.Context(), s, out); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(out, "list"))
	must(t, err)
	var seen []string // without the mount points themselves, which the engine makes
	for line := range strings.Lines(string(got)) {
		if name, _, _ := strings.Cut(line, " "); strings.Contains(name, "/") {
			seen = append(seen, strings.TrimSpace(line))
		}
	}
	want := []string{
		"package/a.spec -rw-r--r-- 0:0 1577836800 spec",
		"package/tools drwxr-xr-x 0:0",
		"package/tools/x.sh -rwxr-xr-x 0:0 1577836800 tool",
		"rpms/musl drwxr-xr-x 0:0",
		"rpms/musl/run -rwxr-xr-x 0:0 1577836800 run",
		"rpms/musl/sub drwxr-xr-x 0:0",
		"rpms/musl/sub/deep.rpm -rw-r--r-- 0:0 1577836800 deep",
	}
	if !slices.Equal(seen, want) {
		t.Errorf("the build saw\n%s\nwant\n%s", strings.Join(seen, "\n"), strings.Join(want, "\n"))
	}
}

// cache checks that a build with unchanged contents runs nothing, even if the files were touched or
// moved, or a socket is served or not.
func (e *engineTest) cache(t *testing.T) {
	mounts := mountPackage + "--mount=type=ssh,id=a,target=/a,required=false "
	s := e.request("cache", mounts, "print", "it ran", ",", "write", "/output/a", "x")
	run := func(data string, touch time.Time, want bool) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "a.spec")
		writeFile(t, file, data, 0o644)
		must(t, os.Chtimes(file, touch, touch))
		s.Contexts = map[string]plan.Context{"package": {Files: []plan.File{{Name: "a.spec",
			Host: file}}}}
		out := t.TempDir()
		lines, err := e.build(t.Context(), s, out)
		if err != nil {
			t.Fatal(err)
		}
		if ran := slices.Contains(lines, "it ran"); ran != want {
			t.Errorf("contents %q: ran %v, want %v", data, ran, want)
		}
		if len(readTree(t, out)) != 1 {
			t.Error("no output")
		}
	}
	run("one", time.Unix(1e9, 0), true)
	run("one", time.Unix(1.1e9, 0), false)
	s.Sockets = map[string]func(io.ReadWriteCloser){"a": func(c io.ReadWriteCloser) { c.Close() }}
	run("one", time.Unix(1.1e9, 0), false)
	run("other", time.Unix(1e9, 0), true)
	run("one", time.Unix(1.2e9, 0), false)
}

func (e *engineTest) noNetwork(t *testing.T) {
	lines, err := e.build(t.Context(), e.request("network", "", "dial", "127.0.0.1:2375", "1.1.1.1:53",
		",", "write", "/output/a", "x"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"no way to 127.0.0.1:2375", "no way to 1.1.1.1:53",
		"interface lo"}; !slices.Equal(lines, want) {
		t.Errorf("the step says %q, want %q", lines, want)
	}
}
