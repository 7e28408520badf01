// What archives say: those in testdata are made of the files there. What strangers make of archives
// is bounded.

package survey

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"buildsys/internal/buildtest/bound"
	"buildsys/internal/golden"
)

func pack(t testing.TB, files []txtar.File) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.Name, Mode: 0o644, Size: int64(len(f.Data))}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.Data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(t.TempDir(), "archive")
	if err := os.WriteFile(at, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return at
}

// TestRead compares what is found with what the archives in testdata end with. Their first file has
// the name of the archive.
func TestRead(t *testing.T) {
	golden.Trees(t, "testdata/*.txtar", 9, []string{"found"},
		func(t *testing.T, a *txtar.Archive) []string {
			name := strings.TrimSpace(string(a.Files[0].Data))
			s, err := Read(t.Context(), pack(t, a.Files[1:]), name)
			if err != nil {
				return []string{err.Error() + "\n"}
			}
			text, err := json.MarshalIndent(s, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			return []string{string(text) + "\n"}
		})
}

func TestBounds(t *testing.T) {
	large := txtar.File{Name: "a-1/configure.ac", Data: bytes.Repeat([]byte("x\n"), maxFile)}
	s, err := Read(t.Context(), pack(t, []txtar.File{large, {Name: "a-1/configure"}}), "a-1.tar")
	if err != nil || len(s.Unsure) == 0 ||
		!strings.Contains(s.Unsure[len(s.Unsure)-1], "was not looked at") {
		t.Errorf("%+v, %v", s, err)
	}
	var many strings.Builder
	for range 10 * maxNeeds {
		many.WriteString("dependency('a" + strings.Repeat("b", many.Len()%97) + "')\n")
	}
	s, err = Read(t.Context(), pack(t, []txtar.File{{Name: "a/meson.build",
		Data: []byte(many.String())}}), "a.tar")
	if err != nil || len(s.Needs) > maxNeeds {
		t.Errorf("%d needs, %v", len(s.Needs), err)
	}
	for _, bad := range []string{"", "no archive"} {
		at := filepath.Join(t.TempDir(), "a")
		if err := os.WriteFile(at, []byte(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(t.Context(), at, "a.tar"); err == nil {
			t.Errorf("%q is an archive", bad)
		}
	}
}

func FuzzFiles(f *testing.F) {
	(&Source{}).licences(&reader{texts: map[string]string{"COPYING": "MIT"}}) // reads all licences
	f.Add("configure.ac", "AC_INIT([a],[1])\nPKG_CHECK_MODULES([X],[a >= 1 b],[],[no])")
	f.Add("CMakeLists.txt", "project(a VERSION 1)\nfind_package(ZLIB REQUIRED)")
	f.Add("meson.build", "project('a', 'c', version: '1')\ndependency('b', required: false)")
	f.Add("go.mod", "module a\ngo 1.22\n")
	f.Add("COPYING", "MIT")
	f.Add("README", "a is a thing.")
	f.Fuzz(func(t *testing.T, name, text string) {
		if name == "" || strings.ContainsAny(name, "\x00/") || len(name) > 90 || len(text) > 1<<16 {
			return
		}
		at := pack(t, []txtar.File{{Name: "a-1/" + name, Data: []byte(text)}, {Name: "a-1/main.go",
			Data: []byte("package main\n")}})
		bound.Work(t, 256<<20, func() {
			s, err := Read(t.Context(), at, "a-1.tar")
			if err != nil {
				return
			}
			for _, line := range append(s.Unsure, s.Summary, s.Licence) {
				if strings.ContainsAny(line, "%\n\x1b") {
					t.Errorf("%q", line)
				}
			}
		})
	})
}
