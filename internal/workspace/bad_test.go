package workspace

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"buildsys/internal/golden"
	"buildsys/internal/manifest"
)

// TestBadManifests loads trees with mistakes and compares every message, to the letter.
// A section named "symlinks" lists links as "name -> target"; the section "want" has the messages.
func TestBadManifests(t *testing.T) {
	const pattern = "../../testdata/bad-manifests/*.txtar"
	golden.Trees(t, pattern, 30, []string{"want"},
		func(t *testing.T, archive *txtar.Archive) []string {
			w, err := Load(writeTree(t, archive))
			if err == nil {
				t.Fatalf("no mistake found in %+v", w)
			}
			if _, ok := err.(manifest.Problems); !ok {
				t.Errorf("the error is a %T, not manifest.Problems", err)
			}
			return []string{err.Error() + "\n"}
		})
}

// writeTree writes the files of an archive into a new directory.
func writeTree(t *testing.T, archive *txtar.Archive) string {
	t.Helper()
	root := t.TempDir()
	for _, f := range archive.Files {
		if f.Name == "want" {
			continue
		}
		if f.Name == "symlinks" {
			for line := range strings.Lines(string(f.Data)) {
				name, target, _ := strings.Cut(strings.TrimSpace(line), " -> ")
				at := filepath.Join(root, name)
				must(t, os.MkdirAll(filepath.Dir(at), 0o755))
				must(t, os.Symlink(target, at))
			}
			continue
		}
		at := filepath.Join(root, f.Name)
		must(t, os.MkdirAll(filepath.Dir(at), 0o755))
		must(t, os.WriteFile(at, f.Data, 0o644))
	}
	return root
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
