package build

import (
	"os"
	"path/filepath"
	"testing"
)

// TestGoIsAskedOutsideTheTree: what the go command says does not depend on files of the tree, which
// could name a toolchain for it to fetch.
func TestGoIsAskedOutsideTheTree(t *testing.T) {
	bin, tree := t.TempDir(), t.TempDir()
	script := "#!/bin/sh\necho \"$(pwd) $GOTOOLCHAIN\"\n"
	if err := os.WriteFile(filepath.Join(bin, "go"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("GOTOOLCHAIN", "auto")
	t.Chdir(tree)
	if got := (&Session{}).moduleProxy(); got != "/ local" {
		t.Errorf("it was asked in %q", got)
	}
}
