// order: in which order nodes are built, and what each waits for by its place in that order.

package graph

import "slices"

// Order returns the given nodes so that each comes after its BuildClosure, as far as that is among them. It walks depth
// first in sorted order, so equal graphs give equal orders and short chains end early. The graph must have no cycle.
// Its time is linear in nodes and edges, but for sorting.
func (g *Graph) Order(names []string) []string {
	w := walker{g: g, wanted: make([]bool, len(g.nodes)), built: make([]bool, len(g.nodes)), reached: make([]bool, len(g.nodes))}
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

// Levels groups the given nodes by how many must be built one after the other before them: the first level waits for none
// of the given, each other one for some of the level before it. Names within a level are sorted. The graph must have no cycle.
func (g *Graph) Levels(names []string) [][]string {
	order := g.Order(names)
	depth := make([]int, len(order))
	var out [][]string
	for i, needs := range g.Needs(order) {
		for _, n := range needs {
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

// walker is one depth-first walk. A node is built when all it waits for is in the order and then itself, and reached
// when what it needs at run time is there as well, which is what someone who builds with it waits for.
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

// Needs returns, for each node of an order, the positions in it of the node's BuildClosure, ascending. What is not in the
// order is left out. The graph must have no cycle.
//
// The slices share memory wherever one closure begins with another, so the caller must not change them: closures of a
// chain of n nodes have n²/2 members, but need only about n words.
func (g *Graph) Needs(order []string) [][]int {
	c := collector{g: g, position: make([]int, len(g.nodes)), stamp: make([]int, len(order)),
		needs: make([]*set, len(g.nodes)), reach: make([]*set, len(g.nodes))}
	for id := range c.position {
		c.position[id] = -1
	}
	for i, name := range order {
		if id, known := g.ids[name]; known {
			c.position[id] = i
		}
	}
	out := make([][]int, len(order))
	for i, name := range order {
		if id, known := g.ids[name]; known {
			members := c.needed(id).members
			out[i] = members[:len(members):len(members)]
		}
	}
	return out
}

// set is an ascending list of positions that is never changed. Behind its end there may be room, which the first larger
// set that begins with it takes.
type set struct {
	members []int
	taken   bool // the room behind the end belongs to another set
}

// collector finds the closures of all nodes bottom-up, each once.
type collector struct {
	g        *Graph
	position []int  // of each node in the order; -1 when it is not in it
	needs    []*set // BuildClosure of each node, nil while unknown
	reach    []*set // Closure of each node, nil while unknown
	stamp    []int  // for union: the last round that saw each position
	round    int
}

func (c *collector) needed(id int) *set {
	if c.needs[id] == nil {
		c.needs[id] = c.union(c.reaches(c.g.nodes[id].build))
	}
	return c.needs[id]
}

func (c *collector) reached(id int) *set {
	if c.reach[id] == nil {
		sets := append(c.reaches(c.g.nodes[id].runtime), c.needed(id))
		c.reach[id] = c.union(sets).with(c.position[id])
	}
	return c.reach[id]
}

func (c *collector) reaches(ids []int) []*set {
	sets := make([]*set, 0, len(ids)+1)
	for _, id := range ids {
		sets = append(sets, c.reached(id))
	}
	return sets
}

// union returns the largest of the sets if it holds all others, else a new one.
func (c *collector) union(sets []*set) *set {
	largest := &set{}
	for _, s := range sets {
		if len(s.members) > len(largest.members) {
			largest = s
		}
	}
	c.round++
	marked := false
	var extra []int
	for _, s := range sets {
		if s == largest || len(s.members) == 0 {
			continue
		}
		if !marked {
			c.mark(largest.members)
			marked = true
		}
		for _, p := range s.members {
			if c.stamp[p] != c.round {
				c.stamp[p] = c.round
				extra = append(extra, p)
			}
		}
	}
	if len(extra) == 0 {
		return largest
	}
	slices.Sort(extra)
	return &set{members: merge(largest.members, extra)}
}

func (c *collector) mark(members []int) {
	for _, p := range members {
		c.stamp[p] = c.round
	}
}

// merge returns two ascending lists without common members as one.
func merge(a, b []int) []int {
	out := make([]int, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0] < b[0] {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// with returns the set with one more position, in the room behind its end if that is free and the right place.
func (s *set) with(p int) *set {
	n := len(s.members)
	if p < 0 {
		return s
	}
	if n > 0 && p < s.members[n-1] {
		return &set{members: merge(s.members, []int{p})}
	}
	if s.taken {
		return &set{members: append(s.members[:n:n], p)}
	}
	s.taken = true
	return &set{members: append(s.members, p)}
}
