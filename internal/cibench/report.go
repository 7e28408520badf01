// The results as Markdown.

package cibench

import (
	"fmt"
	"strings"

	"buildsys/internal/bytesize"
)

// Report returns the table. Without a cache nothing depends on earlier builds, so the cold run
// stands for every row: it is that of the one Dockerfile, without the time for the upload.
func (r Results) Report() string {
	w := &report{Results: r}
	w.printf("%s. Built: %s, %d steps. Load (last minute) before each cell: %s.\n\n", r.Facts, r.What,
		r.Total, w.loads())
	w.printf("A change halfway: %s. A change in first-party code: %s.\n\n", r.Middle, r.First)
	w.table("Wall time in seconds (in brackets: of it, uploading as a command of its own)",
		func(c Cell) string {
			return seconds(c.Wall - c.Push)
		}, func(c Cell) string {
			if c.Push > 0 {
				return seconds(c.Wall) + " (" + seconds(c.Push) + ")"
			}
			return seconds(c.Wall)
		})
	traffic := func(c Cell) string {
		return fmt.Sprintf("%s + %s / %s", bytesize.Format(c.Down), bytesize.Format(c.SDK),
			bytesize.Format(c.Up))
	}
	w.table("Received + SDK image / sent", func(c Cell) string { return traffic(Cell{SDK: c.SDK}) },
		traffic)
	w.table("Steps run", func(c Cell) string { return fmt.Sprint(c.Steps) },
		func(c Cell) string { return fmt.Sprint(c.Steps) })
	w.kernels()
	w.second()
	return w.String()
}

type report struct {
	strings.Builder
	Results
}

func (w *report) printf(format string, args ...any) { fmt.Fprintf(w, format, args...) }

// loads returns the load before each cell, column by column.
func (w *report) loads() string {
	var all []string
	for _, row := range rows {
		for _, cells := range []map[Row]Cell{w.Layers, w.Ours} {
			if c, ok := cells[row]; ok {
				all = append(all, c.Load)
			}
		}
	}
	return strings.Join(all, ", ")
}

// table writes the four rows; none returns the text of the column without a cache, from the cold
// run of the Dockerfile.
func (w *report) table(title string, none, cell func(Cell) string) {
	w.printf("| %s | no cache | whole-image layer cache | buildsys |\n|---|---:|---:|---:|\n", title)
	for _, row := range rows {
		without := "–"
		if c, ok := w.Layers[Cold]; ok {
			without = none(c)
			if row != Cold {
				without = "= " + without
			}
		}
		texts := []string{without}
		for _, cells := range []map[Row]Cell{w.Layers, w.Ours} {
			text := "not measured"
			if c, ok := cells[row]; ok {
				text = cell(c)
			}
			texts = append(texts, text)
		}
		w.printf("| %s | %s |\n", row, strings.Join(texts, " | "))
	}
	w.printf("\n")
}

// kernels lists the cells that built the kernel, because one long step decides what an order costs.
func (w *report) kernels() {
	var all []string
	for _, row := range rows {
		for _, column := range []struct {
			name  string
			cells map[Row]Cell
		}{{"layer cache", w.Layers}, {"buildsys", w.Ours}} {
			if c := column.cells[row]; c.Kernel > 0 {
				all = append(all, fmt.Sprintf("%s, %s: %.0f s", column.name, row, c.Kernel))
			}
		}
	}
	if len(all) > 0 {
		w.printf("Of these, the kernel alone took: %s.\n\n", strings.Join(all, "; "))
	}
}

// second writes the cost of a run with everything in the cache, relative to the cold run and to the
// size of the outputs.
func (w *report) second() {
	cold, ok := w.Ours[Cold]
	second, also := w.Ours[Second]
	if !ok || !also {
		return
	}
	w.printf("Second run of buildsys: %.3f of the cold run's wall time; the bytes received are "+
		"%.3f of those of the final outputs.\n", second.Wall/cold.Wall,
		float64(second.Down+second.SDK)/float64(second.Outputs))
}

// seconds formats a duration with as many digits as are significant.
func seconds(s float64) string {
	if s < 10 {
		return fmt.Sprintf("%.1f", s)
	}
	return fmt.Sprintf("%.0f", s)
}
