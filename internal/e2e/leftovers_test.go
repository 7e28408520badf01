// What runs leave behind in the staging directory, and on an engine that nobody else uses.

package e2e

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/buildtest/need"
)

// staged lists the contents of a tree's staging directories.
func staged(t *testing.T, root string) []string {
	t.Helper()
	entries, err := filepath.Glob(filepath.Join(root, "build/staging/*/*"))
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// noDebris fails the test if a run left something in staging. What was there before is not the
// run's: in this checkout, a killed run for the other architecture may have left it.
func noDebris(t *testing.T, root string, before ...string) {
	t.Helper()
	for _, entry := range staged(t, root) {
		if !slices.Contains(before, entry) {
			t.Errorf("left behind: %s", entry)
		}
	}
}

// engineThing is a container or an image of a Docker engine.
type engineThing struct {
	ID       string `json:"Id"`
	RepoTags []string
}

// engineAsk sends a request directly to the API of a dockerd, without the code under test. host is
// its address; one that is not a socket of this machine means Docker's default.
func engineAsk(t *testing.T, host, method, path string) *http.Response {
	t.Helper()
	return engineSend(t, host, method, path, nil)
}

// engineSend is engineAsk with a body in JSON.
func engineSend(t *testing.T, host, method, path string, body io.Reader) *http.Response {
	t.Helper()
	socket, isUnix := strings.CutPrefix(host, "unix://")
	if !isUnix {
		socket = "/var/run/docker.sock"
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	request, err := http.NewRequest(method, "http://engine"+path, body)
	buildtest.Must(t, err)
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	buildtest.Must(t, err)
	return response
}

// engineGet returns the list at path of a dockerd.
func engineGet(t *testing.T, d *buildtest.Daemon, path string) (list []engineThing) {
	t.Helper()
	response := engineAsk(t, d.Host, http.MethodGet, path)
	defer response.Body.Close()
	buildtest.Must(t, json.NewDecoder(response.Body).Decode(&list))
	return list
}

// TestNothingStaysOnEngine checks that after builds that succeed, fail, are interrupted and are
// killed, the test's own engine has the SDK image and nothing else. On a shared engine, others'
// data could not be told from ours.
func TestNothingStaysOnEngine(t *testing.T) {
	need.Time(t)
	d := buildtest.NewDockerd(t)
	d.Start(t)
	root := toolTree(t)
	buildsys(t, root, env(d), "sdk", "import", toolRoot(t)).must(t, 0)
	buildsys(t, root, env(d), "build-package", "a").must(t, 0)
	step(t, root, ",", "exit", "7")
	buildsys(t, root, env(d), "build-package", "a").must(t, 3, "exit code 7")
	step(t, root, ",", "sleep", "600")
	for _, s := range []os.Signal{os.Interrupt, os.Kill} {
		cmd := command(t.Context(), root, env(d), "build-package", "-v", "a")
		onRunning(t, cmd, func() { buildtest.Must(t, cmd.Process.Signal(s)) })
	}
	step(t, root, ",", "print", "again")
	buildsys(t, root, env(d), "build-package", "a").must(t, 0)
	if containers := engineGet(t, d, "/containers/json?all=1"); len(containers) > 0 {
		t.Errorf("containers: %v", containers)
	}
	images := engineGet(t, d, "/images/json?all=1")
	if len(images) != 1 || !slices.Equal(images[0].RepoTags, []string{toolSDK}) {
		t.Errorf("images: %v", images)
	}
}
