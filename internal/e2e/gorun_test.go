// `buildsys go` runs the SDK's go command on first-party code, without network, and passes its
// status on.

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestGoOnSample runs the unit tests of the sample OS's own code with the compiler that it is built
// with, through the wrapper, as people do.
func TestGoOnSample(t *testing.T) {
	needEngine(t)
	cmd := exec.CommandContext(t.Context(), filepath.Join(repository(t), "tools/docker-go"),
		"--module-path", "sources/skiff", "test", "./...")
	cmd.Dir = repository(t)
	cmd.Env = append(os.Environ(), "BUILDSYS="+binary)
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "ok  \tskiff/") < 4 {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestGo(t *testing.T) {
	needEngine(t)
	proxy, sums := moduleProxy(t, "hello")
	root := writeTree(t, pkg{name: "any"})
	write(t, root, "sources/app/go.mod",
		"module example.test/app\n\ngo 1.19\n\nrequire example.test/dep v1.2.3\n")
	write(t, root, "sources/app/go.sum", sums)
	write(t, root, "sources/app/app_test.go", `package app

import (
	"net"
	"os"
	"testing"

	"example.test/dep"
)

func TestGood(t *testing.T) {
	if dep.Greeting != "hello" {
		t.Error(dep.Greeting)
	}
	if err := os.WriteFile("written", nil, 0o644); err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", "192.0.2.1:80"); err == nil {
		t.Error("there is network")
	}
}

func TestBad(t *testing.T) { t.Error("this is bad") }
`)
	env := []string{"GOPROXY=file://" + proxy}
	app := filepath.Join(root, "sources/app")
	r := buildsys(t, app, env, "go", "test", "-v", ".")
	r.must(t, 1)
	for _, want := range []string{"--- PASS: TestGood", "--- FAIL: TestBad", "this is bad",
		"FAIL\texample.test/app"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("the output lacks %q:\n%s%s", want, r.stdout, r.stderr)
		}
	}
	buildsys(t, root, []string{"GOPROXY=off"}, "go", "--module-path", "sources/app", "test", "-run",
		"TestGood", ".").must(t, 0)
	if _, err := os.Stat(filepath.Join(app, "written")); err == nil {
		t.Error("the command wrote into the tree")
	}
}
