// treemap: sizes as a picture: rectangles within rectangles, by the squarified layout of Bruls,
// Huizing and van Wijk.

package contents

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"hash/fnv"
	"io"
	"strings"
	"unicode/utf8"

	"buildsys/internal/bytesize"
	"buildsys/internal/safetext"
)

// The picture, in units of SVG.
const (
	mapWidth  = 1200.0
	mapHeight = 720.0
	mapHead   = 15.0 // of a directory's name
	mapLetter = 6.2  // width of a character
	mapSmall  = 3.0  // shorter sides are not drawn
	maxBoxes  = 20000
)

// treemap draws boxes.
type treemap struct {
	b     strings.Builder
	boxes int
}

// WriteTreemap writes the sizes of a partition, which are by file, as one SVG document that needs
// nothing else. The same sizes give the same bytes.
func WriteTreemap(w io.Writer, title string, s Sizes) error {
	m := &treemap{}
	fmt.Fprintf(&m.b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" `+
		`font-family="sans-serif" font-size="11" role="img">`+"\n", mapWidth, mapHeight+24)
	fmt.Fprintf(&m.b, `<title>%s</title><rect width="100%%" height="100%%" fill="#fff"/>`+"\n",
		escaped(title))
	fmt.Fprintf(&m.b, `<text x="4" y="16" font-size="13">%s: %s used, %s metadata, %s free</text>`+
		"\n", escaped(title), bytesize.Format(s.Used), bytesize.Format(s.Metadata),
		bytesize.Format(s.Free))
	m.draw(s.Tree(), "", 0, rect{0, 24, mapWidth, mapHeight})
	m.b.WriteString("</svg>\n")
	_, err := io.WriteString(w, m.b.String())
	return err
}

type rect struct{ x, y, w, h float64 }

// draw draws a node and what is below it.
func (m *treemap) draw(n Node, path string, depth int, r rect) {
	if r.w < mapSmall || r.h < mapSmall || m.boxes >= maxBoxes {
		return
	}
	m.boxes++
	text := n.Name
	if depth > 0 {
		path += "/" + n.Name
	}
	about := cmp.Or(path, "/") + ", " + bytesize.Format(n.Bytes)
	if n.Package != "" {
		about += ", " + n.Package
	}
	fill := "#f4f4f4"
	if len(n.Below) == 0 {
		fill = colour(n.Package)
	}
	fmt.Fprintf(&m.b, `<g><title>%s</title><rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" `+
		`fill="%s" stroke="#888" stroke-width=".5"/>`, escaped(about), r.x, r.y, r.w, r.h, fill)
	if room := int((r.w - 6) / mapLetter); room >= 3 && r.h >= mapHead {
		fmt.Fprintf(&m.b, `<text x="%.1f" y="%.1f">%s</text>`, r.x+3, r.y+11.5,
			escaped(shortened(text, room)))
	}
	m.b.WriteString("</g>\n")
	if len(n.Below) == 0 {
		return
	}
	inner := rect{r.x + 1, r.y + mapHead, r.w - 2, r.h - mapHead - 1}
	for i, box := range squarify(n.Below, inner) {
		m.draw(n.Below[i], path, depth+1, box)
	}
}

// squarify gives each node, the largest first, a rectangle of its share, as square as it can.
func squarify(nodes []Node, r rect) []rect {
	total := int64(0)
	for _, n := range nodes {
		total += n.Bytes
	}
	boxes := make([]rect, len(nodes))
	if total == 0 || r.w <= 0 || r.h <= 0 {
		return boxes
	}
	scale := r.w * r.h / float64(total)
	for from := 0; from < len(nodes) && nodes[from].Bytes > 0; {
		side := min(r.w, r.h)
		to, sum := from, 0.0
		for worst := 0.0; to < len(nodes) && nodes[to].Bytes > 0; to++ {
			more := sum + float64(nodes[to].Bytes)*scale
			now := ratio(float64(nodes[from].Bytes)*scale, float64(nodes[to].Bytes)*scale, more, side)
			if to > from && now > worst {
				break
			}
			sum, worst = more, now
		}
		r = row(nodes[from:to], boxes[from:to], r, sum, scale)
		from = to
	}
	return boxes
}

// ratio returns how far from a square the worst rectangle of a row is.
func ratio(largest, smallest, sum, side float64) float64 {
	return max(side*side*largest/(sum*sum), sum*sum/(side*side*smallest))
}

// row places nodes along the shorter side and returns what is left.
func row(nodes []Node, boxes []rect, r rect, sum, scale float64) rect {
	if r.w >= r.h {
		width, y := sum/r.h, r.y
		for i, n := range nodes {
			h := float64(n.Bytes) * scale / width
			boxes[i] = rect{r.x, y, width, h}
			y += h
		}
		return rect{r.x + width, r.y, r.w - width, r.h}
	}
	height, x := sum/r.w, r.x
	for i, n := range nodes {
		w := float64(n.Bytes) * scale / height
		boxes[i] = rect{x, r.y, w, height}
		x += w
	}
	return rect{r.x, r.y + height, r.w, r.h - height}
}

// colour returns the colour of a package, always the same one.
func colour(name string) string {
	if name == "" || strings.HasPrefix(name, "(") {
		return "#dddddd"
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	return fmt.Sprintf("hsl(%d,55%%,78%%)", h.Sum32()%360)
}

func shortened(text string, room int) string {
	if utf8.RuneCountInString(text) <= room {
		return text
	}
	return string([]rune(text)[:room-1]) + "…"
}

// escaped makes text of an image a part of the document.
func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(safetext.Line(text))) // a Builder never fails
	return b.String()
}
