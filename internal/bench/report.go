// The figures as Markdown.

package bench

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"buildsys/internal/buildtest"
	"buildsys/internal/figures"
)

// Run makes the comparison and returns the report and the medians. If ctx ends, it stops early, and
// returns the figures so far and the cause.
func Run(ctx context.Context, o Options) (string, figures.Run, error) {
	m, stop, err := prepare(ctx, o)
	defer stop()
	if err != nil {
		return "", figures.Run{}, err
	}
	facts := m.facts(ctx)
	pkgs := layered()
	var contenders []*contender
	for _, p := range m.peers() {
		c, err := newContender(m, p, pkgs)
		if err != nil {
			return "", figures.Run{}, err
		}
		contenders = append(contenders, c)
	}
	most := 10_240
	if o.Quick {
		most = 640
	}
	var sizes []size
	if o.Cases == nil {
		if sizes, err = sizesTimed(ctx, m, most); err != nil {
			fmt.Fprintln(o.Log, err)
		}
	}
	got, busiest := play(ctx, o, contenders)
	w := &report{m: m, contenders: contenders, got: got, pkgs: pkgs, busiest: busiest}
	w.head(facts)
	w.tables()
	w.own()
	w.watched()
	w.sizes(sizes)
	return w.String(), w.figures(), context.Cause(ctx)
}

type report struct {
	strings.Builder
	m          machine
	contenders []*contender
	got        results
	pkgs       []pkg
	busiest    float64 // processors that others kept busy before a round, at most
}

// figures returns the median wall times.
func (w *report) figures() figures.Run {
	run := figures.Run{Machine: buildtest.Hardware(), Quiet: w.busiest < buildtest.Quiet}
	for _, s := range scenarios {
		for _, c := range w.contenders {
			if wall := w.wall(s.title, c.name); !math.IsNaN(wall) {
				run.Figures = append(run.Figures, figures.Figure{Name: s.title + ", " + c.name + ": wall",
					Value: wall, Unit: "s"})
			}
		}
	}
	return run
}

func (w *report) printf(format string, args ...any) { fmt.Fprintf(w, format, args...) }

func (w *report) head(facts string) {
	links := 0
	for _, p := range w.pkgs {
		links += len(p.needs)
	}
	rounds := 0 // the last one may be incomplete
	for _, samples := range w.got[scenarios[0].title] {
		rounds = max(rounds, len(samples))
	}
	w.printf("%s, medians of up to %d rounds. %s. BuildKit %s, buildx %s.\n\n",
		time.Now().UTC().Format(time.DateOnly), rounds, facts,
		orUnknown(w.m.BuildKitVersion), orUnknown(w.m.BuildxVersion))
	w.printf("The tree: %d packages, %d build edges, critical path %.1f s; `root` is a package that "+
		"%d others need, directly or not. "+
		"Jobs sleep 0.2 s. %d jobs at once.\n", len(w.pkgs), links, criticalPath(w.pkgs),
		len(affected(w.pkgs, w.contenders[0].root))-1, w.m.Jobs)
	if w.busiest >= buildtest.Quiet {
		w.printf("\nThe machine was not quiet: others kept up to %.1f processors busy.\n", w.busiest)
	}
	for _, text := range w.m.missing {
		w.printf("\nLeft out: %s.\n", text)
	}
}

func orUnknown(version string) string {
	if version == "" {
		return "not used"
	}
	return version
}

// table writes one row for each scenario that was run; cell returns the text for a peer's samples,
// of which there is at least one.
func (w *report) table(title string, cell func(c *contender, s scenario, samples []sample) string) {
	w.printf("\n%s\n\n| |", title)
	for _, c := range w.contenders {
		w.printf(" %s |", c.name)
	}
	w.printf("\n|---|%s\n", strings.Repeat("---:|", len(w.contenders)))
	for _, s := range scenarios {
		if w.m.leftOut(s) {
			continue
		}
		w.printf("| %s |", s.title)
		for _, c := range w.contenders {
			text := "failed"
			if samples := w.got[s.title][c.name]; len(samples) > 0 {
				text = cell(c, s, samples)
			}
			w.printf(" %s |", text)
		}
		w.printf("\n")
	}
}

