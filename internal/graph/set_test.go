// set_test: compares sets of bits with maps, and the transitive reduction with its definition.

package graph

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

func randomSet(r *rand.Rand) (Set, map[int]bool) {
	members := map[int]bool{}
	for range r.IntN(40) {
		members[r.IntN(1+r.IntN(300))] = true
	}
	return SetOf(slices.Collect(maps.Keys(members))...), members
}

// same fails the test unless s has exactly the members and equals SetOf of them.
func same(t *testing.T, what string, s Set, members map[int]bool) {
	t.Helper()
	want := slices.Sorted(maps.Keys(members))
	if got := slices.Collect(s.All()); !slices.Equal(got, want) {
		t.Fatalf("%s has %d, want %d", what, got, want)
	}
	last := -1
	if len(want) > 0 {
		last = want[len(want)-1]
	}
	if s.Len() != len(want) || s.Empty() != (len(want) == 0) || s.Last() != last {
		t.Fatalf("%s: length %d, last %d; want %d, %d", what, s.Len(), s.Last(), len(want), last)
	}
	if !slices.Equal(s.words, SetOf(want...).words) {
		t.Fatalf("%s is not in the form that sets have", what)
	}
}

func TestSets(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 2))
		a, inA := randomSet(r)
		b, inB := randomSet(r)
		same(t, "a", a, inA)
		union, both, one := map[int]bool{}, map[int]bool{}, map[int]bool{}
		holds := true
		for i := range 310 {
			if a.Has(i) != inA[i] {
				t.Fatalf("Has(%d) = %v", i, a.Has(i))
			}
			if inA[i] || inB[i] {
				union[i] = true
			}
			if inA[i] && inB[i] {
				both[i] = true
			}
			if inA[i] != inB[i] {
				one[i] = true
			}
			holds = holds && (inA[i] || !inB[i])
		}
		u := a.Union(b)
		same(t, "the union", u, union)
		if v := a.Union(u); !u.Empty() && &v.words[0] != &u.words[0] {
			t.Fatalf("the union of %v and %v, which has all of it, is a copy", inA, union)
		}
		same(t, "the intersection", a.Intersection(b), both)
		same(t, "what changed", SetOf(slices.Collect(a.Changed(b))...), one)
		if a.Holds(b) != holds || !a.Union(b).Holds(a) {
			t.Fatalf("%v and %v: Holds %v", inA, inB, a.Holds(b))
		}
		same(t, "a after all this", a, inA)
		same(t, "b after all this", b, inB)
		first, end := r.IntN(200), r.IntN(200)
		members := map[int]bool{}
		for i := first; i < end; i++ {
			members[i] = true
		}
		same(t, "a range", Range(first, end), members)
	}
}

// TestDirect compares the reduction with its definition: the members that no other member needs.
func TestDirect(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 3))
		g := random(r, 1+r.IntN(90))
		needs := g.Needs(g.Order(g.Nodes()))
		for i, s := range needs {
			var want []int
			for d := range s.All() {
				covered := func(other int) bool { return needs[other].Has(d) }
				if !slices.ContainsFunc(slices.Collect(s.All()), covered) {
					want = append(want, d)
				}
			}
			if got := s.Direct(func(d int) Set { return needs[d] }); !slices.Equal(got, want) {
				t.Fatalf("seed %d: of %v node %d waits for %d, want %d", seed, s, i, got, want)
			}
		}
	}
}
