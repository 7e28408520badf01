// Tests on a real engine, with a base image that holds one static program.

package buildkit

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"

	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// TestEngine groups everything that needs the engine, so that the base image is made and removed once.
func TestEngine(t *testing.T) {
	ctx := t.Context()
	b, err := Dial(ctx, Options{Checkout: t.Name()})
	if err != nil {
		t.Skipf("no engine: %v", err)
	}
	defer b.Close()
	start := time.Now()
	before := inventory(t, b, start)
	e := &engineTest{b: b, sdk: "buildsys.invalid/test:" + strings.ToLower(rand.Text())}
	e.importBase(t)
	for _, c := range []struct {
		name string
		test func(*engineTest, *testing.T)
	}{
		{"outputs", (*engineTest).outputs},
		{"contexts", (*engineTest).contexts},
		{"cache", (*engineTest).cache},
		{"same size edit", (*engineTest).sameSizeEdit},
		{"no network", (*engineTest).noNetwork},
		{"failing step", (*engineTest).failingStep},
		{"log lines", (*engineTest).logLines},
		{"hostile outputs", (*engineTest).hostileOutputs},
		{"variant outputs", (*engineTest).variantOutputs},
		{"nothing foreign", (*engineTest).nothingForeign},
		{"missing SDK", (*engineTest).missingSDK},
		{"bad context", (*engineTest).badContext},
		{"cancel", (*engineTest).cancel},
		{"parallel", (*engineTest).parallel},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(e, t) })
	}
	e.removeBase(t)
	if after := inventory(t, b, start); !slices.Equal(before, after) {
		t.Errorf("the engine holds other things than before:\nbefore %q\nafter  %q", before, after)
	}
}

type engineTest struct {
	b   *Builder
	sdk string
}

// importBase makes the base image: /tool and an empty /output.
func (e *engineTest) importBase(t *testing.T) {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "tool")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, "./testdata/tool")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("cannot build the base image's program: %v\n%s", err, out)
	}
	data, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	must(t, w.WriteHeader(&tar.Header{Name: "tool", Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(data))}))
	_, err = w.Write(data)
	must(t, err)
	must(t, w.WriteHeader(&tar.Header{Name: "output/", Typeflag: tar.TypeDir, Mode: 0o755}))
	must(t, w.Close())
	size, read := int64(buf.Len()), int64(0)
	must(t, e.b.ImportImage(t.Context(), e.sdk, &buf, map[string]string{"org.example.purpose": `a "test"`}, func(n int64) { read = n }))
	if read != size {
		t.Errorf("progress ended at %d of %d bytes", read, size)
	}
	if id, ok, err := e.b.HasImage(t.Context(), e.sdk); err != nil || !ok || !strings.HasPrefix(id, "sha256:") {
		t.Fatalf("HasImage after import = %q, %v, %v", id, ok, err)
	}
	if img, err := e.b.docker.ImageInspect(t.Context(), e.sdk); err != nil || img.Config.Labels["org.example.purpose"] != `a "test"` {
		t.Errorf("label lost: %v, %v", img.Config, err)
	}
}

func (e *engineTest) removeBase(t *testing.T) {
	t.Helper()
	if _, err := e.b.docker.ImageRemove(context.Background(), e.sdk, image.RemoveOptions{}); err != nil {
		t.Error(err)
	}
}

// inventory lists what builds could have left: containers and images of these tests, and images without a name
// made after start. Others may use the engine meanwhile.
func inventory(t *testing.T, b *Builder, start time.Time) []string {
	t.Helper()
	var all []string
	containers, err := b.docker.ContainerList(context.Background(), container.ListOptions{All: true})
	must(t, err)
	for _, c := range containers {
		if strings.HasPrefix(c.Image, "buildsys.invalid/test") {
			all = append(all, c.ID)
		}
	}
	images, err := b.docker.ImageList(context.Background(), image.ListOptions{All: true})
	must(t, err)
	for _, i := range images {
		if len(i.RepoTags) == 0 && i.Created >= start.Unix() || len(i.RepoTags) > 0 && strings.HasPrefix(i.RepoTags[0], "buildsys.invalid/test") {
			all = append(all, i.ID)
		}
	}
	slices.Sort(all)
	return all
}

