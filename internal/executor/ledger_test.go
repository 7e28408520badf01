// Keys of steps that see many packages: they are the same in every plan, and made as
// cache/packages.go describes.

package executor

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"buildsys/internal/cache"
	"buildsys/internal/graph"
	"buildsys/internal/plan"
	"buildsys/internal/treegen"
	"buildsys/internal/workspace"
)

// deepSize is the number of packages in the trees below: six layers.
const deepSize = 240

// deepPlan plans a request for the deep tree in root.
func deepPlan(t *testing.T, root string, packages ...string) plan.Plan {
	t.Helper()
	ws, err := workspace.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	recipe, err := ws.Recipe(nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Make(ws, recipe, plan.Request{
		Arch: "x86_64", Variant: treegen.Variant, Image: len(packages) == 0, Packages: packages,
		SDK: "buildsys.invalid/sdk:1", BuildDir: filepath.Join(root, "build"),
		Identity: plan.Identity{Name: "deep", Version: "1.0.0", BuildID: "abc"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func deepTree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	if err := treegen.Shape(treegen.Deep).Write(root, deepSize, false); err != nil {
		t.Fatal(err)
	}
	return root
}

// names returns the sorted names of steps.
func names(p plan.Plan, steps []int) string {
	var all []string
	for _, i := range steps {
		all = append(all, p.Steps[i].Name)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// TestDeepPlan holds what steps use and wait for against sets of names and the definitions.
func TestDeepPlan(t *testing.T) {
	p := deepPlan(t, deepTree(t))
	needs := treegen.Shape(treegen.Deep).Needs(deepSize)
	closures := map[string]map[string]bool{}
	everything := map[string]bool{}
	for i := range needs {
		all := map[string]bool{}
		for _, d := range needs[i] {
			all[treegen.Name(d)] = true
			maps.Copy(all, closures[treegen.Name(d)])
		}
		closures[treegen.Name(i)] = all
		everything[treegen.Name(i)] = true
	}
	closures[treegen.Variant] = everything
	for _, s := range p.Steps {
		all := closures[s.Name]
		var direct []string
		for name := range all {
			covered := false
			for other := range all {
				covered = covered || closures[other][name]
			}
			if !covered {
				direct = append(direct, name)
			}
		}
		slices.Sort(direct)
		uses := strings.Join(slices.Sorted(maps.Keys(all)), " ")
		if got := names(p, slices.Collect(s.Uses.All())); got != uses {
			t.Fatalf("%s uses %s\nwant %s", s.ID, got, uses)
		}
		if got, want := names(p, s.Waits), strings.Join(direct, " "); got != want {
			t.Fatalf("%s waits for %s\nwant %s", s.ID, got, want)
		}
	}
}

// madeBy returns a ledger in which what a step made follows from its name and the version.
func madeBy(p plan.Plan, version string) *ledger {
	l := newLedger(p)
	for i, s := range p.Steps {
		file := cache.File{Name: s.Name + ".rpm", SHA256: sha256.Sum256([]byte(s.Name + version))}
		files := []cache.File{file}
		l.made[i] = newOutputs(s.Name, cache.ContentOf(files), files)
	}
	return l
}

// keysOf returns the action ID of each step by its step ID.
func keysOf(t *testing.T, p plan.Plan, made *ledger) map[string]cache.ActionID {
	t.Helper()
	keys := map[string]cache.ActionID{}
	c := &Cache{Memo: cache.NewMemo(t.Context()), SDK: "sha256:0"}
	order := make([]int, len(p.Steps))
	for i := range order {
		order[i] = i
	}
	rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	for _, i := range order { // the order must not matter
		w := worker{o: Options{Cache: c}, plan: p, step: p.Steps[i], made: made}
		act, err := w.key(cache.ActionID{})
		if err != nil {
			t.Fatal(err)
		}
		keys[p.Steps[i].ID] = act.id
	}
	return keys
}

// TestKeysAreOfNoPlan checks that a step has the same key in the plans of all requests, although
// each has its own order.
func TestKeysAreOfNoPlan(t *testing.T) {
	root := deepTree(t)
	whole := deepPlan(t, root)
	keys := keysOf(t, whole, madeBy(whole, "1"))
	for _, packages := range [][]string{
		{"p00239"}, {"p00200", "p00100"}, {"p00210", "p00211", "p00220"},
	} {
		part := deepPlan(t, root, packages...)
		moved := false
		for i, s := range part.Steps {
			moved = moved || whole.Steps[i].ID != s.ID
		}
		if !moved {
			t.Errorf("the plan for %q is a prefix of the plan for all: use another order", packages)
		}
		for id, key := range keysOf(t, part, madeBy(part, "1")) {
			if key != keys[id] {
				t.Errorf("in the plan for %q, %s has the key %s, in the plan for all %s", packages, id,
					key, keys[id])
			}
		}
		unit := part.Unit()
		last := unit.Steps[len(unit.Steps)-1].ID
		if keysOf(t, unit, madeBy(unit, "1"))[last] != keys[last] {
			t.Errorf("%s has another key as a unit", last)
		}
	}
}

// TestKeysFollowContents checks that what a package made is in the keys of the steps that see it,
// and in no others.
func TestKeysFollowContents(t *testing.T) {
	p := deepPlan(t, deepTree(t))
	made := madeBy(p, "1")
	keys := keysOf(t, p, made)
	c := &Cache{Memo: cache.NewMemo(t.Context()), SDK: "sha256:0"}
	for _, i := range []int{0, 77, 238} {
		again := made.clone(func(int) bool { return false })
		again.made[i] = newOutputs(p.Steps[i].Name, cache.ContentID{1}, nil)
		for j, s := range p.Steps {
			now := worker{o: Options{Cache: c}, plan: p, step: s, made: again}
			act, err := now.key(cache.ActionID{})
			if err != nil {
				t.Fatal(err)
			}
			if changed := act.id != keys[s.ID]; changed != p.Steps[j].Uses.Has(i) {
				t.Errorf("%s came out differently: key of %s changed: %v", p.Steps[i].ID, s.ID, changed)
			}
		}
	}
}

// TestDigestIsAsDescribed makes digests as the text in cache/packages.go says, of sets in random
// order, and finds the text of every node by its digest.
func TestDigestIsAsDescribed(t *testing.T) {
	p := deepPlan(t, deepTree(t))
	made := madeBy(p, "1")
	for range 6 {
		var steps []int
		for i := range p.Steps[:deepSize] {
			if rand.IntN(3) > 0 {
				steps = append(steps, i)
			}
		}
		set := graph.SetOf(steps...)
		slices.SortFunc(steps, func(a, b int) int {
			return strings.Compare(p.Steps[a].Name, p.Steps[b].Name)
		})
		root := "buildsys packages 1\n"
		for b := range 256 {
			text := ""
			for _, i := range steps {
				if sum := sha256.Sum256([]byte(p.Steps[i].Name)); int(sum[0]) == b {
					text += p.Steps[i].Name + " " + made.made[i].content.String() + "\n"
				}
			}
			if text != "" {
				sum := sha256.Sum256([]byte("buildsys bucket 1\n" + text))
				root += string([]byte{byte(b)}) + string(sum[:])
			}
		}
		node, _ := made.node(set)
		if string(node) != root {
			t.Fatalf("the node of %d packages is %q\nwant %q", len(steps), node, root)
		}
		nodes := cache.Nodes{Dir: t.TempDir()}
		made.kept.Clear()
		made.keep(nodes, set)
		var tr cache.Transcript
		tr.AddPackages(node)
		for name, source := range map[string]cache.NodeSource{
			"memory": made.source(set), "the checkout": nodes.Get,
		} {
			changes := cache.Explain("", tr.String(), source)
			if len(changes) != len(steps) {
				t.Fatalf("%s knows %d of %d packages", name, len(changes), len(steps))
			}
			for i, c := range changes {
				if want := fmt.Sprintf("dependency %s added", p.Steps[steps[i]].Name); c.String() != want {
					t.Errorf("%s says %q, want %q", name, c, want)
				}
			}
		}
	}
}
