// Contract, inputs: which differences between two builds' contexts change the outputs.

package buildtest

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"buildsys/internal/confined"
	"buildsys/internal/plan"
)

// inputs is the context of a build that a test changes.
type inputs struct {
	*testing.T
	*plan.Context
	solve *plan.Solve
}

// change is an edit of a build's inputs.
type change struct {
	name string
	do   func(in inputs)
}

// apply makes the change to the named context of a build.
func (c change) apply(t *testing.T, s *plan.Solve, context string) {
	in := s.Contexts[context]
	c.do(inputs{t, &in, s})
	s.Contexts[context] = in
}

// changed builds s unchanged, and after each change of a copy, and returns the changes that changed
// the outputs.
func (c contract) changed(
	t *testing.T, request func(*testing.T) plan.Solve, context string, changes []change,
) (different []string) {
	t.Helper()
	first := request(t)
	want, _ := c.succeed(t, first)
	for _, change := range changes {
		s := request(t)
		s.Dockerfile = first.Dockerfile
		change.apply(t, &s, context)
		if got, _ := c.succeed(t, s); !maps.Equal(got, want) {
			different = append(different, change.name)
		}
	}
	return different
}

// all requires that every change has made a difference.
func all(t *testing.T, different []string, changes []change) {
	t.Helper()
	for _, change := range changes {
		if !slices.Contains(different, change.name) {
			t.Errorf("%s: the outputs are the same", change.name)
		}
	}
}

func (c contract) counts(t *testing.T) {
	changes := []change{
		{"contents of the same size and time", func(in inputs) {
			Must(in.T, os.WriteFile(in.Files[0].Host, []byte("version 2\n"), 0o644))
			setTime(in.T, in.Files[0].Host)
		}},
		{"data", func(in inputs) { in.Files[2].Data = []byte("y") }},
		{"executable bit", func(in inputs) { in.Files[2].Mode = 0o755 }},
		{"name", func(in inputs) { in.Files[2].Name = "other" }},
		{"link", func(in inputs) { in.Files[1].Link = "notes" }},
		{"file in a directory", func(in inputs) {
			Write(in.T, in.Dirs[0].Host, "-- more.rpm --\n")
		}},
		{"executable bit in a directory", func(in inputs) {
			Must(in.T, os.Chmod(filepath.Join(in.Dirs[0].Host, "sub/run"), 0o755))
		}},
		{"empty directory", func(in inputs) {
			Must(in.T, os.Mkdir(filepath.Join(in.Dirs[0].Host, "empty"), 0o755))
		}},
		{"name of a directory", func(in inputs) { in.Dirs[0].Name = "rpms2" }},
		{"argument", func(in inputs) { in.solve.Args["PACKAGE"] = "zsh" }},
	}
	all(t, c.changed(t, c.request, "package", changes), changes)
}

func (c contract) countsNot(t *testing.T) {
	changes := []change{
		{"another place", func(inputs) {}}, // every request has a directory of its own
		{"time", func(in inputs) {
			Must(in.T, os.Chtimes(in.Files[0].Host, time.Now(), time.Now()))
		}},
		{"mode for others", func(in inputs) {
			Must(in.T, os.Chmod(in.Files[0].Host, 0o600))
			Must(in.T, os.Chmod(filepath.Join(in.Dirs[0].Host, "musl.rpm"), 0o640))
		}},
		{"data in place of a file", func(in inputs) {
			in.Files[0] = plan.File{Name: "bash.spec", Data: []byte("version 1\n"), Mode: 0o644}
		}},
		{"shared", func(in inputs) { in.Shared = true }},
	}
	if different := c.changed(t, c.request, "package", changes); len(different) > 0 {
		t.Errorf("the outputs differ after %q", different)
	}
}

// tree tests what only the context of a tree's own Dockerfile has.
func (c contract) tree(t *testing.T) {
	dir := Tree(t, "-- one --\n1\n-- two --\n2\n")
	changes := []change{
		{"top", func(in inputs) { in.Top = []*plan.Dir{{Name: "x", Host: dir}} }},
		{"derived", func(in inputs) { in.Derived = []*plan.Dir{{Name: "d", Host: dir}} }},
		{"made", func(in inputs) { in.Made = []string{"build/empty"} }},
		{"ignore", func(in inputs) { in.Ignore = []string{"**/*.rpm"} }},
	}
	all(t, c.changed(t, c.treeRequest, plan.TreeContext, changes), changes)
	changes = []change{{"ignored file", func(in inputs) {
		in.Ignore = []string{"rpms/more"}
		Write(in.T, in.Dirs[0].Host, "-- more/x --\n")
	}}}
	ignoring := func(t *testing.T) plan.Solve {
		s := c.treeRequest(t)
		Must(t, os.Mkdir(filepath.Join(s.Contexts[plan.TreeContext].Dirs[0].Host, "more"), 0o755))
		return s
	}
	if different := c.changed(t, ignoring, plan.TreeContext, changes); len(different) > 0 {
		t.Errorf("the outputs differ after %q", different)
	}
}

func (c contract) badInputs(t *testing.T) {
	for _, bad := range []change{
		{"missing directory", func(in inputs) { in.Dirs[0].Host += "-gone" }},
		{"missing file", func(in inputs) { in.Files[0].Host += "-gone" }},
		{"link in a directory", func(in inputs) {
			Must(in.T, os.Symlink("/etc/passwd", filepath.Join(in.Dirs[0].Host, "evil")))
		}},
		{"name outside", func(in inputs) { in.Files[2].Name = "../notes" }},
		{"same name twice", func(in inputs) { in.Files[2].Name = "bash.spec" }},
		{"missing secret", func(in inputs) {
			in.solve.Secrets = map[string]confined.Path{"a.key": {Name: "/missing/file"}}
		}},
	} {
		s := c.request(t)
		bad.apply(t, &s, "package")
		if _, _, err := c.build(t.Context(), t, s); err == nil || transient(err) {
			t.Errorf("%s: error %v, transient: %v", bad.name, err, transient(err))
		}
	}
}
