// summary: a page about runs, in Markdown.

package ciservice

import (
	"fmt"
	"html"
	"io"
	"strings"

	"buildsys/internal/progress"
)

// maxRows is how many steps of a run a page lists, the failed ones first.
const maxRows = 200

// WriteSummary writes a page about runs: how each ended, its steps, and the failures with the lines
// that matter.
func WriteSummary(w io.Writer, runs []Run) error {
	var b strings.Builder
	for _, r := range runs {
		r.write(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Run) write(b *strings.Builder) {
	sign := "✅"
	if r.count(Failed)+r.count(Cancelled) > 0 {
		sign = "❌"
	}
	fmt.Fprintf(b, "## %s %s\n\n%d built, %d from caches", sign, cell(r.Name()), r.count(Built),
		r.count(Cached))
	for _, o := range []Outcome{Failed, Skipped, Cancelled} {
		if n := r.count(o); n > 0 {
			fmt.Fprintf(b, ", %d %s", n, o)
		}
	}
	fmt.Fprintf(b, " in %s\n\n", progress.Took(r.Took))
	r.writeSteps(b)
	for _, s := range r.Steps {
		if s.Outcome == Failed {
			s.write(b)
		}
	}
}

// writeSteps lists what was worked on: cached steps are only counted.
func (r Run) writeSteps(b *strings.Builder) {
	rows := 0
	for _, only := range []Outcome{Failed, Cancelled, Built, Skipped} {
		for _, s := range r.Steps {
			if s.Outcome != only {
				continue
			}
			switch rows++; {
			case rows == 1:
				b.WriteString("| step | | time | |\n|---|---|---|---|\n")
			case rows > maxRows:
				continue
			}
			took := ""
			if s.Took > 0 {
				took = progress.Took(s.Took)
			}
			fmt.Fprintf(b, "| %s | %s | %s | %s |\n", cell(progress.Name(s.ID)), s.Outcome, took,
				cell(s.Why))
		}
	}
	if rows > maxRows {
		fmt.Fprintf(b, "\n… and %d more\n", rows-maxRows)
	}
	if rows > 0 {
		b.WriteString("\n")
	}
}

// write shows a failure.
func (s Step) write(b *strings.Builder) {
	fmt.Fprintf(b, "<details><summary>%s: %s</summary>\n\n", cell(progress.Name(s.ID)), cell(s.Why))
	if s.Hint != "" {
		fmt.Fprintf(b, "%s\n\n", cell(s.Hint))
	}
	b.WriteString("<pre>\n")
	for _, line := range cleanLines(s.Lines) {
		b.WriteString(html.EscapeString(line) + "\n")
	}
	b.WriteString("</pre>\n\n</details>\n\n")
}

// cell makes text a part of a line of Markdown that is nothing but text.
func cell(text string) string {
	text = html.EscapeString(progress.Clean(text))
	return strings.NewReplacer("|", "&#124;", "`", "&#96;", "*", "&#42;", "_", "&#95;", "[", "&#91;",
		"]", "&#93;", "!", "&#33;", "@", "&#64;", "~", "&#126;", "\\", "&#92;",
		"\n", " ").Replace(text)
}
