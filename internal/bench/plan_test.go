// How the time and memory of "buildsys plan" grow with a tree, for two shapes.

package bench

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"testing"

	"buildsys/internal/treegen"
)

// BenchmarkPlan runs "buildsys plan", as a separate process, on trees of which nothing is built
// yet: it loads the tree, plans the image with all packages, computes the key of every step and
// prints its findings. "fastest-s" is the wall time of the fastest run, "cpu-s" the processor time,
// "peak-MiB" the largest memory of the process, "closure" how many others a package needs on
// average. "x/doubling" is the ratio of processor times to the size before: other work on the
// machine disturbs it less than wall time.
func BenchmarkPlan(b *testing.B) {
	program := filepath.Join(b.TempDir(), "buildsys")
	build := exec.Command("go", "build", "-o", program, "buildsys/cmd/buildsys")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	for _, shape := range []struct {
		name string
		make treegen.Shape
	}{{"shallow", treegen.Shallow}, {"deep", treegen.Deep}} {
		before := 0.0
		for n := 1280; n <= 20_480; n *= 2 {
			b.Run(fmt.Sprintf("%s=%d", shape.name, n), func(b *testing.B) {
				each := benchmarkProgram(b, program, shape.make, n)
				if before > 0 {
					b.ReportMetric(each/before, "x/doubling")
				}
				before = each
			})
		}
	}
}

// benchmarkProgram returns the processor time of one run in seconds.
func benchmarkProgram(b *testing.B, program string, shape treegen.Shape, n int) float64 {
	dir := b.TempDir()
	if err := shape.Write(dir, n, false); err != nil {
		b.Fatal(err)
	}
	cmd := command{dir: dir, args: []string{program, "plan"}}
	cmd.env = []string{"DOCKER_HOST=tcp://127.0.0.1:1"}
	for key, value := range sizedEnv(dir) {
		cmd.env = append(cmd.env, key+"="+value)
	}
	var runs []sample
	for b.Loop() {
		forgetPeak()
		s, err := cmd.run(b.Context(), false)
		if err != nil {
			b.Fatal(err)
		}
		runs = append(runs, s)
	}
	fastest := slices.MinFunc(runs, func(a, b sample) int { return cmp.Compare(a.wall, b.wall) })
	b.ReportMetric(fastest.wall, "fastest-s")
	cpu := median(runs, cpuOf)
	b.ReportMetric(cpu, "cpu-s")
	b.ReportMetric(median(runs, func(s sample) float64 { return s.rss }), "peak-MiB")
	b.ReportMetric(averageClosure(shape, n), "closure")
	return cpu
}

// forgetPeak resets the peak memory of this process, which Linux counts as memory of the processes
// that it starts.
func forgetPeak() {
	debug.FreeOSMemory()
	// Without this file, small trees seem larger.
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}

// averageClosure returns how many others a package needs on average, directly or not.
func averageClosure(shape treegen.Shape, n int) float64 {
	sum := 0
	needs := shape.Needs(n)
	closures := make([][]bool, n)
	for i := range needs {
		all := make([]bool, i)
		for _, d := range needs[i] {
			all[d] = true
			for e, is := range closures[d] {
				all[e] = all[e] || is
			}
		}
		for _, is := range all {
			if is {
				sum++
			}
		}
		closures[i] = all
	}
	return float64(sum) / float64(n)
}

// TestDeepIsDeep checks that closures in the benchmark have half the tree.
func TestDeepIsDeep(t *testing.T) {
	for _, n := range []int{1280, 2560} {
		if is := averageClosure(treegen.Deep, n) / float64(n); is < 0.42 || is > 0.5 {
			t.Errorf("of %d packages the average closure is %.2f of the tree", n, is)
		}
	}
}
