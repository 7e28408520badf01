// svg: draws a view. Nodes are in columns by level, a node right of those that it needs, and
// ordered within each column so that edges are short. The drawing is plain SVG 1.1 without scripts
// or fonts.

package graph

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// Dimensions of a drawing, in pixels.
const (
	svgMargin   = 24
	svgTitle    = 48 // height of title and legend
	svgRow      = 28 // from one box to the one below
	svgBox      = 20 // height of a box
	svgLetter   = 7.3
	svgPadding  = 8  // left and right of the text in a box
	svgGap      = 96 // between columns, for the curves
	svgSweeps   = 12
	svgMinWidth = 560 // enough for the legend
)

// SVG writes the view as a drawing of all edges. An edge that other edges imply is lighter, so that
// the essential ones stand out.
func (v View) SVG(w io.Writer) error {
	d := newDrawing(v)
	d.order()
	d.place()
	_, err := io.WriteString(w, d.render())
	return err
}

// Layout is where the drawing of a view has its boxes and curves, for those who draw it themselves.
type Layout struct {
	Width, Height float64
	Boxes         []Box
	Curves        []Curve
}

// Box is a node of a Layout.
type Box struct {
	Name                string
	X, Y, Width, Height float64
}

// Curve is an edge of a Layout: from the node From to To, which needs it.
type Curve struct {
	From, To string
	Path     string // as in the attribute d of SVG
	Implied  bool   // by other edges
}

// Layout returns the places of boxes and curves in the drawing, without a title.
func (v View) Layout() Layout {
	d := newDrawing(v)
	d.order()
	d.place()
	l := Layout{Width: d.w, Height: d.h - svgTitle + svgMargin}
	for i, name := range v.nodes {
		l.Boxes = append(l.Boxes, Box{name, d.x[i], d.y[i] - svgTitle + svgMargin,
			d.width[d.column[i]], svgBox})
	}
	for _, e := range d.edges {
		l.Curves = append(l.Curves, Curve{From: v.nodes[e.left], To: v.nodes[e.right],
			Path: d.curve(e, svgMargin-svgTitle), Implied: e.implied})
	}
	return l
}

// drawing is a view being laid out. Nodes are indexes into view.nodes.
type drawing struct {
	v       View
	index   map[string]int
	edges   []drawnEdge
	columns [][]int   // nodes of each column, top to bottom
	column  []int     // of each node
	at      []float64 // of each node in its column, from 0 at the top to 1
	x, y    []float64 // upper left corner of each node's box
	width   []float64 // of each column
	w, h    float64
}

// drawnEdge leads from left to right: from a node to one that needs it.
type drawnEdge struct {
	left, right int
	kind        string
	implied     bool
}

func newDrawing(v View) *drawing {
	n := len(v.nodes)
	d := &drawing{v: v, index: make(map[string]int, n), column: v.levels(), at: make([]float64, n),
		x: make([]float64, n), y: make([]float64, n)}
	for i, name := range v.nodes {
		d.index[name] = i
	}
	highest := -1
	for _, level := range d.column {
		highest = max(highest, level)
	}
	d.columns = make([][]int, highest+1)
	for i, level := range d.column {
		if v.Reverse {
			level = highest - level
		}
		d.column[i] = level
		d.columns[level] = append(d.columns[level], i)
	}
	d.connect()
	return d
}

// connect collects the edges and finds those that others imply.
func (d *drawing) connect() {
	below := make([]*Set, len(d.v.nodes)) // for each node the set of nodes that its edges reach
	var fill func(i int) Set
	fill = func(i int) Set {
		if below[i] == nil {
			var set Set
			for _, e := range d.v.edges(d.v.nodes[i]) {
				to := d.index[e.to]
				set = set.Union(fill(to), SetOf(to))
			}
			below[i] = &set
		}
		return *below[i]
	}
	for i, name := range d.v.nodes {
		edges := d.v.edges(name)
		for _, e := range edges {
			to := d.index[e.to]
			one := drawnEdge{left: to, right: i, kind: e.kind}
			if d.v.Reverse {
				one.left, one.right = i, to
			}
			one.implied = slices.ContainsFunc(edges, func(other edge) bool {
				return fill(d.index[other.to]).Has(to)
			})
			d.edges = append(d.edges, one)
		}
	}
}

// order sorts each column by the average height of its nodes' neighbours, in alternating
// directions: the barycentre method of Sugiyama, Tagawa and Toda (1981) without bends in long
// edges.
func (d *drawing) order() {
	left, right := make([][]int, len(d.at)), make([][]int, len(d.at))
	for _, e := range d.edges {
		left[e.right] = append(left[e.right], e.left)
		right[e.left] = append(right[e.left], e.right)
	}
	for _, column := range d.columns {
		d.spread(column)
	}
	for sweep := range svgSweeps {
		neighbours := left
		if sweep%2 == 1 {
			neighbours = right
		}
		for k := range d.columns {
			if sweep%2 == 1 {
				k = len(d.columns) - 1 - k
			}
			d.sortColumn(d.columns[k], neighbours)
		}
	}
}