// recipe makes a Dockerfile whose package and variant are what the tool leaves in /output. The nonce keeps
// this build's step apart from all others in the engine's cache.
func recipe(mounts, nonce string, tool ...string) []byte {
	var b strings.Builder
	b.WriteString("# syntax=registry.invalid/evil:1\nARG SDK\nFROM ${SDK} AS build\nARG PACKAGE\n")
	fmt.Fprintf(&b, "ENV NONCE=%s\nRUN %s[\"/tool\"", nonce, mounts)
	for _, a := range tool {
		fmt.Fprintf(&b, ", %q", a)
	}
	b.WriteString("]\nFROM scratch AS package\nCOPY --from=build /output/ /\nFROM scratch AS variant\nCOPY --from=build /output/ /\n")
	return []byte(b.String())
}

const mountPackage = "--mount=from=buildsys.invalid/package,target=/host/package "

func (e *engineTest) request(name, mounts string, tool ...string) plan.Solve {
	return plan.Solve{
		Name: name, Dockerfile: recipe(mounts, rand.Text(), tool...), Target: "package",
		Args: map[string]string{"SDK": e.sdk, "PACKAGE": name},
	}
}

// build runs a build and gives its output lines.
func (e *engineTest) build(ctx context.Context, s plan.Solve, out string) ([]string, error) {
	var lines []string
	err := e.b.Build(ctx, s, out, func(ev progress.Event) {
		if ev.Kind == progress.StepLog {
			lines = append(lines, ev.Text)
		}
	})
	return lines, err
}

