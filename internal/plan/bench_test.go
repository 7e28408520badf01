// bench_test: how the time and memory of planning grow with the size of a tree, from the manifests
// on disk to the steps.

package plan

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"

	"buildsys/internal/treegen"
	"buildsys/internal/workspace"
)

// BenchmarkPlan plans a whole image. "cpu-ns/package" must stay level as the size doubles, so
// "cpu-x/doubling", the ratio to the size before, must be about 2. It is CPU time, which other work
// on the machine disturbs less than wall-clock time. "heap-MB" is what a plan and its workspace
// keep alive.
func BenchmarkPlan(b *testing.B) {
	before := 0.0
	for n := 10; n <= 10_240; n *= 2 {
		b.Run(fmt.Sprintf("layered=%d", n), func(b *testing.B) {
			each := benchmarkPlan(b, treegen.Shallow, n)
			if before > 0 {
				b.ReportMetric(each/before, "cpu-x/doubling")
			}
			before = each
		})
	}
	b.Run("chain=2500", func(b *testing.B) {
		benchmarkPlan(b, treegen.Chain, 2500)
	})
}

// BenchmarkForeign loads and plans images of trees written for Bottlerocket: a small one, and
// Bottlerocket 1.9.2 if BUILDSYS_BENCH_BOTTLEROCKET_TREE names a checkout.
func BenchmarkForeign(b *testing.B) {
	archive, err := txtar.ParseFile("../../testdata/foreign/in-tree.txtar")
	if err != nil {
		b.Fatal(err)
	}
	small := b.TempDir()
	for _, f := range archive.Files {
		at := filepath.Join(small, f.Name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755),
			os.WriteFile(at, f.Data, 0o644)); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("small", func(b *testing.B) { benchmarkForeign(b, small, "lab-k8s-1.2") })
	if root := os.Getenv("BUILDSYS_BENCH_BOTTLEROCKET_TREE"); root != "" {
		b.Run("bottlerocket", func(b *testing.B) { benchmarkForeign(b, root, "aws-k8s-1.21") })
	}
}

func benchmarkForeign(b *testing.B, root, variant string) {
	r := request()
	r.Image, r.Variant, r.BuildDir = true, variant, filepath.Join(root, "build")
	fallback := fstest.MapFS{"Dockerfile": {Data: []byte("# buildsys-recipe: 2\n")}}
	start := cpuTime(b)
	for b.Loop() {
		ws, err := workspace.Load(root)
		if err != nil {
			b.Fatal(err)
		}
		recipe, err := ws.Recipe(fallback)
		if err != nil {
			b.Fatal(err)
		}
		p, err := Make(ws, recipe, r)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(p.Steps)), "steps")
	}
	b.ReportMetric(float64(cpuTime(b)-start)/float64(b.N)/1e6, "cpu-ms/op")
}

// benchmarkPlan returns the CPU time of one plan in nanoseconds.
func benchmarkPlan(b *testing.B, shape treegen.Shape, n int) float64 {
	root := b.TempDir()
	if err := shape.Write(root, n, true); err != nil {
		b.Fatal(err)
	}
	request := Request{
		Arch: "x86_64", Image: true, Variant: treegen.Variant, SDK: "buildsys.invalid/sdk:1",
		Identity: Identity{Name: "tiny", Version: "1.0.0", BuildID: "abc"},
		BuildDir: filepath.Join(root, "build"), Sources: request().Sources,
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var ws *workspace.Workspace
	var p Plan
	b.ReportAllocs()
	start := cpuTime(b)
	for b.Loop() {
		var err error
		if ws, err = workspace.Load(root); err != nil {
			b.Fatal(err)
		}
		recipe, err := ws.Recipe(nil)
		if err != nil {
			b.Fatal(err)
		}
		if p, err = Make(ws, recipe, request); err != nil {
			b.Fatal(err)
		}
	}
	each := float64(cpuTime(b)-start) / float64(b.N)
	b.ReportMetric(each/float64(n), "cpu-ns/package")
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "heap-MB")
	runtime.KeepAlive(ws)
	runtime.KeepAlive(p)
	return each
}

// cpuTime returns the CPU time that this process has used so far, in user and system mode.
func cpuTime(b *testing.B) int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}
