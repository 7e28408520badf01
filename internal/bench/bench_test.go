// Tests that the comparison compares what it claims to. They do not run the tools themselves.

package bench

import (
	"context"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/cli"
	"buildsys/internal/engine"
)

func TestLayeredHasTheShapeThatIsClaimed(t *testing.T) {
	pkgs := layered()
	links := 0
	for i, p := range pkgs {
		links += len(p.needs)
		for _, n := range p.needs {
			if n >= p.name {
				t.Errorf("package %d, %s, needs %s, which does not come before it", i, p.name, n)
			}
		}
	}
	if len(pkgs) != 60 || links != 84 {
		t.Errorf("%d packages and %d edges, want 60 and 84", len(pkgs), links)
	}
	if got := criticalPath(pkgs); math.Abs(got-11*0.2) > 1e-9 {
		t.Errorf("critical path %v s, want 11 packages of 0.2 s", got)
	}
	if got := criticalPath(skewed()); math.Abs(got-12*0.5) > 1e-9 {
		t.Errorf("critical path of the skewed tree %v s, want 12 packages of 0.5 s", got)
	}
	if n := len(affected(pkgs, pick(pkgs, false, 26))); n < 20 || n > 30 {
		t.Errorf("a change of the root affects %d packages, want about 26", n)
	}
}

// TestOracle runs the job of every package with sh and compares its output with the oracle's.
func TestOracle(t *testing.T) {
	pkgs := []pkg{{name: "p00"}, {name: "p01", needs: []string{"p00"}},
		{name: "p02", needs: []string{"p00", "p01"}}, {name: "p03"}}
	tr, err := newTree(t.TempDir(), pkgs)
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return "out/" + name + "/" + rpmName(name) }
	build := func() {
		t.Helper()
		for _, p := range pkgs {
			cmd := exec.Command("sh", "tools/package/build-rpm", p.name, "packages/"+p.name, "out",
				"out/"+p.name)
			cmd.Dir = tr.dir
			out, err := cmd.CombinedOutput()
			if fails := strings.HasSuffix(tr.body(p), "fail\n"); (err != nil) != fails &&
				len(tr.expected()) == len(pkgs) {
				t.Fatalf("job of %s: %v\n%s", p.name, err, out)
			}
			if m := jobLine.FindSubmatch(out); m == nil || string(m[1]) != p.name {
				t.Errorf("job of %s is not counted: it prints %q", p.name, out)
			}
		}
	}
	expect := func(what string, wantGood, wantOf int, wantWrong string) {
		t.Helper()
		if good, of, wrong := tr.check(at); good != wantGood || of != wantOf || wrong != wantWrong {
			t.Errorf("%s: %d of %d, first wrong %q; want %d of %d, %q", what, good, of, wrong, wantGood,
				wantOf, wantWrong)
		}
	}
	change := func(name string, f func(*spec)) {
		t.Helper()
		if err := tr.edit(name, f); err != nil {
			t.Fatal(err)
		}
	}
	expect("before", 0, 4, "p00")
	build()
	expect("built", 4, 4, "")
	change("p00", func(s *spec) { s.comment++ })
	expect("a comment changed", 4, 4, "")
	change("p01", func(s *spec) { s.salt = "new" })
	expect("p01 changed", 2, 4, "p01")
	build()
	expect("built again", 4, 4, "")
	change("p01", func(s *spec) { s.fail = true })
	if err := os.RemoveAll(filepath.Join(tr.dir, "out")); err != nil {
		t.Fatal(err)
	}
	build()
	expect("p01 fails", 2, 2, "")
}

// TestTreesAreAccepted checks that buildsys finds no fault in the trees here, nor in the outputs.
func TestTreesAreAccepted(t *testing.T) {
	var log strings.Builder
	if err := MakeSized(t.TempDir(), 10, &log); err != nil {
		t.Errorf("%v\n%s", err, &log)
	}
	pkgs := []pkg{{name: "p00"}, {name: "p01", needs: []string{"p00"}}}
	tr, err := newTree(t.TempDir(), pkgs)
	if err != nil {
		t.Fatal(err)
	}
	if err := write(tr.dir, buildsysPeer(machine{}, peerEngine{}).files(pkgs)); err != nil {
		t.Fatal(err)
	}
	env := sizedEnv(tr.dir)
	delete(env, "BUILDSYS_VARIANT")
	status := cli.Main(cli.System{
		Args: []string{"build-package", "p01"}, Dir: tr.dir,
		Getenv: func(key string) string { return env[key] },
		Stdin:  strings.NewReader(""), Stdout: &log, Stderr: &log,
		Dial: func(context.Context, engine.Options) (engine.Engine, error) { return instant{}, nil },
	})
	if status != cli.ExitOK {
		t.Errorf("exit status %d\n%s", status, &log)
	}
}

func TestMedian(t *testing.T) {
	for want, walls := range map[float64][]float64{1: {1}, 2: {9, 1, 2}, 1.5: {1, 2}} {
		var samples []sample
		for _, w := range walls {
			samples = append(samples, sample{wall: w})
		}
		if got := median(samples, wallOf); got != want {
			t.Errorf("median of %v: %v, want %v", walls, got, want)
		}
	}
	if got := median(nil, wallOf); !math.IsNaN(got) {
		t.Errorf("median of nothing: %v", got)
	}
}
