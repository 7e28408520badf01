// view_test: compares the drawings of a small graph to the letter, and checks rules on larger ones.

package graph

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/buildtest/need"
	"buildsys/internal/golden"
)

// small is a tree with both kinds of edges, a pair with both, an implied edge, and a node that is
// reached twice.
func small() *Graph {
	return parse(`
		variant/dev: release
		release: | app os libc
		app: lib libc | os lib
		lib: libc headers
		os: | libc
		libc: headers
		headers:
		other: libc`)
}

func TestRenderings(t *testing.T) {
	renderings := map[string]func(View, io.Writer) error{"txt": View.Tree, "dot": View.DOT,
		"json": View.JSON, "svg": View.SVG}
	views := map[string]View{
		"small":   NewView(small(), "variant/dev", []string{"variant/dev"}, false),
		"reverse": NewView(small(), "who needs lib", []string{"lib", "os"}, true),
		"odd": NewView(parse("<b>&\": \\q\"x | é"), "a \"title\" & <more>",
			[]string{"<b>&\"", "nobody"}, false),
		"empty": NewView(small(), "nothing", nil, false),
	}
	for name, view := range views {
		for ext, render := range renderings {
			t.Run(name+"."+ext, func(t *testing.T) {
				var got bytes.Buffer
				if err := render(view, &got); err != nil {
					t.Fatal(err)
				}
				golden.Equal(t, filepath.Join("testdata", name+"."+ext), got.Bytes())
				checkSyntax(t, ext, got.Bytes())
			})
		}
	}
}

// checkSyntax parses output with other programs: the standard library, and Graphviz if installed.
func checkSyntax(t *testing.T, ext string, data []byte) {
	t.Helper()
	switch ext {
	case "json":
		if !json.Valid(data) {
			t.Error("not JSON")
		}
	case "svg":
		decoder := xml.NewDecoder(bytes.NewReader(data))
		for {
			if _, err := decoder.Token(); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				t.Fatalf("not XML: %v", err)
			}
		}
	case "dot":
		cmd := exec.Command(need.Program(t, "dot"), "-Tplain")
		cmd.Stdin = bytes.NewReader(data)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("dot refuses it: %v\n%s", err, out)
		}
	}
}

func TestBoxesDoNotOverlapAndEdgesPointRight(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 2))
		g := random(r, 94)
		d := newDrawing(NewView(g, "t", g.Nodes(), seed%2 == 1))
		d.order()
		d.place()
		for i := range d.x {
			for j := range i {
				sameColumn := d.column[i] == d.column[j]
				if apart := d.y[i] - d.y[j]; sameColumn && max(apart, -apart) < svgBox {
					t.Errorf("seed %d: boxes %d and %d overlap", seed, i, j)
				}
			}
			if d.x[i] < 0 || d.y[i] < svgTitle || d.x[i]+d.width[d.column[i]] > d.w || d.y[i]+svgBox > d.h {
				t.Errorf("seed %d: box %d lies outside of the drawing", seed, i)
			}
		}
		for _, e := range d.edges {
			if d.x[e.left]+d.width[d.column[e.left]] >= d.x[e.right] {
				t.Errorf("seed %d: edge from %d to %d does not lead to the right", seed, e.left, e.right)
			}
		}
	}
}

// TestOrderingUncrosses counts crossings in a ladder whose alphabetical order is the worst.
func TestOrderingUncrosses(t *testing.T) {
	g := New()
	for i := range 8 {
		g.AddBuild("z"+string(rune('a'+i)), "a"+string(rune('h'-i)))
	}
	d := newDrawing(NewView(g, "t", g.Nodes(), false))
	for _, column := range d.columns {
		d.spread(column)
	}
	before := crossings(d)
	d.order()
	if after := crossings(d); before != 28 || after != 0 {
		t.Errorf("%d crossings before and %d after ordering, want 28 and 0", before, after)
	}
}

func crossings(d *drawing) int {
	n := 0
	for i, a := range d.edges {
		for _, b := range d.edges[:i] {
			if (d.at[a.left]-d.at[b.left])*(d.at[a.right]-d.at[b.right]) < 0 {
				n++
			}
		}
	}
	return n
}

func TestTreeNamesEveryNodeOnce(t *testing.T) {
	g := random(rand.New(rand.NewPCG(3, 3)), 60)
	var b strings.Builder
	if err := NewView(g, "t", g.Nodes(), false).Tree(&b); err != nil {
		t.Fatal(err)
	}
	opened := map[string]int{}
	for line := range strings.Lines(b.String()) {
		fields := strings.Fields(strings.TrimRight(line, "\n"))
		if fields[len(fields)-1] != "(*)" {
			opened[fields[len(fields)-1]]++
		}
	}
	for _, n := range g.Nodes() {
		leaf := len(g.Build(n))+len(g.Runtime(n)) == 0
		if opened[n] == 0 || (opened[n] > 1 && !leaf) {
			t.Errorf("%s is opened %d times", n, opened[n])
		}
	}
}
