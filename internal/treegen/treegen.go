// Package treegen generates trees of any size, for tests and benchmarks of what grows with it.
package treegen

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// Shape is the shape of a generated tree of n packages: it returns the packages that package i
// needs to be built, all with lower numbers.
type Shape func(i, n int, r *rand.Rand) []int

// Shallow has the shape of real trees: 1.4 needs for each package, and a critical path that grows
// with the logarithm of the size (11 at 60 packages).
func Shallow(i, n int, r *rand.Rand) []int {
	levels := 2
	for size := n; size > 2; size /= 2 {
		levels += 2
	}
	level := i * levels / n
	if level == 0 {
		return nil
	}
	first, end := (level-1)*n/levels, level*n/levels // of the level below
	deps := []int{first + r.IntN(max(1, end-first))}
	if other := r.IntN(end); r.IntN(5) < 2 && other != deps[0] {
		deps = append(deps, other)
	}
	return deps
}

// Deep has layers of 40 packages, each of which needs five of the layer below. A few layers down a
// package needs all, so the average closure is nearly half of the tree, the most that any tree can
// have.
func Deep(i, _ int, r *rand.Rand) []int {
	const layer, needs = 40, 5
	first := (i/layer - 1) * layer
	if first < 0 {
		return nil
	}
	var deps []int
	for _, d := range r.Perm(layer)[:needs] {
		deps = append(deps, first+d)
	}
	return deps
}

// Chain has packages each of which needs the one before.
func Chain(i, _ int, _ *rand.Rand) []int { return []int{i - 1}[:min(i, 1)] }

// Needs returns what each package of a tree needs. It always returns the same.
func (s Shape) Needs(n int) [][]int {
	r := rand.New(rand.NewPCG(60, 84))
	needs := make([][]int, n)
	for i := range needs {
		needs[i] = s(i, n, r)
	}
	return needs
}

// Variant is the variant of a generated tree, with all packages.
const Variant = "bench-all"

// Name returns the name of package i.
func Name(i int) string { return fmt.Sprintf("p%05d", i) }

// Write writes a tree of n packages into a directory, each with an external file if sources is set.
func (s Shape) Write(dir string, n int, sources bool) error {
	var all strings.Builder
	fmt.Fprintf(&all, "[package]\nname = %q\n[package.metadata.build-variant]\n", Variant)
	fmt.Fprintf(&all, "included-packages = [%q]\n[build-dependencies]\n", Name(0))
	files := map[string]string{
		"Release.toml": "version = \"1.0.0\"\n", "Dockerfile": "# buildsys-recipe: 2\n",
	}
	for i, needs := range s.Needs(n) {
		name := Name(i)
		var b strings.Builder
		fmt.Fprintf(&b, "[package]\nname = %q\nversion = \"0.1.0\"\n", name)
		b.WriteString("edition = \"2021\"\npublish = false\n\n[lib]\npath = \"../packages.rs\"\n\n")
		if sources {
			fmt.Fprintf(&b, "[[package.metadata.build-package.external-files]]\n"+
				"url = \"https://example.com/%s.tar.gz\"\nsha512 = \"%0128x\"\n\n", name, i)
		}
		b.WriteString("[build-dependencies]\n")
		for _, dep := range needs {
			fmt.Fprintf(&b, "%s = { path = \"../%[1]s\" }\n", Name(dep))
		}
		files["packages/"+name+"/Cargo.toml"] = b.String()
		files["packages/"+name+"/"+name+".spec"] = "Name: %{_cross_os}" + name + "\n%files\n"
		fmt.Fprintf(&all, "%s = { path = \"../../packages/%[1]s\" }\n", name)
	}
	files["variants/"+Variant+"/Cargo.toml"] = all.String()
	for name, text := range files {
		at := filepath.Join(dir, filepath.FromSlash(name))
		err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o644))
		if err != nil {
			return err
		}
	}
	return nil
}
