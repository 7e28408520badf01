// The figures as Markdown.

package loopbench

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Report returns the tables.
func (r Results) Report() string {
	var w strings.Builder
	fmt.Fprintf(&w, "%s, medians of %d rounds. %s.\n", time.Now().UTC().Format(time.DateOnly),
		r.Rounds, r.Facts)
	if busiest := r.busiest(); busiest >= quiet {
		fmt.Fprintf(&w, "\nThe machine was not quiet: others kept up to %.1f processors busy.\n",
			busiest)
	}
	r.loop(&w)
	r.packages(&w)
	return w.String()
}

// loop writes the cases of the image.
func (r Results) loop(w *strings.Builder) {
	title := "\n| " + variant + " | wall (s) | processor time (s) |\n|---|---:|---:|\n"
	for _, name := range r.names() {
		what, isLoop := strings.CutPrefix(name, variant+", ")
		if !isLoop {
			continue
		}
		fmt.Fprintf(w, "%s| %s | %s | %s |\n", title, what, seconds(r.median(name, wallOf)),
			seconds(r.median(name, cpuOf)))
		title = ""
	}
}

// packages writes a row for each package and way: wall time, and in brackets processor time and the
// wall time divided by that of cold without.
func (r Results) packages(w *strings.Builder) {
	whats := []string{"cold", "one file", "a header", "configuration"}
	title := "\n| package | compiler cache | " + strings.Join(whats, " | ") +
		" |\n|---|---|---:|---:|---:|---:|\n"
	for _, p := range subjects {
		without := r.median(p.name+", cold, without", wallOf)
		if math.IsNaN(without) {
			continue
		}
		w.WriteString(title)
		title = ""
		for _, way := range []string{"without", "local", "remote"} {
			fmt.Fprintf(w, "| %s | %s |", p.name, way)
			for _, what := range whats {
				name := p.name + ", " + what + ", " + way
				if wall := r.median(name, wallOf); math.IsNaN(wall) {
					w.WriteString(" |")
				} else {
					fmt.Fprintf(w, " %s s (%s s; %.2f) |", seconds(wall), seconds(r.median(name, cpuOf)),
						wall/without)
				}
			}
			w.WriteString("\n")
		}
	}
}

// seconds formats a duration with as many digits as are significant.
func seconds(s float64) string {
	if s < 1 {
		return fmt.Sprintf("%.2f", s)
	}
	return fmt.Sprintf("%.1f", s)
}
