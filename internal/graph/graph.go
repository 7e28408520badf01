// Package graph is the dependency graph of packages: a pure DAG with Cargo's two kinds of edges.
//
// A build edge says "needed before this node is built" ([build-dependencies]); a runtime edge says "needed before an
// image with this node is made" ([dependencies]). Cargo's rule, which the ancestor inherited and existing trees rely
// on: a node waits for its build edges and for everything those reach by either kind, not for its own runtime edges.
package graph

import (
	"fmt"
	"slices"
	"strings"
)

// Graph is a set of named nodes and their edges. The zero value is not usable; call New.
type Graph struct {
	nodes map[string]*node
}

type node struct {
	build, runtime []string
}

// New returns an empty graph.
func New() *Graph { return &Graph{nodes: map[string]*node{}} }

// AddNode makes name known. Adding it twice is harmless.
func (g *Graph) AddNode(name string) { g.node(name) }

// AddBuild records that from needs to before it can be built.
func (g *Graph) AddBuild(from, to string) {
	n := g.node(from)
	n.build = append(n.build, to)
	g.node(to)
}

// AddRuntime records that an image which holds from needs to as well.
func (g *Graph) AddRuntime(from, to string) {
	n := g.node(from)
	n.runtime = append(n.runtime, to)
	g.node(to)
}

func (g *Graph) node(name string) *node {
	n := g.nodes[name]
	if n == nil {
		n = &node{}
		g.nodes[name] = n
	}
	return n
}

// Has says whether name is a node.
func (g *Graph) Has(name string) bool { return g.nodes[name] != nil }

// Nodes returns all names, sorted.
func (g *Graph) Nodes() []string {
	names := make([]string, 0, len(g.nodes))
	for name := range g.nodes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Closure returns the roots and everything they reach by either kind of edge, sorted.
func (g *Graph) Closure(roots ...string) []string {
	seen := map[string]bool{}
	todo := slices.Clone(roots)
	for len(todo) > 0 {
		name := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[name] {
			continue
		}
		seen[name] = true
		if n := g.nodes[name]; n != nil {
			todo = append(todo, n.build...)
			todo = append(todo, n.runtime...)
		}
	}
	names := make([]string, 0, len(seen))
	for name := range seen {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// BuildClosure returns what must be finished before name is built, which is also what its build may see:
// its build edges and everything those reach by either kind, sorted.
func (g *Graph) BuildClosure(name string) []string {
	n := g.nodes[name]
	if n == nil {
		return nil
	}
	return g.Closure(n.build...)
}

// Order returns the given nodes so that each comes after its BuildClosure, as far as that is among them. It walks depth
// first in sorted order, so equal graphs give equal orders and short chains end early. The graph must have no cycle.
func (g *Graph) Order(names []string) []string {
	wanted := map[string]bool{}
	for _, name := range names {
		wanted[name] = true
	}
	var order []string
	done := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		if done[name] {
			return
		}
		done[name] = true
		for _, dep := range g.BuildClosure(name) {
			visit(dep)
		}
		if wanted[name] {
			order = append(order, name)
		}
	}
	for _, name := range slices.Sorted(slices.Values(names)) {
		visit(name)
	}
	return order
}

// CycleError is a set of nodes that need each other.
type CycleError struct {
	Path []string // first and last are the same node
}

func (e *CycleError) Error() string {
	return fmt.Sprintf("dependency cycle: %s", strings.Join(e.Path, " → "))
}

// Check returns a *CycleError when any nodes need each other by edges of either kind, else nil.
// Cargo refuses cycles over both kinds too, so no existing tree has one.
func (g *Graph) Check() error {
	const (
		unseen = iota
		onPath
		finished
	)
	state := map[string]int{}
	var path []string
	var visit func(name string) error
	visit = func(name string) error {
		switch state[name] {
		case finished:
			return nil
		case onPath:
			start := slices.Index(path, name)
			return &CycleError{Path: append(slices.Clone(path[start:]), name)}
		}
		state[name] = onPath
		path = append(path, name)
		n := g.nodes[name]
		for _, dep := range slices.Concat(n.build, n.runtime) {
			if err := visit(dep); err != nil {
				return err
			}
		}
		path = path[:len(path)-1]
		state[name] = finished
		return nil
	}
	for _, name := range g.Nodes() {
		if err := visit(name); err != nil {
			return err
		}
	}
	return nil
}
