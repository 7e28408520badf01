// order: the order in which nodes are built, and what each waits for, by positions in that order.

package graph

import "slices"

// Order returns the given nodes such that each comes after the nodes of its BuildClosure that are
// among them. It walks depth first in sorted order, so equal graphs have equal orders and short
// chains end early. The graph must have no cycle. Except for sorting, time is linear in nodes and
// edges.
func (g *Graph) Order(names []string) []string {
	w := walker{g: g, wanted: make([]bool, len(g.nodes)), built: make([]bool, len(g.nodes)),
		reached: make([]bool, len(g.nodes))}
	var roots []int
	for _, name := range names {
		if id, known := g.ids[name]; known {
			roots = append(roots, id)
			w.wanted[id] = true
		}
	}
	g.sortByName(roots)
	for _, id := range roots {
		w.build(id)
	}
	return g.names(w.order)
}

// Levels groups the given nodes by the length of the longest chain of given nodes that must be
// built before them: the first level waits for none, each other level for some of the one before.
// Names within a level are sorted. The graph must have no cycle.
func (g *Graph) Levels(names []string) [][]string {
	order := g.Order(names)
	depth := make([]int, len(order))
	var out [][]string
	all := g.Needs(order)
	for i, needs := range all {
		for _, n := range needs.Direct(func(n int) Set { return all[n] }) {
			depth[i] = max(depth[i], depth[n]+1)
		}
		if depth[i] == len(out) {
			out = append(out, nil)
		}
		out[depth[i]] = append(out[depth[i]], order[i])
	}
	for _, level := range out {
		slices.Sort(level)
	}
	return out
}

// walker is one depth-first walk. A node is built when all that it waits for and then itself is in
// the order. It is reached when what it needs at run time is there as well; nodes with a build edge
// to it wait for that.
type walker struct {
	g              *Graph
	wanted         []bool
	built, reached []bool
	order          []int
}

func (w *walker) build(id int) {
	if w.built[id] {
		return
	}
	w.built[id] = true
	for _, to := range w.sorted(w.g.nodes[id].build) {
		w.reach(to)
	}
	if w.wanted[id] {
		w.order = append(w.order, id)
	}
}

func (w *walker) reach(id int) {
	if w.reached[id] {
		return
	}
	w.reached[id] = true
	w.build(id)
	for _, to := range w.sorted(w.g.nodes[id].runtime) {
		w.reach(to)
	}
}

func (w *walker) sorted(ids []int) []int {
	ids = slices.Clone(ids)
	w.g.sortByName(ids)
	return ids
}

// Needs returns, for each node of an order, the positions in the order of the node's BuildClosure,
// ignoring nodes that are not in the order. The graph must have no cycle.
func (g *Graph) Needs(order []string) []Set {
	c := collector{g: g, position: make([]int, len(g.nodes)),
		needs: make([]*Set, len(g.nodes)), reach: make([]*Set, len(g.nodes))}
	for id := range c.position {
		c.position[id] = -1
	}
	for i, name := range order {
		if id, known := g.ids[name]; known {
			c.position[id] = i
		}
	}
	out := make([]Set, len(order))
	for i, name := range order {
		if id, known := g.ids[name]; known {
			out[i] = c.needed(id)
		}
	}
	return out
}

// collector computes the closures of all nodes bottom-up, each once.
type collector struct {
	g        *Graph
	position []int  // of each node in the order, or -1
	needs    []*Set // BuildClosure of each node, nil while unknown
	reach    []*Set // Closure of each node, nil while unknown
}

func (c *collector) needed(id int) Set {
	if c.needs[id] == nil {
		all := Set{}.Union(c.reaches(c.g.nodes[id].build)...)
		c.needs[id] = &all
	}
	return *c.needs[id]
}

func (c *collector) reached(id int) Set {
	if c.reach[id] == nil {
		sets := append(c.reaches(c.g.nodes[id].runtime), c.needed(id))
		if p := c.position[id]; p >= 0 {
			sets = append(sets, SetOf(p))
		}
		all := Set{}.Union(sets...)
		c.reach[id] = &all
	}
	return *c.reach[id]
}

func (c *collector) reaches(ids []int) []Set {
	sets := make([]Set, 0, len(ids)+2)
	for _, id := range ids {
		sets = append(sets, c.reached(id))
	}
	return sets
}
