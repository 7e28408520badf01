// Package e2e tests the finished program against a real engine: it runs the binary as a user does.
// The tests need an engine and the SDK image, which script/setup provides.
package e2e

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/buildtest/need"
)

// binary is the program under test, built once by TestMain.
var binary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "buildsys-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "buildsys")
	build := exec.Command("go", "build", "-o", binary, "buildsys/cmd/buildsys")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// repository returns the root of this checkout.
func repository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// needEngine checks that builds can run.
func needEngine(t *testing.T) {
	t.Helper()
	need.Time(t)
	r := buildsys(t, repository(t), nil, "sdk", "check")
	if r.code != 0 {
		need.Missing(t, "no engine with the SDK image: %s", r.stderr)
	}
}

// result is one finished run of the program.
type result struct {
	code           int
	stdout, stderr string
}

// buildsys runs the program in dir with the environment's settings replaced by env.
func buildsys(t *testing.T, dir string, env []string, args ...string) result {
	t.Helper()
	cmd := command(t.Context(), dir, env, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func command(ctx context.Context, dir string, env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = dir
	for _, kv := range os.Environ() {
		switch name, _, _ := strings.Cut(kv, "="); {
		case name == "BUILDSYS_SDK_IMAGE", name == "BUILDSYS_CACHE_DIR",
			!strings.HasPrefix(name, "BUILDSYS_") && !strings.HasPrefix(name, "PUBLISH_REPO"):
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(append(cmd.Env, "XDG_CONFIG_HOME=/nonexistent"), env...) // no user's settings
	return cmd
}

// must fails the test unless the run ended with the wanted code and its messages contain all the
// wanted texts.
func (r result) must(t *testing.T, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d\nstdout:\n%s\nstderr:\n%s", r.code, code, r.stdout, r.stderr)
	}
	for _, text := range texts {
		if !strings.Contains(r.stderr, text) {
			t.Errorf("the messages lack %q:\n%s", text, r.stderr)
		}
	}
}

// source is an external file of a test package.
type source struct {
	name string
	data []byte
}

// pkg describes one package of a test tree.
type pkg struct {
	name    string
	needs   []string // build-dependencies
	script  string   // %install section; must make %{buildroot}/NAME
	sources []source
}

// writeTree makes a tree of packages, and an empty cache for the rest of the test: results of
// earlier runs must not count. The tree has no Dockerfile, so the program's own recipe is used.
func writeTree(t *testing.T, packages ...pkg) string {
	t.Helper()
	t.Setenv("BUILDSYS_CACHE_DIR", t.TempDir())
	root := t.TempDir()
	write(t, root, "Release.toml", "version = \"1.0.0\"\n")
	for _, p := range packages {
		writePackage(t, root, p)
	}
	return root
}

func writePackage(t *testing.T, root string, p pkg) {
	t.Helper()
	var manifest, spec strings.Builder
	fmt.Fprintf(&manifest, "[package]\nname = %q\nversion = "+
		"\"0.1.0\"\n\n[package.metadata.build-package]\n", p.name)
	for _, s := range p.sources {
		sum := sha512.Sum512(s.data)
		fmt.Fprintf(&manifest, "\n[[package.metadata.build-package.external-files]]\nurl = "+
			"\"https://upstream.invalid/%s\"\nsha512 = %q\n",
			s.name, hex.EncodeToString(sum[:]))
	}
	manifest.WriteString("\n[build-dependencies]\n")
	fmt.Fprintf(&spec, "Name: %%{_cross_os}%s\nVersion: 1.0\nRelease: 1\n"+
		"Summary: test\nLicense: MIT\n", p.name)
	for i, s := range p.sources {
		fmt.Fprintf(&spec, "Source%d: %s\n", i, s.name)
	}
	for _, need := range p.needs {
		fmt.Fprintf(&manifest, "%s = { path = \"../%s\" }\n", need, need)
		fmt.Fprintf(&spec, "BuildRequires: %%{_cross_os}%s\n", need)
	}
	script := p.script
	if script == "" {
		script = "echo built >%{buildroot}/" + p.name
	}
	fmt.Fprintf(&spec, "%%description\n%%{summary}.\n%%install\nmkdir -p "+
		"%%{buildroot}\n%s\n%%files\n/%s\n", script, p.name)
	dir := "packages/" + p.name + "/"
	write(t, root, dir+"Cargo.toml", manifest.String())
	write(t, root, dir+p.name+".spec", spec.String())
}

func write(t *testing.T, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// lookaside makes a lookaside cache with the stored bytes of a source under the hash of its right
// bytes.
func lookaside(t *testing.T, right source, stored []byte) string {
	t.Helper()
	dir := t.TempDir()
	sum := sha512.Sum512(right.data)
	write(t, dir, filepath.Join(right.name, hex.EncodeToString(sum[:]), right.name), string(stored))
	return dir
}

// rpms returns the names of a package's RPMs in the tree.
func rpms(t *testing.T, root, name string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "build/rpms/*", name, "*.rpm"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// rpmBytes returns the contents of a package's only RPM.
func rpmBytes(t *testing.T, root, name string) string {
	t.Helper()
	files := rpms(t, root, name)
	if len(files) != 1 {
		t.Fatalf("RPMs of %s: %q, want one", name, files)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
