// Package picture draws what a terminal shows as an SVG, for the documents. It takes the text with
// escape sequences that tmux captures of a real terminal.
package picture

import (
	"fmt"
	"html"
	"io"
	"strings"

	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
)

// The size of a cell and the margin, in pixels.
const (
	cellWidth, cellHeight, margin = 8, 18, 14
)

const style = `<style>
  text { font: 13px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre; }
</style>
`

// The colours of a dark terminal.
const background, foreground, faint = "#1b2027", "#e6e9ee", "#8b95a5"

// palette has the first 16 colours of a terminal.
var palette = []string{
	"#1b2027", "#ff6b68", "#5fd38a", "#e8c268", "#6aa9ff", "#c792ea", "#56c7d6", "#e6e9ee",
	"#5c6370", "#ff8a87", "#7fe3a3", "#f2d58a", "#8abeff", "#d9b1f2", "#7fdce8", "#ffffff",
}

// Draw writes the picture of a text in a terminal of so many columns. Empty rows at its end are
// left out.
func Draw(w io.Writer, text string, columns int) error {
	rows := strings.Count(strings.TrimRight(text, "\n"), "\n") + 1
	terminal := vt.NewEmulator(columns, rows)
	defer terminal.Close()
	text = strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\r\n")
	if _, err := io.WriteString(terminal, text); err != nil {
		return err
	}
	for rows > 1 && blank(terminal, columns, rows-1) {
		rows--
	}
	var b strings.Builder
	width, height := columns*cellWidth+2*margin, rows*cellHeight+2*margin
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" `+
		"viewBox=\"0 0 %d %d\">\n%s", width, height, width, height, style)
	fmt.Fprintf(&b, "<rect width=\"100%%\" height=\"100%%\" rx=\"8\" fill=\"%s\"/>\n", background)
	for y := range rows {
		for _, run := range runs(terminal, columns, y) {
			run.draw(&b, y)
		}
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func blank(t *vt.Emulator, columns, y int) bool {
	for x := range columns {
		if c := t.CellAt(x, y); c != nil && strings.TrimSpace(c.Content) != "" {
			return false
		}
	}
	return true
}

// run is text of one style.
type run struct {
	x     int
	text  string
	cells int
	style uv.Style
}

// runs returns the runs of a row.
func runs(t *vt.Emulator, columns, y int) (all []run) {
	for x := 0; x < columns; {
		c := t.CellAt(x, y)
		if c == nil || c.Content == "" {
			x++
			continue
		}
		width := max(c.Width, 1)
		if n := len(all); n > 0 && all[n-1].x+all[n-1].cells == x && all[n-1].style.Equal(&c.Style) {
			all[n-1].text += c.Content
			all[n-1].cells += width
		} else {
			all = append(all, run{x, c.Content, width, c.Style})
		}
		x += width
	}
	return all
}

func (r run) draw(b *strings.Builder, y int) {
	blanks := len(r.text) - len(strings.TrimLeft(r.text, " "))
	r.x += blanks
	r.cells -= len(r.text) - len(strings.Trim(r.text, " "))
	if r.text = strings.Trim(r.text, " "); r.text == "" {
		return
	}
	attrs := fmt.Sprintf(`fill="%s"`, hex(r.style))
	if r.style.Attrs&uv.AttrBold != 0 {
		attrs += ` font-weight="bold"`
	}
	// textLength keeps columns in line in any font.
	fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" textLength=\"%d\" lengthAdjust=\"spacingAndGlyphs\" "+
		"%s>%s</text>\n", margin+r.x*cellWidth, margin+y*cellHeight+13, r.cells*cellWidth, attrs,
		html.EscapeString(r.text))
}

// hex returns the colour of a style's text.
func hex(s uv.Style) string {
	switch c, basic := s.Fg.(ansi.BasicColor); {
	case basic && int(c) < len(palette):
		return palette[c]
	case s.Attrs&uv.AttrFaint != 0:
		return faint
	}
	return foreground
}
