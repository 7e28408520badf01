// graph_test: the edge rules on small graphs written as text, and on the expected closures of a
// real tree.

package graph

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// parse reads lines "a: b c | d": a has build edges to b and c, and a runtime edge to d.
func parse(text string) *Graph {
	g := New()
	for line := range strings.Lines(text) {
		from, rest, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		from = strings.TrimSpace(from)
		g.AddNode(from)
		build, runtime, _ := strings.Cut(rest, "|")
		for _, to := range strings.Fields(build) {
			g.AddBuild(from, to)
		}
		for _, to := range strings.Fields(runtime) {
			g.AddRuntime(from, to)
		}
	}
	return g
}

func TestBuildClosureFollowsCargo(t *testing.T) {
	g := parse(`
		release: | os kernel
		os: libc
		kernel: headers
		app: lib
		lib: libc | tool
		tool: headers
		libc: headers
		headers:`)
	tests := map[string]string{
		"release": "",                      // does not wait for its own runtime edges
		"app":     "headers lib libc tool", // lib's runtime edge counts for nodes built with lib
		"lib":     "headers libc",          // but not for lib itself
		"headers": "",
	}
	for name, want := range tests {
		if got := strings.Join(g.BuildClosure(name), " "); got != want {
			t.Errorf("BuildClosure(%s) = %q, want %q", name, got, want)
		}
	}
	if got, want := strings.Join(g.Closure("release"),
		" "), "headers kernel libc os release"; got != want {
		t.Errorf("Closure(release) = %q, want %q", got, want)
	}
	if got := g.BuildClosure("nobody"); got != nil {
		t.Errorf("BuildClosure of an unknown node = %q, want none", got)
	}
}

func TestOrder(t *testing.T) {
	g := parse(`
		z: a
		a: m
		m:
		b: | z`)
	want := "m a b z"
	if got := strings.Join(g.Order(g.Nodes()), " "); got != want {
		t.Errorf("Order = %q, want %q", got, want)
	}
	if got := strings.Join(g.Order([]string{"z", "m"}), " "); got != "m z" {
		t.Errorf("Order of a part = %q, want %q", got, "m z")
	}
}

func TestCheckNamesTheCycle(t *testing.T) {
	tests := []struct{ name, graph, want string }{
		{"none", "a: b\nb: c\nc:", ""},
		{"diamond", "a: b c\nb: d\nc: d\nd:", ""},
		{"self", "a: a", "dependency cycle: a → a"},
		{"over both kinds", "x: a\na: b\nb: | c\nc: a", "dependency cycle: a → b → c → a"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := parse(test.graph).Check()
			var cycle *CycleError
			switch {
			case test.want == "" && err != nil:
				t.Errorf("Check = %v, want none", err)
			case test.want != "" && (!errors.As(err, &cycle) || err.Error() != test.want):
				t.Errorf("Check = %v, want %s", err, test.want)
			}
		})
	}
}

func TestLongChainAndWideFan(t *testing.T) {
	const size = 5000
	chain, fan := New(), New()
	for i := range size {
		chain.AddBuild("n"+strconv.Itoa(i), "n"+strconv.Itoa(i+1))
		fan.AddBuild("top", "n"+strconv.Itoa(i))
	}
	for _, g := range []*Graph{chain, fan} {
		if err := g.Check(); err != nil {
			t.Fatal(err)
		}
		if got := len(g.Closure(g.Nodes()...)); got != size+1 {
			t.Errorf("closure has %d nodes, want %d", got, size+1)
		}
	}
}

// TestRealTree compares with closures and levels that cargo itself gave for a tree of 94 packages;
// testdata has three of its 20 variants.
func TestRealTree(t *testing.T) {
	data, err := os.ReadFile("../../testdata/graph.json")
	if err != nil {
		t.Fatal(err)
	}
	var tree struct {
		Packages map[string]struct {
			Build   []string `json:"build_dependencies"`
			Runtime []string `json:"dependencies"`
		}
		Variants map[string]struct {
			Build   []string `json:"build_dependencies"`
			Closure []string
			Levels  [][]string
		}
	}
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	g := New()
	for name, p := range tree.Packages {
		g.AddNode(name)
		for _, to := range p.Build {
			g.AddBuild(name, to)
		}
		for _, to := range p.Runtime {
			g.AddRuntime(name, to)
		}
	}
	if err := g.Check(); err != nil {
		t.Fatal(err)
	}
	for name, v := range tree.Variants {
		closure := g.Closure(v.Build...)
		if !slices.Equal(closure, v.Closure) {
			t.Errorf("closure of %s = %q, want %q", name, closure, v.Closure)
		}
		if got := g.Levels(closure); !slices.EqualFunc(got, v.Levels, slices.Equal) {
			t.Errorf("levels of %s = %q, want %q", name, got, v.Levels)
		}
		position := map[string]int{}
		for i, n := range g.Order(closure) {
			position[n] = i
		}
		for _, n := range closure {
			for _, dep := range g.BuildClosure(n) {
				if position[dep] > position[n] {
					t.Errorf("Order puts %s before %s, which it needs", n, dep)
				}
			}
		}
	}
	t.Logf("%d packages, %d variants", len(tree.Packages), len(tree.Variants))
}
