// view: a part of a graph for display, and its text forms: a tree, DOT, JSON and levels.

package graph

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// View is the closure of some roots over both kinds of edges, for display.
type View struct {
	Title string   // "qemu-dev"
	Roots []string // the roots of the tree, without unknown names
	// Reverse means that edges lead from a node to those that need it; see Reversed.
	Reverse bool
	g       *Graph
	nodes   []string // the closure of the roots, sorted
}

// NewView returns the view of all that the roots reach or, if reverse is set, of all that reaches
// the roots.
func NewView(g *Graph, title string, roots []string, reverse bool) View {
	if reverse {
		g = g.Reversed()
	}
	roots = slices.DeleteFunc(slices.Clone(roots), func(name string) bool { return !g.Has(name) })
	slices.Sort(roots)
	roots = slices.Compact(roots)
	return View{Title: title, Roots: roots, Reverse: reverse, g: g, nodes: g.Closure(roots...)}
}

// Tree writes the view as an indented tree, with ├─ for edges "needed to build" and ├╌ for edges
// "needed at run time". As in cargo tree, a node whose dependencies were shown before is marked (*)
// and not opened again.
func (v View) Tree(w io.Writer) error {
	t := treeWriter{v: v, w: w, shown: map[string]bool{}}
	for _, root := range v.Roots {
		t.node(root, "", "")
	}
	return t.err
}

type treeWriter struct {
	v     View
	w     io.Writer
	shown map[string]bool
	err   error
}

// node writes a line for a node, after the branch that leads to it, and the nodes below it, after
// indent.
func (t *treeWriter) node(name, branch, indent string) {
	edges := t.v.edges(name)
	again := t.shown[name] && len(edges) > 0
	t.shown[name] = true
	line := branch + name
	if again {
		line += " (*)"
	}
	if t.err == nil {
		_, t.err = fmt.Fprintln(t.w, line)
	}
	if again {
		return
	}
	for i, e := range edges {
		corner, below := "├", "│  "
		if i == len(edges)-1 {
			corner, below = "└", "   "
		}
		stroke := "─ "
		if e.kind == "runtime" {
			stroke = "╌ "
		}
		t.node(e.to, indent+corner+stroke, indent+below)
	}
}

// edge is one edge of a view. Two nodes with edges of both kinds have a build edge, the stronger
// kind.
type edge struct {
	from, to, kind string // kind is "build" or "runtime"
}

// edges returns a node's edges, build before runtime, each kind sorted.
func (v View) edges(name string) []edge {
	var edges []edge
	build := v.g.Build(name)
	for _, to := range build {
		edges = append(edges, edge{name, to, "build"})
	}
	for _, to := range v.g.Runtime(name) {
		if _, both := slices.BinarySearch(build, to); !both {
			edges = append(edges, edge{name, to, "runtime"})
		}
	}
	return edges
}

// DOT writes the view in the language of Graphviz: build edges are solid and runtime edges dashed.
// Edges point from a node to what it needs, in a reversed view too.
func (v View) DOT(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %s {\n\trankdir=LR;\n\tnode [shape=box];\n", dotQuote(v.Title))
	for _, name := range v.nodes {
		fmt.Fprintf(&b, "\t%s;\n", dotQuote(name))
	}
	for _, name := range v.nodes {
		for _, e := range v.edges(name) {
			from, to, style := e.from, e.to, ""
			if v.Reverse {
				from, to = to, from
			}
			if e.kind == "runtime" {
				style = " [style=dashed]"
			}
			fmt.Fprintf(&b, "\t%s -> %s%s;\n", dotQuote(from), dotQuote(to), style)
		}
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// dotQuote returns a DOT string, in which only quotes, backslashes and newlines are escaped.
func dotQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

// jsonNode and jsonView define the JSON form.
type jsonNode struct {
	Name    string   `json:"name"`
	Level   int      `json:"level"`
	Build   []string `json:"build"`
	Runtime []string `json:"runtime"`
}

type jsonView struct {
	Format  int        `json:"format"`
	Kind    string     `json:"kind"` // as in the other documents of the program
	Title   string     `json:"title"`
	Reverse bool       `json:"reverse"`
	Roots   []string   `json:"roots"`
	Nodes   []jsonNode `json:"nodes"`
}

// JSON writes the view as one object: format, kind, title, reverse, roots, and nodes sorted by
// name, each with its level (the number of edges on the longest path down from it) and the names
// its edges lead to, "build" and "runtime", sorted. In a reversed view the edges lead to the nodes
// that need the node. Keys are never removed.
func (v View) JSON(w io.Writer) error {
	out := jsonView{Format: 1, Kind: "graph", Title: v.Title, Reverse: v.Reverse,
		Roots: some(v.Roots), Nodes: []jsonNode{}}
	levels := v.levels()
	for i, name := range v.nodes {
		out.Nodes = append(out.Nodes, jsonNode{Name: name, Level: levels[i],
			Build: some(v.g.Build(name)), Runtime: some(v.g.Runtime(name))})
	}
	data, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(data, '\n'))
	return err
}

// some returns names such that an empty list is [] in JSON, not null.
func some(names []string) []string {
	if names == nil {
		return []string{}
	}
	return names
}

// levels returns, for each node of the view, the number of edges on the longest path down from it.
func (v View) levels() []int {
	level := map[string]int{}
	var of func(name string) int
	of = func(name string) int {
		if l, known := level[name]; known {
			return l
		}
		l := 0
		for _, e := range v.edges(name) {
			l = max(l, of(e.to)+1)
		}
		level[name] = l
		return l
	}
	out := make([]int, len(v.nodes))
	for i, name := range v.nodes {
		out[i] = of(name)
	}
	return out
}

// Order writes the nodes in the order in which they can be built, one level a line: all nodes of a
// line can be built at once when the lines before it are done. A node does not wait for what it
// needs at run time, but those built with it do.
func (v View) Order(w io.Writer) error {
	g := v.g
	if v.Reverse {
		g = g.Reversed()
	}
	var b strings.Builder
	for i, level := range g.Levels(v.nodes) {
		fmt.Fprintf(&b, "%d: %s\n", i+1, strings.Join(level, " "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Summary returns the size of the view: "20 nodes, 41 edges".
func (v View) Summary() string {
	edges := 0
	for _, name := range v.nodes {
		edges += len(v.edges(name))
	}
	return fmt.Sprintf("%d nodes, %d edges", len(v.nodes), edges)
}
