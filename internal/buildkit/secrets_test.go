// Tests of secrets: a build sees them, and nothing of them remains.

package buildkit

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/confined"
	"buildsys/internal/engine"
	"buildsys/internal/plan"
)

const mountSecrets = "--mount=type=secret,id=a.key,target=/host/a.key " +
	"--mount=type=secret,id=b.key,target=/host/b.key "

// secretRequest returns a build with one of two secrets.
func (e *engineTest) secretRequest(t *testing.T, value, output string) plan.Solve {
	t.Helper()
	file := filepath.Join(t.TempDir(), "a.key")
	writeFile(t, file, value, 0o600)
	s := e.request("secrets", mountSecrets, "size", "/host/a.key", "/host/b.key", ",", "write",
		"/output/a", output)
	s.Secrets = map[string]confined.Path{"a.key": {Name: file}}
	return s
}

func (e *engineTest) secrets(t *testing.T) {
	s := e.secretRequest(t, "twelve bytes", "x")
	lines, err := e.build(t.Context(), s, t.TempDir())
	if want := []string{"/host/a.key -r-------- 12", "no /host/b.key"}; err != nil ||
		!slices.Equal(lines, want) {
		t.Errorf("the step says %q, %v; want %q", lines, err, want)
	}
	s.Secrets["a.key"] = confined.Path{Name: "/missing/file"}
	if _, err := e.build(t.Context(), s, t.TempDir()); err == nil ||
		!strings.Contains(err.Error(), "secret a.key: open /missing/file") {
		t.Errorf("a secret whose file is missing: %v", err)
	}
}

// TestSecretsLeaveNothing builds with a secret on the test's own engine, then reads every byte that
// the engine stored.
func TestSecretsLeaveNothing(t *testing.T) {
	for name, d := range map[string]func(*testing.T,
		...string) *buildtest.Daemon{"dockerd": buildtest.NewDockerd,
		"buildkitd": buildtest.NewBuildkitd} {
		t.Run(name, func(t *testing.T) { secretsLeaveNothing(t, d(t)) })
	}
}

func secretsLeaveNothing(t *testing.T, d *buildtest.Daemon) {
	d.Start(t)
	e := &engineTest{b: dialDaemon(t, d, engine.Options{}), sdk: testImages + ":" +
		strings.ToLower(rand.Text())}
	e.importBase(t)
	value, marker, out := rand.Text()+rand.Text(), rand.Text(), t.TempDir()
	s := e.secretRequest(t, value, marker)
	lines, err := e.build(t.Context(), s, out)
	if err != nil || !slices.Contains(lines, "/host/a.key -r-------- 52") {
		t.Fatalf("the step did not see its secret: %q, %v", lines, err)
	}
	d.Stop(t)
	if strings.Contains(strings.Join(lines, "\n"), value) {
		t.Error("the output of the step shows the secret")
	}
	found := false
	for _, dir := range []string{filepath.Dir(d.Log), out} {
		must(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			found = found || dir != out && bytes.Contains(data, []byte(marker))
			for _, form := range []string{value, hex.EncodeToString([]byte(value)),
				base64.StdEncoding.EncodeToString([]byte(value))[:60]} {
				if bytes.Contains(data, []byte(form)) {
					t.Errorf("%s holds the secret", path)
				}
			}
			return nil
		}))
	}
	if !found { // otherwise nothing was searched
		t.Error("the engine's files do not contain what the step wrote: the search found nothing")
	}
}