func (e *engineTest) outputs(t *testing.T) {
	out := t.TempDir()
	if _, err := e.build(t.Context(), e.request("outputs", "", "write", "/output/a.rpm", "first", ",", "write", "/output/b.rpm", "second"), out); err != nil {
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
	s := e.request("contexts", mountPackage+"--mount=from=buildsys.invalid/rpms,target=/host/rpms --mount=from=buildsys.invalid/empty,target=/host/empty ",
		"list", "/host", "/output/list")
	s.Contexts = map[string]plan.Context{
		"package": {Files: []plan.File{{Name: "a.spec", Data: []byte("spec"), Mode: 0o600}, {Name: "tools/x.sh", Host: tool, Mode: 0o755}}},
		"rpms":    {Dirs: map[string]string{"musl": dir}},
		"empty":   {},
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

// cache: a build with unchanged contents runs nothing, however the files were touched or wherever they lie.
func (e *engineTest) cache(t *testing.T) {
	s := e.request("cache", mountPackage, "print", "it ran", ",", "write", "/output/a", "x")
	run := func(data string, touch time.Time, want bool) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "a.spec")
		writeFile(t, file, data, 0o644)
		must(t, os.Chtimes(file, touch, touch))
		s.Contexts = map[string]plan.Context{"package": {Files: []plan.File{{Name: "a.spec", Host: file}}}}
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
	run("other", time.Unix(1e9, 0), true)
	run("one", time.Unix(1.2e9, 0), false)
}

// sameSizeEdit: an edit that keeps the size must reach the build, although nothing else of the file differs.
func (e *engineTest) sameSizeEdit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.spec")
	s := e.request("edit", mountPackage, "cat", "/host/package/a.spec", ",", "write", "/output/a", "x")
	s.Contexts = map[string]plan.Context{"package": {Files: []plan.File{{Name: "a.spec", Host: file}}}}
	for _, data := range []string{"version 1", "version 2"} {
		writeFile(t, file, data, 0o644)
		must(t, os.Chtimes(file, time.Unix(1e9, 0), time.Unix(1e9, 0)))
		lines, err := e.build(t.Context(), s, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(lines, data) {
			t.Errorf("the build saw %q, not %q", lines, data)
		}
	}
}

func (e *engineTest) noNetwork(t *testing.T) {
	lines, err := e.build(t.Context(), e.request("network", "", "dial", "127.0.0.1:2375", "1.1.1.1:53", ",", "write", "/output/a", "x"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"no way to 127.0.0.1:2375", "no way to 1.1.1.1:53", "interface lo"}; !slices.Equal(lines, want) {
		t.Errorf("the step says %q, want %q", lines, want)
	}
}

func (e *engineTest) failingStep(t *testing.T) {
	for _, c := range []struct {
		tool  []string
		class Class
		exit  int
	}{
		{[]string{"print", "so long", ",", "exit", "7"}, StepFailed, 7},
		{[]string{"print", "so long", ",", "exit", "137"}, OutOfMemory, 137},
		{[]string{"print", "write: no space left on device", ",", "exit", "1"}, DiskFull, 1},
		{[]string{"print", "rpc error: code = Unavailable desc = unexpected EOF", ",", "exit", "3"}, StepFailed, 3},
	} {
		lines, err := e.build(t.Context(), e.request("fails", "", c.tool...), t.TempDir())
		var se *SolveError
		if !errors.As(err, &se) {
			t.Fatalf("%q: error %v (%T)", c.tool, err, err)
		}
		if se.Class() != c.class || se.ExitCode != c.exit || se.Transient() {
			t.Errorf("%q: %s, exit code %d; want %s, %d", c.tool, se.Class(), se.ExitCode, c.class, c.exit)
		}
		if se.Location != "Dockerfile:6" || !strings.Contains(se.Step, "/tool") {
			t.Errorf("%q: step %q at %q", c.tool, se.Step, se.Location)
		}
		if len(lines) != 1 || lines[0] != c.tool[1] {
			t.Errorf("%q: log %q", c.tool, lines)
		}
	}
}

func (e *engineTest) logLines(t *testing.T) {
	s := e.request("log", "", "raw", `a\x1b]0;title\x07b\r\n10%\r20%\r\n\xff\xfe bad\nlast`, ",", "write", "/output/a", "x")
	lines, err := e.build(t.Context(), s, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"ab", "20%", "\ufffd\ufffd bad", "last"}; !slices.Equal(lines, want) {
		t.Errorf("lines %q, want %q", lines, want)
	}
}

func (e *engineTest) hostileOutputs(t *testing.T) {
	for name, tool := range map[string][]string{
		"link":    {"symlink", "/etc/passwd", "/output/link"},
		"dir":     {"mkdir", "/output/dir"},
		"suid":    {"write", "/output/suid", "x", ",", "chmod", "4755", "/output/suid"},
		"-rf":     {"write", "/output/-rf", "x"},
		"a;b":     {"write", "/output/a;b", "x"},
		"nothing": {"print", "done"},
	} {
		_, err := e.build(t.Context(), e.request("hostile", "", tool...), t.TempDir())
		var oe *OutputError
		if !errors.As(err, &oe) {
			t.Errorf("%s: error %v, want an *OutputError", name, err)
		} else if name != "nothing" && oe.File != name {
			t.Errorf("%s: error names %q", name, oe.File)
		}
	}
}

func (e *engineTest) variantOutputs(t *testing.T) {
	s := e.request("image", "", "write", "/output/x.img.lz4", "x", ",", "symlink", "x.img.lz4", "/output/latest.img.lz4", ",", "mkdir", "/output/d", ",", "write", "/output/d/y", "y")
	s.Target = "variant"
	out := t.TempDir()
	if _, err := e.build(t.Context(), s, out); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"x.img.lz4": "-rw-r--r-- x", "latest.img.lz4": "-> x.img.lz4", "d/y": "-rw-r--r-- y"}
	if got := readTree(t, out); !maps.Equal(got, want) {
		t.Errorf("outputs %q, want %q", got, want)
	}
	s = e.request("image", "", "write", "/output/x", "x", ",", "symlink", "../x", "/output/up")
	s.Target = "variant"
	var oe *OutputError
	if _, err := e.build(t.Context(), s, t.TempDir()); !errors.As(err, &oe) || oe.File != "up" {
		t.Errorf("link out of the outputs: error %v", err)
	}
}

// nothingForeign: whatever a Dockerfile asks for from outside is refused before the engine hears of it.
func (e *engineTest) nothingForeign(t *testing.T) {
	for what, dockerfile := range map[string]string{
		"image buildsys.invalid/rpms":     "ARG SDK\nFROM ${SDK}\nRUN --mount=from=buildsys.invalid/rpms,target=/r [\"/tool\", \"print\"]\nFROM scratch AS package\nCOPY --from=0 /output /\n",
		"image docker.io/library/busybox": "FROM busybox AS package\n",
		"https://example.invalid/x":       "FROM scratch AS package\nADD https://example.invalid/x /x\n",
		"a RUN with network":              "ARG SDK\nFROM ${SDK} AS package\nRUN --network=host [\"/tool\", \"print\"]\n",
	} {
		s := plan.Solve{Name: "foreign", Dockerfile: []byte(dockerfile), Target: "package", Args: map[string]string{"SDK": e.sdk}}
		_, err := e.build(t.Context(), s, t.TempDir())
		var se *SolveError
		if !errors.As(err, &se) || se.Class() != ForeignImage || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: error %v", what, err)
		}
	}
}

func (e *engineTest) missingSDK(t *testing.T) {
	s := e.request("nosdk", "", "print", "x")
	s.Args["SDK"] = "buildsys.invalid/test:none"
	_, err := e.build(t.Context(), s, t.TempDir())
	var se *SolveError
	if !errors.As(err, &se) || se.Class() != MissingSDK || !strings.Contains(err.Error(), "script/setup") {
		t.Errorf("error %v", err)
	}
}

func (e *engineTest) badContext(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Symlink("/etc/passwd", filepath.Join(dir, "evil")))
	s := e.request("bad", mountPackage, "print", "x")
	s.Contexts = map[string]plan.Context{"package": {Dirs: map[string]string{".": dir}}}
	_, err := e.build(t.Context(), s, t.TempDir())
	var se *SolveError
	if !errors.As(err, &se) || se.Class() != BadInput || !strings.Contains(err.Error(), filepath.Join(dir, "evil")) {
		t.Errorf("error %v", err)
	}
}

