// Benchmarks of a solve in which the engine has nothing to do: the price of asking it at all.

package buildkit

import (
	"os"
	"testing"

	"buildsys/internal/buildtest/need"
	"buildsys/internal/engine"
	"buildsys/internal/plan"
)

// BenchmarkCachedSolve needs the SDK image: BUILDSYS_TEST_SDK_IMAGE or buildsys.invalid/sdk:dev.
func BenchmarkCachedSolve(b *testing.B) {
	builder := dialEngine(b, engine.Options{})
	sdk := os.Getenv("BUILDSYS_TEST_SDK_IMAGE")
	if sdk == "" {
		sdk = "buildsys.invalid/sdk:dev"
	}
	if _, ok, err := builder.HasImage(b.Context(), sdk); err != nil || !ok {
		need.Missing(b, "no SDK image %s: %v", sdk, err)
	}
	s := plan.Solve{
		Name: "bench", Target: "package", Args: map[string]string{"SDK": sdk},
		Dockerfile: []byte("ARG SDK\nFROM ${SDK} AS build\n" +
			"RUN --mount=from=buildsys.invalid/package,target=/host/package mkdir -p /output && echo x > " +
			"/output/a.rpm\n" +
			"FROM scratch AS package\nCOPY --from=build /output/ /\n"),
		Contexts: map[string]plan.Context{"package": {Files: []plan.File{{Name: "a.spec",
			Data: []byte("spec")}}}},
	}
	solve := func(b *testing.B, builder *Builder) {
		if err := builder.Build(b.Context(), s, b.TempDir(), nil); err != nil {
			b.Fatal(err)
		}
	}
	solve(b, builder)
	b.Run("shared", func(b *testing.B) {
		for b.Loop() {
			solve(b, builder)
		}
	})
	b.Run("dial each", func(b *testing.B) {
		for b.Loop() {
			own, err := Dial(b.Context(), engine.Options{Checkout: b.Name()})
			if err != nil {
				b.Fatal(err)
			}
			solve(b, own)
			own.Close()
		}
	})
	b.Run("shared, 8 at once", func(b *testing.B) {
		b.SetParallelism(4) // times GOMAXPROCS
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				solve(b, builder)
			}
		})
	})
}