func (d *drawing) sortColumn(column []int, neighbours [][]int) {
	centre := make(map[int]float64, len(column))
	for _, i := range column {
		centre[i] = d.at[i] // without neighbours it keeps its place
		if len(neighbours[i]) > 0 {
			sum := 0.0
			for _, other := range neighbours[i] {
				sum += d.at[other]
			}
			centre[i] = sum / float64(len(neighbours[i]))
		}
	}
	slices.SortStableFunc(column, func(a, b int) int {
		switch {
		case centre[a] < centre[b]:
			return -1
		case centre[a] > centre[b]:
			return 1
		}
		return 0
	})
	d.spread(column)
}

// spread sets the heights of a column's nodes, evenly around the middle.
func (d *drawing) spread(column []int) {
	for row, i := range column {
		d.at[i] = (float64(row) + 0.5) / float64(len(column))
	}
}

// place sets the position of every box.
func (d *drawing) place() {
	rows := 0
	for _, column := range d.columns {
		rows = max(rows, len(column))
	}
	height := float64(rows) * svgRow
	x := float64(svgMargin)
	for _, column := range d.columns {
		width := 0.0
		for _, i := range column {
			width = math.Max(width, textWidth(d.v.nodes[i]))
		}
		for row, i := range column {
			d.x[i] = x
			d.y[i] = svgTitle + (height-float64(len(column))*svgRow)/2 + float64(row)*svgRow
		}
		d.width = append(d.width, width)
		x += width + svgGap
	}
	d.w = math.Max(svgMinWidth, x-svgGap+svgMargin)
	d.h = svgTitle + height + svgMargin
}

func textWidth(s string) float64 { return float64(len([]rune(s)))*svgLetter + 2*svgPadding }

const svgStyle = `<style>
  text { font: 12px ui-monospace, Menlo, Consolas, monospace; fill: #1f2933; }
  .title { font-size: 15px; font-weight: bold; }
  rect { fill: #ffffff; stroke: #52606d; rx: 3px; }
  .root rect { fill: #dcebf7; stroke: #1f5f99; }
  path { fill: none; stroke: #334e68; stroke-width: 1.2; opacity: .8; }
  path.runtime { stroke: #b44d12; stroke-dasharray: 5 3; }
  path.implied { stroke-width: .8; opacity: .22; }
</style>
`

func (d *drawing) render() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" `+
		`viewBox="0 0 %.0f %.0f">`+"\n", d.w, d.h, d.w, d.h)
	b.WriteString(svgStyle)
	b.WriteString(`<rect x="0" y="0" width="100%" height="100%" style="fill:#fff;stroke:none"/>` +
		"\n")
	fmt.Fprintf(&b, `<text class="title" x="%d" y="20">%s</text>`+"\n", svgMargin, escape(d.v.Title))
	d.legend(&b)
	edges := slices.Clone(d.edges)
	slices.SortStableFunc(edges, func(a, b drawnEdge) int { // light ones first, to lie below
		switch {
		case a.implied == b.implied:
			return 0
		case a.implied:
			return -1
		}
		return 1
	})
	for _, e := range edges {
		d.renderEdge(&b, e)
	}
	for i := range d.v.nodes {
		d.renderNode(&b, i)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (d *drawing) legend(b *strings.Builder) {
	fmt.Fprintf(b, `<text x="%d" y="38">%s</text>`+"\n", svgMargin, escape(d.v.Summary()))
	fmt.Fprint(b, `<path d="M270 34H300"/><text x="306" y="38">to build</text>`+"\n")
	fmt.Fprint(b, `<path class="runtime" d="M380 34H410"/><text x="416" y="38">at run time</text>`+
		"\n")
}

func (d *drawing) renderEdge(b *strings.Builder, e drawnEdge) {
	class := e.kind
	if e.implied {
		class += " implied"
	}
	fmt.Fprintf(b, `<path class="%s" d="%s"/>`+"\n", class, d.curve(e, 0))
}

// curve returns an edge as SVG has it, moved down by some pixels.
func (d *drawing) curve(e drawnEdge, down float64) string {
	x1, y1 := d.x[e.left]+d.width[d.column[e.left]], d.y[e.left]+svgBox/2+down
	x2, y2 := d.x[e.right], d.y[e.right]+svgBox/2+down
	bend := math.Max(svgGap/2, (x2-x1)/3)
	return fmt.Sprintf("M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f",
		x1, y1, x1+bend, y1, x2-bend, y2, x2, y2)
}

func (d *drawing) renderNode(b *strings.Builder, i int) {
	name, class := d.v.nodes[i], "node"
	if slices.Contains(d.v.Roots, name) {
		class = "node root"
	}
	fmt.Fprintf(b, `<g class="%s"><rect x="%.1f" y="%.1f" width="%.1f" height="%d"/>`, class, d.x[i],
		d.y[i], d.width[d.column[i]], svgBox)
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f">%s</text></g>`+"\n", d.x[i]+svgPadding, d.y[i]+14,
		escape(name))
}

// escape escapes text for XML.
func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // writes to a strings.Builder do not fail
	return b.String()
}
