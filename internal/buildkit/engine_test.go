// Tests on a real engine, with a base image that holds one static program.

package buildkit

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	docker "github.com/docker/docker/client"

	"buildsys/internal/buildtest"
	"buildsys/internal/buildtest/need"
	"buildsys/internal/engine"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// engineCases are the tests that every kind of engine must pass.
var engineCases = []struct {
	name string
	test func(*engineTest, *testing.T)
}{
	{"contract", func(e *engineTest, t *testing.T) { buildtest.Contract(t, e.b, e.sdk) }},
	{"outputs", (*engineTest).outputs},
	{"rootfs", (*engineTest).rootfs},
	{"contexts", (*engineTest).contexts},
	{"cache", (*engineTest).cache},
	{"no network", (*engineTest).noNetwork},
	{"failing step", (*engineTest).failingStep},
	{"log lines", (*engineTest).logLines},
	{"burst of output", (*engineTest).burst},
	{"hostile outputs", (*engineTest).hostileOutputs},
	{"harmless staging", (*engineTest).harmlessStaging},
	{"size of a file", (*engineTest).fileSize},
	{"control group", (*engineTest).controlGroup},
	{"variant outputs", (*engineTest).variantOutputs},
	{"nothing undeclared", (*engineTest).nothingUndeclared},
	{"missing SDK", (*engineTest).missingSDK},
	{"bad context", (*engineTest).badContext},
	{"cancel", (*engineTest).cancel},
	{"lost connection", (*engineTest).lostConnection},
	{"secrets", (*engineTest).secrets},
	{"silent partition", (*engineTest).silentPartition},
	{"short partition", (*engineTest).shortPartition},
}

// TestEngine groups everything that needs the engine, so that the base image is made and removed
// once.
func TestEngine(t *testing.T) {
	b := dialEngine(t, engine.Options{Limits: contractLimits})
	e := &engineTest{b: b, sdk: testImages + ":" + strings.ToLower(rand.Text())}
	e.importBase(t)
	for _, c := range engineCases {
		t.Run(c.name, func(t *testing.T) { c.test(e, t) })
	}
	e.removeBase(t)
	if left := e.left(t); len(left) > 0 {
		t.Errorf("left on the engine: %q", left)
	}
}

// contractLimits are those that buildtest.Contract expects.
var contractLimits = engine.Limits{Bytes: buildtest.MaxBytes, Files: buildtest.MaxFiles}

// dialEngine connects to the Docker engine of this machine.
func dialEngine(t testing.TB, opt engine.Options) *Builder {
	t.Helper()
	opt.Checkout = t.Name()
	b, err := Dial(t.Context(), opt)
	if err != nil {
		need.Missing(t, "no engine: %v", err)
	}
	t.Cleanup(func() { b.Close() })
	if d, ok := b.engine.(*dockerd); ok {
		clearKilled(t, d.docker)
	}
	return b
}

type engineTest struct {
	b   *Builder
	sdk string
}

// docker returns the API of the Docker engine, to look behind a Builder.
func (e *engineTest) docker() *docker.Client { return e.b.engine.(*dockerd).docker }

// importBase makes the base image: /tool and an empty /output.
func (e *engineTest) importBase(t *testing.T) {
	t.Helper()
	must(t, e.b.ImportImage(t.Context(), e.sdk, bytes.NewReader(buildtest.ToolImage(t))))
	if id, ok, err := e.b.HasImage(t.Context(), e.sdk); err != nil || !ok ||
		!strings.HasPrefix(id, "sha256:") {
		t.Fatalf("HasImage after import = %q, %v, %v", id, ok, err)
	}
}

func (e *engineTest) removeBase(t *testing.T) {
	t.Helper()
	if _, err := e.docker().ImageRemove(context.Background(), e.sdk,
		image.RemoveOptions{}); err != nil {
		t.Error(err)
	}
}

// testImages is the repository of these tests' base images; each run has its own tag.
const testImages = "buildsys.invalid/test"

// left lists what builds on the base image could have left on a Docker engine: its containers and
// its names. Others may use the engine meanwhile, so nothing else can be checked here.
func (e *engineTest) left(t *testing.T) []string {
	t.Helper()
	var all []string
	containers, err := e.docker().ContainerList(context.Background(), container.ListOptions{All: true})
	must(t, err)
	for _, c := range containers {
		if c.Image == e.sdk {
			all = append(all, "container "+c.ID)
		}
	}
	images, err := e.docker().ImageList(context.Background(), image.ListOptions{All: true})
	must(t, err)
	for _, i := range images {
		if slices.Contains(i.RepoTags, e.sdk) {
			all = append(all, "image "+i.ID)
		}
	}
	return all
}

// clearKilled removes base images of runs that were killed: they are older than any run may last.
func clearKilled(t testing.TB, client *docker.Client) {
	t.Helper()
	images, err := client.ImageList(context.Background(), image.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range images {
		for _, tag := range i.RepoTags {
			if strings.HasPrefix(tag, testImages+":") && time.Since(time.Unix(i.Created, 0)) > 3*time.Hour {
				if _, err := client.ImageRemove(context.Background(), tag, image.RemoveOptions{}); err != nil {
					t.Logf("cannot remove %s, which a killed run left: %v", tag, err)
				}
			}
		}
	}
}

// recipe returns a Dockerfile whose package and variant are what the tool leaves in /output. The
// nonce keeps this build's step apart from all others in the engine's cache.
func recipe(mounts, nonce string, tool ...string) []byte {
	var b strings.Builder
	b.WriteString("# syntax=registry.invalid/evil:1\nARG SDK\nFROM ${SDK} AS build\nARG PACKAGE\n")
	fmt.Fprintf(&b, "ENV NONCE=%s\nRUN %s[\"/tool\"", nonce, mounts)
	for _, a := range tool {
		fmt.Fprintf(&b, ", %q", a)
	}
	b.WriteString("]\nFROM scratch AS package\nCOPY --from=build /output/ /\nFROM scratch AS " +
		"variant\nCOPY --from=build /output/ /\n")
	return []byte(b.String())
}

const mountPackage = "--mount=from=buildsys.invalid/package,target=/host/package "

func (e *engineTest) request(name, mounts string, tool ...string) plan.Solve {
	return plan.Solve{
		Name: name, Dockerfile: recipe(mounts, rand.Text(), tool...), Target: "package",
		Args: map[string]string{"SDK": e.sdk, "PACKAGE": name},
	}
}

// build runs a build and returns its output lines.
func (e *engineTest) build(ctx context.Context, s plan.Solve, out string) ([]string, error) {
	var lines []string
	err := e.b.Build(ctx, s, out, func(ev progress.Event) {
		if ev.Kind == progress.StepLog {
			lines = append(lines, ev.Text)
		}
	})
	return lines, err
}

// readTree returns mode and contents of every file below dir.
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
