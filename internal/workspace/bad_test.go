package workspace

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"buildsys/internal/manifest"
)

var update = flag.Bool("update", false, "write the messages that came out into testdata/bad-manifests")

// TestBadManifests loads trees with mistakes and compares every message, to the letter.
// A section named "symlinks" lists links as "name -> target"; the section "want" has the messages.
func TestBadManifests(t *testing.T) {
	files, err := filepath.Glob("../../testdata/bad-manifests/*.txtar")
	if err != nil || len(files) < 30 {
		t.Fatalf("found %d bad trees, want at least 30 (%v)", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			last := &archive.Files[len(archive.Files)-1]
			if last.Name != "want" {
				t.Fatalf("the last section is %q, not want", last.Name)
			}
			w, err := Load(writeTree(t, archive))
			if err == nil {
				t.Fatalf("no mistake found in %+v", w)
			}
			if _, ok := err.(manifest.Problems); !ok {
				t.Errorf("the error is a %T, not manifest.Problems", err)
			}
			got := err.Error() + "\n"
			if *update {
				last.Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got != string(last.Data) {
				t.Errorf("got:\n%swant:\n%s", got, last.Data)
			}
		})
	}
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
