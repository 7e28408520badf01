// Registries of a test's own: Debian's docker-registry, with its storage in a temporary directory.

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
)

// registryProgram is what script/setup installs.
const registryProgram = "docker-registry"

// Registry is a registry that a test or a benchmark started.
type Registry struct {
	Address string // HOST:PORT; it speaks HTTP without TLS
	Data    string // the directory with all that it has

	process *exec.Cmd
}

// NewRegistry starts a registry that ends with the test. It skips the test where docker-registry is
// not installed.
func NewRegistry(t *testing.T) *Registry {
	t.Helper()
	if _, err := exec.LookPath(registryProgram); err != nil {
		t.Skipf("no %s (script/setup installs it)", registryProgram)
	}
	r, err := StartRegistry(t.TempDir())
	Must(t, err)
	t.Cleanup(r.Stop)
	return r
}

// StartRegistry starts a registry that keeps what it has below dir, which must exist, and waits
// until it answers.
func StartRegistry(dir string) (*Registry, error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Registry{Address: free.Addr().String(), Data: filepath.Join(dir, "data")}
	free.Close()
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"+
		"storage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %q}\n", r.Data, r.Address)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, err
	}
	r.process = exec.Command(registryProgram, "serve", config)
	var output bytes.Buffer
	r.process.Stdout, r.process.Stderr = &output, &output
	if err := r.process.Start(); err != nil {
		return nil, fmt.Errorf("%w; script/setup installs it", err)
	}
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get("http://" + r.Address + "/v2/")
		if err == nil {
			return r, resp.Body.Close()
		}
		if time.Since(begin) > time.Minute {
			r.Stop()
			return nil, fmt.Errorf("%s does not answer: %w\n%s", registryProgram, err, &output)
		}
	}
}

// Stop kills the registry. It may be called again.
func (r *Registry) Stop() {
	_ = r.process.Process.Kill()
	_ = r.process.Wait()
}
