// compare_test: how two builds of a package can differ, and how that is reported.

package build

import (
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/builddir"
	"buildsys/internal/buildtest"
)

func TestDifferences(t *testing.T) {
	for _, tt := range []struct {
		name, first, second string // txtar
		where, file         string // "", or lists with a comma
	}{
		{"same", "-- a --\nx\n-- sub/b --\n", "-- a --\nx\n-- sub/b --\n", "", ""},
		{"byte", "-- a --\nxyz\n", "-- a --\nxYz\n", "a differs from byte 1 on", "a"},
		{"shorter", "-- a --\nxyz\n", "-- a --\n", "a differs from byte 0 on", "a"},
		{"longer", "-- a --\nx\n", "-- a --\nx\ny\n", "a differs from byte 2 on", "a"},
		{"two", "-- b --\n1\n-- a --\n1\n", "-- b --\n2\n-- a --\n2\n",
			"a differs from byte 0 on, b differs from byte 0 on", "a, b"},
		{"gone", "-- a --\n-- b --\n", "-- a --\n", "b is only in the first build", ""},
		{"new", "-- b --\n", "-- a --\n-- b --\n", "a is only in the second build", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			where, files, err := differences(buildtest.Tree(t, tt.first), buildtest.Tree(t, tt.second))
			if err != nil || strings.Join(where, ", ") != tt.where || strings.Join(files, ", ") != tt.file {
				t.Errorf("got %q in %q (%v), want %q in %q", where, files, err, tt.where, tt.file)
			}
		})
	}
	if _, _, err := differences(t.TempDir(), filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no error for a directory that is not there")
	}
}

// Without diffoscope, the user learns how to install and call it.
func TestExplainWithoutDiffoscope(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	b := builddir.Dir{Root: t.TempDir()}.Builds("a")
	all := explain(t.Context(), b, []string{"a.rpm"})
	text := strings.Join(all[len(all)-1].Lines, "\n")
	want := "diffoscope " + b.First() + " " + b.Second()
	if !strings.Contains(text, "install diffoscope") || !strings.HasSuffix(text, want) {
		t.Errorf("got %q, want it to end in %q", text, want)
	}
}
