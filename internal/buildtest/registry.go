// A registry of a test's own: Debian's docker-registry on a free port, with its data in a temporary
// directory.

package buildtest

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"buildsys/internal/buildtest/need"
)

// Registry is a registry that a test started. It ends with the test.
type Registry struct {
	Address string // HOST:PORT, without TLS
	Data    string // directory in which it keeps what it has

	process *exec.Cmd
}

// NewRegistry starts an empty registry and waits until it answers.
func NewRegistry(t testing.TB) *Registry {
	t.Helper()
	program := need.Program(t, "docker-registry")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"+
		"storage: {filesystem: {rootdirectory: %s/data}}\nhttp: {addr: %q}\n", dir, address)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	r := &Registry{Address: address, Data: dir + "/data"}
	r.process = exec.Command(program, "serve", config)
	r.process.Stdout, r.process.Stderr = &output, &output
	if err := r.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
	answers := need.Until(time.Minute, func() bool {
		resp, err := http.Get("http://" + address + "/v2/")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	if !answers {
		r.Stop()
		t.Fatalf("docker-registry does not answer:\n%s", &output)
	}
	return r
}

// Stop ends the registry, as often as it is called.
func (r *Registry) Stop() {
	_ = r.process.Process.Kill()
	_ = r.process.Wait()
}
