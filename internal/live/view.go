// view: the rows that show a model in so many columns and rows.

package live

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/clipperhouse/displaywidth"

	"buildsys/internal/bytesize"
	"buildsys/internal/progress"
)

// Style is how rows look.
type Style struct {
	Color bool
	ASCII bool // the terminal's characters are no UTF-8
}

// The colours that are used, by the numbers of SGR.
const (
	bold, dim, red, green, yellow, cyan = "1", "2", "31", "32", "33", "36"
)

// paint colours text that is clean.
func (s Style) paint(color, text string) string {
	if !s.Color || text == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[m"
}

// glyph returns a sign, or its stand-in.
func (s Style) glyph(sign, ascii string) string {
	if s.ASCII {
		return ascii
	}
	return sign
}

// clean makes any text a part of a row: safe, and of a width that all terminals agree on.
// Characters that only change the one before them are left out.
func (s Style) clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r < 0x7f:
			return r
		case s.ASCII:
			return '?'
		case r == 0x200d, r >= 0xfe00 && r <= 0xfe0f, r >= 0x1f3fb && r <= 0x1f3ff:
			return -1
		}
		return r
	}, progress.Clean(text))
}

// cut returns a row in at most width columns.
func (s Style) cut(row string, width int) string {
	return wide.TruncateString(row, width, s.glyph("…", "~"))
}

// wide measures texts in columns. Sequences that colour have none.
var wide = displaywidth.Options{ControlSequences: true}

// pad fills a text with blanks to a width.
func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(width-wide.String(text), 0))
}

// rows shows the model in at most height rows of at most width columns.
func (m *model) rows(s Style, now time.Time, width, height int) []string {
	if width < 1 || height < 1 {
		return nil
	}
	out := []string{m.head(s, now, width)}
	if m.planned {
		out = append(out, m.bar(s, now, width))
	}
	if m.note != "" {
		out = append(out, "  "+s.paint(dim, s.clean(m.note)))
	}
	room := max(height-len(out), 0)
	causes := m.failures(s, min(len(m.causes), max(room/3, 1)))
	out = append(out, m.activity(s, now, width, room-len(causes))...)
	out = append(out, causes...)
	for i := range out {
		out[i] = s.cut(out[i], width)
	}
	return out[:min(len(out), height)]
}

// head returns what is built, for how long, until when, and where.
func (m *model) head(s Style, now time.Time, width int) string {
	times := "  " + clock(now.Sub(m.begin))
	switch rest := m.end.Sub(now); {
	case m.end.IsZero():
	case rest > 0 && m.late(now):
		times += fmt.Sprintf(", more than %s left", progress.About(rest))
	case rest > 0:
		times += fmt.Sprintf(", about %s left", progress.About(rest))
	default:
		times += ", later than expected"
	}
	title := s.clean(m.title + " " + m.arch)
	if !m.planned {
		title = "fetching"
	} else if wide.String(title+times) > width {
		title = s.cut(s.clean(m.title), max(width-len(times), 1))
	}
	left := s.paint(bold, title) + times
	engine := s.clean(m.engine)
	if wide.String(left+engine)+2 > width { // its address is what one knows best
		words := slices.DeleteFunc(strings.Fields(engine), func(word string) bool {
			return strings.Contains(word, "://")
		})
		engine = strings.Join(words, " ")
	}
	gap := width - wide.String(left) - wide.String(engine)
	if gap < 2 || engine == "" {
		return left
	}
	return left + strings.Repeat(" ", gap) + s.paint(dim, engine)
}

// clock formats a time that goes on: "4s", "1m05s".
func clock(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%ds", max(int(d.Seconds()), 0))
	}
	return progress.Took(d.Truncate(time.Second))
}

// bar shows how much of the work is done, and what came from where.
func (m *model) bar(s Style, now time.Time, width int) string {
	done, all := m.work(now)
	share := 1.0
	if all > 0 {
		share = float64(done) / float64(all)
	}
	cells := min(max(width/4, 8), 30)
	full := int(share * float64(cells))
	row := s.paint(cyan, strings.Repeat(s.glyph("━", "#"), full)) +
		s.paint(dim, strings.Repeat(s.glyph("─", "-"), cells-full)) +
		fmt.Sprintf(" %2d%%  %d of %d steps", int(share*100), m.done, m.total)
	if n, took := m.saved(); n > 0 {
		row += fmt.Sprintf(", %d from caches", n)
		if took > 0 {
			row += fmt.Sprintf(" (%s saved)", progress.About(took))
		}
	}
	if n := len(m.causes); n > 0 {
		row += ", " + s.paint(red, fmt.Sprintf("%d failed", n))
	}
	return row
}

// activity shows the steps that run or wait for files, in at most room rows.
func (m *model) activity(s Style, now time.Time, width, room int) []string {
	var rows []string
	names := 0
	for _, a := range m.active {
		names = max(names, wide.String(s.clean(a.name)))
	}
	names = min(names, max(width/4, 8))
	active := slices.Clone(m.active)
	slices.SortStableFunc(active, func(a, b *step) int { return cmp.Compare(b.state, a.state) })
	for i, a := range active {
		if more := len(active) - i; len(rows) == room-1 && more > 1 {
			rows = append(rows, s.paint(dim, fmt.Sprintf("  and %d more", more)))
		}
		if len(rows) >= room {
			return rows[:max(room, 0)]
		}
		name := pad(s.cut(s.clean(a.name), names), names)
		if a.state == fetching {
			rows = append(rows, s.glyph("↓", "v")+" "+name+"  "+s.clean(a.coming(now)))
			continue
		}
		rows = append(rows, s.paint(green, s.glyph("▸", ">"))+" "+name+"  "+a.doing(s, now, width))
	}
	return rows
}

// doing returns how long a step has run of how long it takes, and what it said last.
func (a *step) doing(s Style, now time.Time, width int) string {
	took := max(now.Sub(a.begin), 0)
	row := clock(took)
	if a.known {
		of := row + " of ~" + progress.About(a.expected)
		if a.late(now) {
			of = s.paint(yellow, of)
		}
		row = of
	}
	row = pad(row, 15)
	if width >= 60 {
		row += "  " + s.paint(cyan, pad(s.clean(a.phase), 8))
	}
	if a.engine != "" && width >= 100 {
		row += " " + s.paint(dim, s.clean(a.engine))
	}
	return row + " " + s.paint(dim, s.clean(a.last))
}

// coming returns how far the files are that a step waits for.
func (a *step) coming(now time.Time) string {
	text := clock(now.Sub(a.begin))
	for i, f := range a.files {
		if i == 3 {
			return text + fmt.Sprintf(", and %d more", len(a.files)-i)
		}
		text += ", " + f.name
		switch {
		case f.size > 0:
			text += " " + bytesize.Format(f.bytes) + " of " + bytesize.Format(f.size)
		case f.bytes > 0:
			text += " " + bytesize.Format(f.bytes)
		}
	}
	return text
}

// failures shows the newest failures, in at most room rows.
func (m *model) failures(s Style, room int) []string {
	var rows []string
	for i, text := range m.causes[len(m.causes)-room:] {
		if older := len(m.causes) - room; i == 0 && older > 0 {
			text += fmt.Sprintf(" (and %d before)", older)
		}
		rows = append(rows, s.paint(red, s.glyph("✗", "x")+" "+s.clean(text)))
	}
	return rows
}
