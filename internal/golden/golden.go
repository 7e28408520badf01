// Package golden compares the output of tests with files. "go test ./internal/PACKAGE -update"
// writes the output to the files instead; git shows the changes.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write golden files instead of comparing with them")

// Update reports whether golden files are written instead of compared.
func Update() bool { return *update }

// Equal compares the output of a test with a file.
func Equal(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; run the test with -update to write it", err)
	}
	if string(got) != string(want) {
		t.Errorf("%s: got:\n%s\nwant:\n%s\n-update writes it", file, got, want)
	}
}

// Trees calls findings with each of at least least txtar archives that match a pattern. An archive
// ends with the sections named wants: findings gets the rest and returns a text for each of them.
func Trees(t *testing.T, pattern string, least int, wants []string,
	findings func(*testing.T, *txtar.Archive) []string,
) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) < least {
		t.Fatalf("found %d trees, want at least %d (%v)", len(files), least, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tree := len(archive.Files) - len(wants)
			got := findings(t, &txtar.Archive{Files: archive.Files[:tree:tree]})
			for i := range wants {
				compare(t, &archive.Files[tree+i], wants[i], got[i])
			}
			if *update {
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// compare compares a text with a section, and puts it into the section for Trees to write.
func compare(t *testing.T, section *txtar.File, name, got string) {
	t.Helper()
	if section.Name != name {
		t.Fatalf("got section %q, want %q", section.Name, name)
	}
	if got != string(section.Data) && !*update {
		t.Errorf("%s: got:\n%s\nwant:\n%s\n-update writes it", name, got, section.Data)
	}
	section.Data = []byte(got)
}