func (e *engineTest) cancel(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	why := errors.New("interrupt")
	s := e.request("cancelled", "", "print", "running", ",", "hang")
	began := false
	start := time.Now()
	err := e.b.Build(ctx, s, t.TempDir(), func(ev progress.Event) {
		began = true
		start = time.Now()
		cancel(why)
	})
	var se *SolveError
	if !began || !errors.As(err, &se) || se.Class() != Cancelled || !errors.Is(err, context.Canceled) || !errors.Is(err, why) {
		t.Errorf("began %v, error %v", began, err)
	}
	t.Logf("returned %v after the cancel", time.Since(start).Round(time.Millisecond))
}

// parallel: solves that run at once, with contexts of the same names and other contents, do not mix.
func (e *engineTest) parallel(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			name := fmt.Sprintf("parallel-%d", i)
			s := e.request(name, mountPackage, "cat", "/host/package/a.spec", ",", "write", "/output/"+name, "x")
			s.Contexts = map[string]plan.Context{"package": {Files: []plan.File{{Name: "a.spec", Data: []byte(name)}}}}
			out := t.TempDir()
			lines, err := e.build(t.Context(), s, out)
			if err != nil || !slices.Equal(lines, []string{name}) || len(readTree(t, out)) != 1 {
				t.Errorf("%s: error %v, lines %q, outputs %q", name, err, lines, readTree(t, out))
			}
		})
	}
	wg.Wait()
}

// readTree gives mode and contents of every file below dir.
func readTree(t *testing.T, dir string) map[string]string {
	t.Helper()
	tree := map[string]string{}
	must(t, filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		if d.Type()&os.ModeSymlink != 0 {
			target, err := os.Readlink(p)
			tree[rel] = "-> " + target
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(p)
		tree[rel] = info.Mode().String() + " " + string(data)
		return err
	}))
	return tree
}

func writeFile(t *testing.T, name, data string, mode os.FileMode) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o755))
	must(t, os.WriteFile(name, []byte(data), mode))
	must(t, os.Chmod(name, mode))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
