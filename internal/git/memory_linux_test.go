package git

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMemoryIsBounded has a list of attributes without end, which git keeps while it reads.
func TestMemoryIsBounded(t *testing.T) {
	usual := maxMemory
	t.Cleanup(func() { maxMemory = usual })
	maxMemory = 64 << 20
	dir := checkout(t)
	if err := os.Symlink("/dev/zero", filepath.Join(dir, ".git/info/attributes")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "README"), "A TREE\n", 0o644) // contents of the same size
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	commit, err := Commit(ctx, dir)
	if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "memory") {
		t.Errorf("commit %q, %v", commit, err)
	}
}
