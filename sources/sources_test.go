// The programs of the sample OS are Go modules of their own, because the package builds see nothing
// else of this repository. `go test ./...` stops at module borders, so this test runs theirs.

package sources

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestModules(t *testing.T) {
	modules, err := filepath.Glob("*/go.mod")
	if err != nil || len(modules) == 0 {
		t.Fatalf("no modules in sources: %v", err)
	}
	for _, module := range modules {
		dir := filepath.Dir(module)
		t.Run(dir, func(t *testing.T) {
			dependOn(t, dir)
			for _, args := range [][]string{{"vet", "./..."}, {"test", "./..."}} {
				cmd := exec.Command("go", args...)
				cmd.Dir = dir
				// As the package builds do it: no cgo, and nothing from the network.
				cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOPROXY=off", "GOFLAGS=", "GOWORK=off")
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("go %s: %v\n%s", args[0], err, out)
				}
			}
		})
	}
}

// dependOn looks at every file of the module: go test takes an earlier result from its cache unless
// a file that this process has looked at is different now, and it does not see what the go commands
// started here read.
func dependOn(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
