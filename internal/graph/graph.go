// Package graph is the dependency graph of packages: a pure DAG with Cargo's two kinds of edges. A
// build edge ([build-dependencies]) means "needed before this node is built", a runtime edge
// ([dependencies]) "needed before an image with this node is made". By Cargo's rule, which
// Bottlerocket's trees rely on, a node waits for its build edges and for all that those reach by
// either kind, not for its own runtime edges. A finished graph may be read concurrently.
package graph

import (
	"fmt"
	"slices"
	"strings"
)

// Graph is a set of named nodes and their edges. The zero value is not usable; call New. Nodes are
// numbered in the order in which they were added, so that large graphs use slices, not maps.
type Graph struct {
	ids   map[string]int
	nodes []node
}

type node struct {
	name           string
	build, runtime []int
}

// New returns an empty graph.
func New() *Graph { return &Graph{ids: map[string]int{}} }

// AddNode adds a node if it does not exist.
func (g *Graph) AddNode(name string) { g.id(name) }

// AddBuild records that from needs to before it is built.
func (g *Graph) AddBuild(from, to string) {
	a, b := g.id(from), g.id(to)
	g.nodes[a].build = append(g.nodes[a].build, b)
}

// AddRuntime records that an image with from needs to as well.
func (g *Graph) AddRuntime(from, to string) {
	a, b := g.id(from), g.id(to)
	g.nodes[a].runtime = append(g.nodes[a].runtime, b)
}

// id returns the number of a node, adding it if necessary.
func (g *Graph) id(name string) int {
	id, known := g.ids[name]
	if !known {
		id = len(g.nodes)
		g.ids[name] = id
		g.nodes = append(g.nodes, node{name: name})
	}
	return id
}

// Has reports whether name is a node.
func (g *Graph) Has(name string) bool {
	_, known := g.ids[name]
	return known
}

// Nodes returns all names, sorted.
func (g *Graph) Nodes() []string {
	names := make([]string, 0, len(g.nodes))
	for _, n := range g.nodes {
		names = append(names, n.name)
	}
	slices.Sort(names)
	return names
}

// Build returns the nodes that name has build edges to, sorted, without duplicates.
func (g *Graph) Build(name string) []string {
	return g.edges(name, func(n node) []int { return n.build })
}

// Runtime returns the nodes that name has runtime edges to, sorted, without duplicates.
func (g *Graph) Runtime(name string) []string {
	return g.edges(name, func(n node) []int { return n.runtime })
}

func (g *Graph) edges(name string, of func(node) []int) []string {
	id, known := g.ids[name]
	if !known {
		return nil
	}
	ids := slices.Clone(of(g.nodes[id]))
	g.sortByName(ids)
	return g.names(slices.Compact(ids))
}

// Reversed returns the graph with every edge reversed, keeping its kind.
func (g *Graph) Reversed() *Graph {
	r := New()
	for _, n := range g.nodes {
		r.AddNode(n.name)
	}
	for id, n := range g.nodes { // both graphs number nodes alike
		for _, to := range n.build {
			r.nodes[to].build = append(r.nodes[to].build, id)
		}
		for _, to := range n.runtime {
			r.nodes[to].runtime = append(r.nodes[to].runtime, id)
		}
	}
	return r
}

// Closure returns the roots and all that they reach by either kind of edge, sorted. A root that is
// not a node is returned as it is.
func (g *Graph) Closure(roots ...string) []string {
	var todo []int
	var names []string
	for _, name := range roots {
		if id, known := g.ids[name]; known {
			todo = append(todo, id)
		} else {
			names = append(names, name)
		}
	}
	names = append(names, g.names(g.reach(todo))...)
	slices.Sort(names)
	return slices.Compact(names)
}

// BuildClosure returns what must be finished before the named nodes are built, which is also what
// the build of a single node may see: their build edges and all that those reach by either kind,
// sorted.
func (g *Graph) BuildClosure(names ...string) []string {
	var todo []int
	for _, name := range names {
		if id, known := g.ids[name]; known {
			todo = append(todo, g.nodes[id].build...)
		}
	}
	if len(todo) == 0 {
		return nil
	}
	closure := g.names(g.reach(todo))
	slices.Sort(closure)
	return closure
}

// reach returns the given nodes and all that they reach by either kind of edge, without duplicates.
func (g *Graph) reach(todo []int) []int {
	seen := make([]bool, len(g.nodes))
	var found []int
	for todo = slices.Clone(todo); len(todo) > 0; {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[id] {
			continue
		}
		seen[id] = true
		found = append(found, id)
		todo = append(append(todo, g.nodes[id].build...), g.nodes[id].runtime...)
	}
	return found
}

func (g *Graph) names(ids []int) []string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = g.nodes[id].name
	}
	return names
}

func (g *Graph) sortByName(ids []int) {
	slices.SortFunc(ids, func(a, b int) int {
		return strings.Compare(g.nodes[a].name, g.nodes[b].name)
	})
}

// CycleError is a cycle of nodes that need each other.
type CycleError struct {
	Path []string // first and last are the same node
}

func (e *CycleError) Error() string {
	return fmt.Sprintf("dependency cycle: %s", strings.Join(e.Path, " → "))
}

// Check returns a *CycleError if any nodes need each other by edges of either kind, else nil. Cargo
// refuses such cycles too, so no existing tree has one.
func (g *Graph) Check() error {
	const (
		unseen = iota
		onPath
		finished
	)
	state := make([]byte, len(g.nodes))
	var path []int
	var visit func(id int) error
	visit = func(id int) error {
		switch state[id] {
		case finished:
			return nil
		case onPath:
			return &CycleError{Path: g.names(append(path[slices.Index(path, id):], id))}
		}
		state[id] = onPath
		path = append(path, id)
		for _, edges := range [][]int{g.nodes[id].build, g.nodes[id].runtime} {
			for _, to := range edges {
				if err := visit(to); err != nil {
					return err
				}
			}
		}
		path = path[:len(path)-1]
		state[id] = finished
		return nil
	}
	for _, name := range g.Nodes() {
		if err := visit(g.ids[name]); err != nil {
			return err
		}
	}
	return nil
}
