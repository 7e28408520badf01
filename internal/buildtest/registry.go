// Separate registries for tests: Debian's docker-registry, with its storage in a temporary
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

// registryProgram is the program that script/setup installs.
const registryProgram = "docker-registry"

// Registry is a registry that a test or a benchmark has started.
type Registry struct {
	Address string // HOST:PORT; it speaks HTTP without TLS
	Data    string // the directory with all its data

	process *os.Process
	ended   chan struct{}
}

// NewRegistry starts a registry that ends with the test. It needs docker-registry.
func NewRegistry(t *testing.T) *Registry {
	t.Helper()
	need.Program(t, registryProgram)
	r, err := StartRegistry(shortDir(t))
	Must(t, err)
	t.Cleanup(r.Stop)
	return r
}

// StartRegistry starts a registry that keeps its data below dir, which must exist, and waits until
// it answers.
func StartRegistry(dir string) (*Registry, error) {
	program, err := need.Find(registryProgram)
	if err != nil {
		return nil, fmt.Errorf("%w; script/setup installs it", err)
	}
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
	cmd := exec.Command(program, "serve", config)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if r.ended, err = start(cmd); err != nil {
		return nil, err
	}
	r.process = cmd.Process
	client := http.Client{Timeout: 5 * time.Second}
	answers := need.Until(time.Minute, func() bool {
		resp, err := client.Get("http://" + r.Address + "/v2/")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	if !answers {
		r.Stop()
		return nil, fmt.Errorf("%s does not answer:\n%s", registryProgram, &output)
	}
	return r, nil
}

// Stop kills the registry. It may be called more than once.
func (r *Registry) Stop() {
	_ = r.process.Kill()
	<-r.ended
}
