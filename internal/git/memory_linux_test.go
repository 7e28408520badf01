package git

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMemoryIsBounded has lists of attributes without end, which git keeps while it reads.
func TestMemoryIsBounded(t *testing.T) {
	usual := maxMemory
	t.Cleanup(func() { maxMemory = usual })
	maxMemory = 64 << 20
	for name, make := range map[string]func(dir string){
		"in the repository": func(dir string) {
			if err := os.Symlink("/dev/zero", filepath.Join(dir, ".git/info/attributes")); err != nil {
				t.Fatal(err)
			}
		},
		"in the configuration": func(dir string) {
			git(t, dir, "config", "core.attributesFile", "/dev/zero")
		},
	} {
		dir := checkout(t)
		make(dir)
		write(t, filepath.Join(dir, "README"), "A TREE\n", 0o644) // contents of the same size
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		commit, err := Commit(ctx, dir)
		if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "memory") {
			t.Errorf("%s: commit %q, %v", name, commit, err)
		}
		cancel()
	}
}
