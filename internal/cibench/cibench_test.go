// Tests of what nobody sees in a table: the Dockerfile of the peer, and how logs and traffic are
// counted.

package cibench

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/plan"
)

func twoSteps() plan.Plan {
	recipe := plan.Context{Files: []plan.File{{Name: "tools/package/build-rpm", Data: []byte("x"),
		Mode: 0o755}}}
	return plan.Plan{Steps: []plan.Step{
		{Kind: plan.Package, Name: "musl", Solve: plan.Solve{
			Args: map[string]string{"SDK": "127.0.0.1:1/sdk:v1", "PACKAGE": "musl", "ARCH": "x86_64"},
			Contexts: map[string]plan.Context{"recipe": recipe,
				"package": {Files: []plan.File{{Name: "musl.spec", Data: []byte("Name: musl\n"), Mode: 0o644}}},
				"sources": {}, "rpms": {}},
		}},
		{Kind: plan.Variant, Name: "tiny", Solve: plan.Solve{
			Args:     map[string]string{"SDK": "127.0.0.1:1/sdk:v1", "PRETTY_NAME": "It's $5"},
			Contexts: map[string]plan.Context{"recipe": recipe, "image": {}, "rpms": {}},
		}},
	}}
}

func TestDockerfile(t *testing.T) {
	const want = `FROM 127.0.0.1:1/sdk:v1
RUN --mount=source=packages/musl/package,target=/host/package --mount=source=recipe-package,target=/host/recipe --mount=source=packages/musl/sources,target=/host/sources \
    ARCH='x86_64' PACKAGE='musl' \
    bash /host/recipe/tools/package/build-rpm && mkdir -p /host/rpms/musl && mv /output/* /host/rpms/musl/ && rm -rf /home/builder/rpmbuild /var/cache/dnf /tmp/*
RUN --mount=source=variants/tiny/image,target=/host/image --mount=source=recipe-variant,target=/host/recipe \
    PRETTY_NAME='It'\''s $5' \
    bash /host/recipe/tools/image/build-variant
`
	dir := t.TempDir()
	if err := writeContext(twoSteps(), dir); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "Dockerfile"))
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	for name, text := range map[string]string{"packages/musl/package/musl.spec": "Name: musl\n",
		"recipe-package/tools/package/build-rpm": "x"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != text {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	// mounted, so they must exist
	for _, name := range []string{"packages/musl/sources", "variants/tiny/image"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || !info.IsDir() {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLogs(t *testing.T) {
	const docker = `#4 [1/4] FROM 127.0.0.1:1/sdk:v1@sha256:00
#4 DONE 40.1s
#6 [2/4] RUN --mount=source=packages/musl/package,target=/host/package x
#6 CACHED
#7 [ 3/4] RUN --mount=source=packages/kernel/package,target=/host/package x
#7 12.0 #8 CACHED
#7 DONE 340.5s
#8 [4/4] RUN --mount=source=packages/attr/package,target=/host/package x
#8 DONE 11.9s
#9 exporting to image
#9 DONE 0.0s
`
	if n, kernel := ranRuns(docker); n != 2 || kernel != 340.5 {
		t.Errorf("docker build: %d RUNs, kernel %v s", n, kernel)
	}
	const ours = `[1/3] musl fetched from oci://x (2 files)
[ 1/20] kernel started (1 running)
[2/3] variant qemu-dev started (2 running)
[ 2/20] kernel done in 5m40s (1 running)
`
	if n, kernel := ranSteps(ours); n != 2 || kernel != 340 {
		t.Errorf("buildsys: %d steps, kernel %v s", n, kernel)
	}
}

// TestTraffic checks the counts against real transfers, and that the SDK image's blobs are counted
// separately.
func TestTraffic(t *testing.T) {
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, strings.Repeat("x", len(r.URL.Path)))
	}))
	defer behind.Close()
	address := strings.TrimPrefix(behind.URL, "http://")
	r := &registry{behind: &buildtest.Registry{Address: address}, pushed: map[string]bool{}}
	r.listen()
	defer r.proxy.Close()
	send := func(method, path, body string) {
		t.Helper()
		req, _ := http.NewRequest(method, "http://"+r.address+path, strings.NewReader(body))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	send(http.MethodPut, "/v2/sdk/blobs/uploads/1?digest=sha256:aa", "12345")
	r.seeded()
	before := r.traffic()
	send(http.MethodPut, "/v2/cache/blobs/uploads/2?digest=sha256:bb", "123")
	send(http.MethodGet, "/v2/other/blobs/sha256:aa", "")
	send(http.MethodGet, "/v2/cache/blobs/sha256:bb", "")
	want := traffic{down: int64(len("/v2/cache/blobs/uploads/2") + len("/v2/cache/blobs/sha256:bb")),
		up: 3, sdk: int64(len("/v2/other/blobs/sha256:aa"))}
	if got := r.traffic().since(before); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestDamagedResults checks that figures of columns that are not measured again are not lost.
func TestDamagedResults(t *testing.T) {
	results := filepath.Join(t.TempDir(), "results.json")
	buildtest.Must(t, os.WriteFile(results, []byte("{"), 0o644))
	_, err := Run(t.Context(), Options{Results: results, Columns: []string{"layers"}, Log: io.Discard})
	if _, damaged := errors.AsType[*json.SyntaxError](err); !damaged {
		t.Errorf("error %v", err)
	}
}

func TestReport(t *testing.T) {
	r := Results{Facts: "a machine", What: "qemu-dev x86_64", Total: 20, Middle: "m", First: "f",
		Layers: map[Row]Cell{Cold: {Wall: 1000, Push: 100, SDK: 450 << 20, Up: 90 << 20, Steps: 20,
			Kernel: 340, Load: "1.0"}},
		Ours: map[Row]Cell{Cold: {Wall: 900, Steps: 20, SDK: 450 << 20, Load: "2.0"},
			Second: {Wall: 54, Down: 36e6, Outputs: 36e6, Load: "3.0"}},
	}
	text := r.Report()
	for _, want := range []string{
		"Load (last minute) before each cell: 1.0, 2.0, 3.0.",
		"| cold | 900 | 1000 (100) | 900 |", "| second run, fresh machine | = 900 | not measured | 54 |",
		"| 0 bytes + 450 MiB / 0 bytes | 0 bytes + 450 MiB / 90 MiB |", "| cold | 20 | 20 | 20 |",
		"layer cache, cold: 340 s", "Second run of buildsys: 0.060 of the cold run's wall time;",
		"received are 1.000 of those of the final outputs",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
