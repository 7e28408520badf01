// order_test: orders and closures by position, compared with the plain definition on random graphs.

package graph

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"buildsys/internal/treegen"
)

// random returns a graph of n nodes whose edges lead from higher to lower numbers; names do not
// sort like numbers.
func random(r *rand.Rand, n int) *Graph {
	g := New()
	for i := range n {
		g.AddNode(name(i))
		for range r.IntN(4) * min(i, 1) {
			if to := name(r.IntN(i)); r.IntN(3) == 0 {
				g.AddRuntime(name(i), to)
			} else {
				g.AddBuild(name(i), to)
			}
		}
	}
	return g
}

func name(i int) string { return fmt.Sprintf("n%02d", i*37%100) + strconv.Itoa(i) }

// definition is BuildClosure as documented, regardless of speed.
func definition(g *Graph, name string) []string {
	found := map[string]bool{}
	var add func(name string)
	add = func(name string) {
		if !found[name] {
			found[name] = true
			for _, to := range slices.Concat(g.Build(name), g.Runtime(name)) {
				add(to)
			}
		}
	}
	for _, to := range g.Build(name) {
		add(to)
	}
	var names []string
	for n := range found {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func TestNeedsAreBuildClosures(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		g := random(r, 1+r.IntN(40))
		order := g.Order(g.Nodes())
		if len(order) != len(g.Nodes()) {
			t.Fatalf("seed %d: Order gives %d of %d nodes", seed, len(order), len(g.Nodes()))
		}
		needs := g.Needs(order)
		for i, n := range order {
			want := definition(g, n)
			if got := g.BuildClosure(n); !slices.Equal(got, want) {
				t.Fatalf("seed %d: BuildClosure(%s) = %q, want %q", seed, n, got, want)
			}
			var got []string
			for p := range needs[i].All() {
				if p >= i {
					t.Errorf("seed %d: %s comes before %s, which it needs", seed, n, order[p])
				}
				got = append(got, order[p])
			}
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("seed %d: Needs of %s = %q, want %q", seed, n, got, want)
			}
		}
	}
}

func TestNeedsOfAPartLeaveTheRestOut(t *testing.T) {
	g := parse("a: b | x\nb: c\nc: d\nd:\ne: c")
	var members [][]int
	for _, needs := range g.Needs([]string{"d", "b", "nobody", "e", "a"}) {
		members = append(members, slices.Collect(needs.All()))
	}
	got := fmt.Sprint(members)
	if want := "[[] [0] [] [0] [0 1]]"; got != want {
		t.Errorf("Needs = %s, want %s", got, want)
	}
}

// TestNeedsShare counts arrays: nodes with equal closures share one set.
func TestNeedsShare(t *testing.T) {
	g := New()
	for i := range 1000 {
		g.AddBuild("n"+strconv.Itoa(i), "low")
	}
	arrays := map[*uint64]bool{}
	for _, needs := range g.Needs(g.Order(g.Nodes())) {
		if !needs.Empty() {
			arrays[&needs.words[0]] = true
		}
	}
	if len(arrays) != 1 {
		t.Errorf("1000 equal closures lie in %d arrays", len(arrays))
	}
}

func TestReversed(t *testing.T) {
	g := parse("a: b | c\nb: c\nc:").Reversed()
	got := strings.Join([]string{fmt.Sprint(g.Build("c")), fmt.Sprint(g.Runtime("c")),
		fmt.Sprint(g.Build("b")), fmt.Sprint(g.Build("a"))}, " ")
	if got != "[b] [a] [a] []" {
		t.Errorf("reversed edges %s", got)
	}
}

func chain(n int) *Graph {
	g := New()
	for i := range n - 1 {
		g.AddBuild("n"+strconv.Itoa(i+1), "n"+strconv.Itoa(i))
	}
	return g
}

// shaped returns the graph of a generated tree.
func shaped(shape treegen.Shape, n int) *Graph {
	g := New()
	for i, needs := range shape.Needs(n) {
		g.AddNode(treegen.Name(i))
		for _, d := range needs {
			g.AddBuild(treegen.Name(i), treegen.Name(d))
		}
	}
	return g
}

// BenchmarkOrderAndNeeds shows how time grows with the size of the graph; see also internal/plan.
func BenchmarkOrderAndNeeds(b *testing.B) {
	before := 0.0
	for n := 10; n <= 10_240; n *= 2 {
		b.Run("layered="+strconv.Itoa(n), func(b *testing.B) {
			g := shaped(treegen.Shallow, n)
			b.ReportAllocs()
			for b.Loop() {
				g.Needs(g.Order(g.Nodes()))
			}
			each := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
			b.ReportMetric(each/float64(n), "ns/node")
			if before > 0 {
				b.ReportMetric(each/before, "x/doubling")
			}
			before = each
		})
	}
	b.Run("chain=10000", func(b *testing.B) {
		g := chain(10_000)
		b.ReportAllocs()
		for b.Loop() {
			g.Needs(g.Order(g.Nodes()))
		}
	})
}
