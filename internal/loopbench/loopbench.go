// Package loopbench times what a person waits for who changes the sample OS: a build of which
// nothing has changed, an image after an edit, a machine that has nothing but a remote cache, and
// packages whose sources compilers have seen before. Everything is real: the engine of this
// machine, a clone of this repository, and directories of their own for what is kept.
package loopbench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"buildsys/internal/buildtest"
	"buildsys/internal/figures"
)

// Options is what to measure, and with which program.
type Options struct {
	Checkout  string // repository to clone; its last commit is built
	Buildsys  string // the program
	Lookaside string // directory with the sources
	Work      string // directory for the clone and what is kept; emptied
	Rounds    int
	// Cases and Packages, if not nil, select what is measured: cases of the loop by their names, and
	// packages by theirs.
	Cases, Packages *regexp.Regexp
	Log             io.Writer
}

// quiet is how many processors others may keep busy on a quiet machine.
const quiet = buildtest.Quiet

// sample is what one command took.
type sample struct {
	wall float64 // seconds
	// cpu is the processor time in seconds of the whole machine: engine, containers and client.
	cpu  float64
	busy float64 // processors that others kept busy before it
}

// Results has the samples of all rounds by what was measured.
type Results struct {
	Facts   string
	Rounds  int
	samples map[string][]sample
}

// Run measures. If a command fails, or ctx ends, the results have what was measured before.
func Run(ctx context.Context, o Options) (Results, error) {
	r := Results{Facts: buildtest.Hardware() + ", load " + buildtest.LoadAverage() + " at the start",
		Rounds: o.Rounds, samples: map[string][]sample{}}
	var errs []error
	for round := range o.Rounds {
		for _, part := range []func(context.Context, *scene) error{loop, packages} {
			s := &scene{Options: o, round: round, results: r.samples}
			err := s.begin(ctx)
			if err == nil {
				err = part(ctx, s)
			}
			errs = append(errs, err)
		}
	}
	return r, errors.Join(errs...)
}

// Figures returns the medians. They are those of a quiet machine if it was so before every command.
func (r Results) Figures() figures.Run {
	run := figures.Run{Machine: buildtest.Hardware(), Quiet: r.busiest() < quiet}
	for _, name := range r.names() {
		run.Figures = append(run.Figures,
			figures.Figure{Name: name + ": wall", Value: r.median(name, wallOf), Unit: "s"},
			figures.Figure{Name: name + ": processor time", Value: r.median(name, cpuOf), Unit: "s"})
	}
	return run
}

func (r Results) names() []string {
	var names []string
	for name := range r.samples {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// busiest returns how many processors others kept busy before a command, at most.
func (r Results) busiest() float64 {
	var most float64
	for _, samples := range r.samples {
		for _, s := range samples {
			most = max(most, s.busy)
		}
	}
	return most
}

func wallOf(s sample) float64 { return s.wall }
func cpuOf(s sample) float64  { return s.cpu }

// median returns the median of a figure; NaN if it was not measured.
func (r Results) median(name string, figure func(sample) float64) float64 {
	var all []float64
	for _, s := range r.samples[name] {
		all = append(all, figure(s))
	}
	if len(all) == 0 {
		return math.NaN()
	}
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

// scene is one round: a clone, and a remote cache that starts empty.
type scene struct {
	Options
	round   int
	results map[string][]sample
	tree    string
	place   string // the remote cache, a directory
	edits   int
}

// begin makes the clone.
func (s *scene) begin(ctx context.Context) error {
	if err := os.RemoveAll(s.Work); err != nil {
		return err
	}
	s.tree, s.place = filepath.Join(s.Work, "tree"), filepath.Join(s.Work, "place")
	if err := os.MkdirAll(s.place, 0o755); err != nil {
		return err
	}
	return s.run(ctx, s.Work, "git", "clone", "--quiet", "--no-local", "--depth", "1",
		"file://"+s.Checkout, s.tree)
}

// build runs buildsys in the clone, and returns what it took. cache is a cache directory below the
// working directory; empty is the user's own.
func (s *scene) build(ctx context.Context, cache string, args ...string) (sample, error) {
	env := []string{"BUILDSYS_LOOKASIDE_CACHE=" + s.Lookaside, "BUILDSYS_VERSION_BUILD=00000000"}
	if cache != "" {
		env = append(env, "BUILDSYS_CACHE_DIR="+filepath.Join(s.Work, cache))
	}
	taken := sample{busy: buildtest.Busy(2 * time.Second)}
	begin, before := time.Now(), buildtest.ProcessorTime()
	err := s.runWith(ctx, s.tree, env, s.Buildsys, args...)
	taken.wall = time.Since(begin).Seconds()
	taken.cpu = buildtest.ProcessorTime() - before
	return taken, err
}

// measure builds and keeps what it took under a name.
func (s *scene) measure(ctx context.Context, name, cache string, args ...string) error {
	taken, err := s.build(ctx, cache, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s.results[name] = append(s.results[name], taken)
	warning := ""
	if taken.busy >= quiet {
		warning = fmt.Sprintf("; NOT QUIET: others kept %.1f processors busy before it", taken.busy)
	}
	fmt.Fprintf(s.Log, "%s round %d, %s: %.2f s, processor time %.2f s%s\n",
		time.Now().UTC().Format(time.TimeOnly), s.round+1, name, taken.wall, taken.cpu, warning)
	return nil
}
