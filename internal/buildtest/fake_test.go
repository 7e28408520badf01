// The Fake must react to what a build sees, and to nothing else, because other tests rely on it.

package buildtest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

func solve(t *testing.T) plan.Solve {
	dir := Tree(t, "-- musl/musl.rpm --\nlibc\n-- spec --\nName: bash\n")
	return plan.Solve{
		Name: "bash x86_64", Dockerfile: []byte("FROM scratch"), Target: "package",
		Args: map[string]string{"ARCH": "x86_64"},
		Contexts: map[string]plan.Context{
			"package": {Files: []plan.File{{Name: "bash.spec", Host: filepath.Join(dir, "spec"),
				Mode: 0o644}, {Name: "notes", Data: []byte("x")}}},
			"rpms": {Dirs: []*plan.Dir{{Name: "musl", Host: filepath.Join(dir, "musl")}}},
		},
	}
}

func TestHash(t *testing.T) {
	sum := func(s plan.Solve) string {
		t.Helper()
		h, err := Hash(s)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	want := sum(solve(t))
	if got := sum(solve(t)); got != want {
		t.Error("the same tree in another place has another hash")
	}
	for name, change := range map[string]func(s *plan.Solve){
		"dockerfile": func(s *plan.Solve) { s.Dockerfile = nil },
		"target":     func(s *plan.Solve) { s.Target = "variant" },
		"argument":   func(s *plan.Solve) { s.Args["ARCH"] = "aarch64" },
		"data":       func(s *plan.Solve) { s.Contexts["package"].Files[1].Data = []byte("y") },
		"mode":       func(s *plan.Solve) { s.Contexts["package"].Files[1].Mode = 0o755 },
		"name":       func(s *plan.Solve) { s.Contexts["package"].Files[1].Name = "note" },
		"host file": func(s *plan.Solve) {
			Write(t, filepath.Dir(s.Contexts["package"].Files[0].Host), "-- spec --\nName: zsh\n")
		},
		"directory": func(s *plan.Solve) {
			Write(t, s.Contexts["rpms"].Dirs[0].Host,
				"-- musl.rpm --\nother\n")
		},
		"new file": func(s *plan.Solve) {
			Write(t, s.Contexts["rpms"].Dirs[0].Host,
				"-- more.rpm --\n")
		},
	} {
		s := solve(t)
		change(&s)
		if sum(s) == want {
			t.Errorf("%s: the hash does not change", name)
		}
	}
	s := solve(t)
	s.Contexts["rpms"].Dirs[0].Host += "-gone"
	if _, err := Hash(s); err == nil {
		t.Error("a missing directory is not reported")
	}
}

func TestFake(t *testing.T) {
	var f Fake
	var rec Recorder
	out := t.TempDir()
	s := solve(t)
	if err := f.Build(t.Context(), s, out, rec.Event); err != nil {
		t.Fatal(err)
	}
	sum, _ := Hash(s)
	if got := Snapshot(t, out); len(got) != 1 || got["bash.rpm"] != RPMMagic+sum+"\n" {
		t.Errorf("outputs %q", got)
	}
	fail := plan.Context{Dirs: []*plan.Dir{{Name: ".", Host: Tree(t, "-- FAIL --\nboom\nbang\n")}}}
	s.Contexts["package"] = fail
	if err := f.Build(t.Context(), s, t.TempDir(), rec.Event); !errors.Is(err, ErrFail) {
		t.Errorf("with a FAIL file: %v", err)
	}
	if got := rec.Events(progress.StepLog); len(got) != 4 || got[3].Text != "bang" {
		t.Errorf("log %v", got)
	}
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	if err := f.Build(ctx, solve(t), t.TempDir(), rec.Event); !errors.Is(err, stop) {
		t.Errorf("cancelled: %v", err)
	}
	if f.MaxRunning() != 1 || f.Running() != 0 || len(f.Calls()) != 3 {
		t.Errorf("counted %d at once, %d left, %v", f.MaxRunning(), f.Running(), f.Calls())
	}
}

// TestFakeContract holds the Fake to what engines do.
func TestFakeContract(t *testing.T) { Contract(t, new(Fake), "") }

func TestSnapshot(t *testing.T) {
	dir := Tree(t, "-- a/b --\ntext\n")
	if err := os.Symlink("a/b", filepath.Join(dir, "l")); err != nil {
		t.Fatal(err)
	}
	got := Snapshot(t, dir)
	if len(got) != 3 || got["a"] != "dir" || got["a/b"] != "text\n" || got["l"] != "-> a/b" {
		t.Errorf("snapshot %v", got)
	}
	if got := Snapshot(t, filepath.Join(dir, "none")); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}
