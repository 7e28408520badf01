// Package bench times buildsys beside its peers on generated trees of packages, and writes the
// figures as Markdown. It runs every tool as a user would, as a process, and checks the outputs
// byte by byte before a figure counts. script/bench runs it; package cibench measures whole CI
// builds.
package bench

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// pkg is one package of a generated tree.
type pkg struct {
	name    string
	needs   []string // names of packages that precede it
	seconds float64  // how long its job sleeps
}

// layered returns the tree of all figures but the skewed ones: 60 packages, 84 build edges, and a
// longest path of 11 packages, the proportions of real trees. Each job sleeps for 0.2 s.
func layered() []pkg {
	const base, width, levels, edges = 10, 5, 11, 84
	r := rand.New(rand.NewPCG(60, 84))
	pkgs := make([]pkg, base+width*(levels-1))
	links := 0
	link := func(i, dep int) {
		if name := pkgs[dep].name; !slices.Contains(pkgs[i].needs, name) {
			pkgs[i].needs = append(pkgs[i].needs, name)
			links++
		}
	}
	// the first package of the level below that of package i, which is above the lowest level
	levelStart := func(i int) int { return max(0, (i-base)/width*width+base) }
	for i := range pkgs {
		pkgs[i] = pkg{name: fmt.Sprintf("p%02d", i), seconds: 0.2}
		if i < base {
			continue
		}
		first, below := levelStart(i), width
		if first == base {
			below = base
		}
		link(i, first-1-r.IntN(below)) // to a package of the level below, so that every level counts
	}
	for links < edges {
		i := base + r.IntN(len(pkgs)-base)
		link(i, r.IntN(levelStart(i)))
	}
	return pkgs
}

// skewed returns a chain of 12 packages of 0.5 s beside 48 packages of 0.1 s without dependencies.
// A tool that starts the chain late ends late. The chain's names come last, so that alphabetical
// order does not help.
func skewed() []pkg {
	var pkgs []pkg
	for i := range 48 {
		pkgs = append(pkgs, pkg{name: fmt.Sprintf("p%02d", i), seconds: 0.1})
	}
	for i := range 12 {
		p := pkg{name: fmt.Sprintf("z%02d", i), seconds: 0.5}
		if i > 0 {
			p.needs = []string{fmt.Sprintf("z%02d", i-1)}
		}
		pkgs = append(pkgs, p)
	}
	return pkgs
}

// affected returns the names of the package and of all that need it, directly or not.
func affected(pkgs []pkg, name string) []string {
	found := []string{name}
	for _, p := range pkgs { // an order in which dependencies come first
		if slices.ContainsFunc(p.needs, func(n string) bool { return slices.Contains(found, n) }) {
			found = append(found, p.name)
		}
	}
	return found
}

// pick returns the package whose change affects the number of packages closest to want: one with
// dependencies if needs is set, else one without.
func pick(pkgs []pkg, needs bool, want int) string {
	best, distance := "", len(pkgs)+1
	for _, p := range pkgs {
		if (len(p.needs) > 0) != needs {
			continue
		}
		n := len(affected(pkgs, p.name)) - want
		if n = max(n, -n); n < distance {
			best, distance = p.name, n
		}
	}
	return best
}

// criticalPath returns the longest time that any chain of dependencies takes, in seconds.
func criticalPath(pkgs []pkg) float64 {
	ends, longest := map[string]float64{}, 0.0
	for _, p := range pkgs {
		start := 0.0
		for _, n := range p.needs {
			start = max(start, ends[n])
		}
		ends[p.name] = start + p.seconds
		longest = max(longest, ends[p.name])
	}
	return longest
}