func (w *report) tables() {
	w.table("Wall time in seconds:", func(_ *contender, _ scenario, samples []sample) string {
		return seconds(median(samples, wallOf))
	})
	w.table("Wall time of buildsys on the Docker engine divided by the peer's:",
		func(c *contender, s scenario, samples []sample) string {
			return ratio(w.wall(s.title, w.contenders[0].name), median(samples, wallOf))
		})
	w.table("Jobs that ran / builds asked of the engine (in the row of the package that fails: "+
		"outputs there at the end):",
		func(c *contender, s scenario, samples []sample) string {
			ran := int(median(samples, jobsOf))
			if s.title == "one package fails" {
				return fmt.Sprintf("%.0f", median(samples, doneOf))
			}
			if c.watched {
				return "not counted"
			}
			return fmt.Sprintf("%d / %d", ran, c.solves(w.pkgs, ran))
		})
	w.table("Processor time of the client in seconds (ninja's includes the jobs):",
		func(_ *contender, _ scenario, samples []sample) string {
			return seconds(median(samples, cpuOf))
		})
}

// wall returns a median wall time in seconds; NaN if there is none.
func (w *report) wall(title, name string) float64 { return median(w.got[title][name], wallOf) }

// own writes how much time buildsys itself adds to one solve.
func (w *report) own() {
	own := median(w.got["one leaf changed"][w.contenders[0].name], ownOf)
	if !math.IsNaN(own) {
		w.printf("\nOne leaf changed: %.3f s beside the solve.\n", own)
	}
}

// watched writes what the live view costs: its processor time as a share of the time that the build
// took, and the wall time beside that of the same build on a pipe.
func (w *report) watched() {
	for _, c := range w.contenders {
		live := w.got["cold"][c.name]
		if !c.watched || len(live) == 0 {
			continue
		}
		pipe := w.got["cold"][w.contenders[0].name]
		extra := median(live, cpuOf) - median(pipe, cpuOf)
		w.printf("\nThe live view, cold: %s of the wall time on a pipe; "+
			"its processor time is %+.1f %% of that.\n",
			ratio(median(live, wallOf), median(pipe, wallOf)), 100*extra/median(pipe, wallOf))
	}
}

func (w *report) sizes(sizes []size) {
	w.printf("\n`buildsys plan` of an image with all packages, nothing to do, no engine:\n\n")
	w.printf("| packages | wall (s) | per doubling | processor (s) | per doubling | memory (MiB) | " +
		"per doubling |\n|---:|---:|---:|---:|---:|---:|---:|\n")
	for i, s := range sizes {
		if i == 0 {
			w.printf("| %d | %s | | %s | | %.0f | |\n", s.packages, seconds(s.wall), seconds(s.cpu), s.rss)
			continue
		}
		before := sizes[i-1]
		w.printf("| %d | %s | %.2f | %s | %.2f | %.0f | %.2f |\n", s.packages, seconds(s.wall),
			s.wall/before.wall,
			seconds(s.cpu), s.cpu/before.cpu, s.rss, s.rss/before.rss)
	}
}

// seconds formats a duration with as many digits as are significant.
func seconds(s float64) string {
	if s < 1 {
		return fmt.Sprintf("%.3f", s)
	}
	return fmt.Sprintf("%.1f", s)
}

func ratio(ours, theirs float64) string {
	r := ours / theirs
	switch {
	case math.IsNaN(r):
		return "–"
	case r < 0.1:
		return fmt.Sprintf("%.3f", r)
	}
	return fmt.Sprintf("%.2f", r)
}
