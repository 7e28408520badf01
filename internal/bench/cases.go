// The cases that are timed, and the rounds in which all peers take turns.

package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"buildsys/internal/buildtest"
)

// contender is a peer with its trees.
type contender struct {
	peer
	m      machine
	tree   *tree
	skewed *tree
	root   string // name of the package near the bottom that is changed
	// behind means that the last build of tree failed or was skipped, so the next would have too
	// much to do.
	behind bool
}

// scenario is one row of the tables. Scenarios run in order, each on what the one before has left.
type scenario struct {
	title string
	slow  bool // left out of a quick run
	fresh bool // does not depend on the cases before
	// breaks means that the tree is incomplete afterwards.
	breaks bool
	run    func(context.Context, *contender) (sample, error)
}

var scenarios = []scenario{
	{title: "cold", fresh: true, run: func(ctx context.Context, c *contender) (sample, error) {
		return c.cold(ctx, c.tree, false)
	}},
	{title: "no-op", run: func(ctx context.Context, c *contender) (sample, error) {
		return c.noop(ctx)
	}},
	{title: "every file touched", run: func(ctx context.Context, c *contender) (sample, error) {
		return c.touched(ctx)
	}},
	{title: "one leaf changed", run: func(ctx context.Context, c *contender) (sample, error) {
		return c.leaf(ctx)
	}},
	{title: "root changed, same output", run: func(ctx context.Context, c *contender) (sample, error) {
		return c.edited(ctx, c.root, func(s *spec) { s.comment++ })
	}},
	{title: "root changed", run: func(ctx context.Context, c *contender) (sample, error) {
		return c.edited(ctx, c.root, func(s *spec) { s.salt = c.salt() })
	}},
	{title: "fresh clone", slow: true, run: func(ctx context.Context, c *contender) (sample, error) {
		return c.clone(ctx)
	}},
	{title: "one package fails", slow: true, fresh: true, breaks: true,
		run: func(ctx context.Context, c *contender) (sample, error) {
			return c.cold(ctx, c.tree, true)
		}},
	{title: "skewed durations, cold", slow: true, fresh: true, breaks: true,
		run: func(ctx context.Context, c *contender) (sample, error) {
			return c.cold(ctx, c.skewed, false)
		}},
}

func newContender(m machine, p peer, pkgs []pkg) (*contender, error) {
	c := &contender{peer: p, m: m, root: pick(pkgs, false, 26)}
	var err error
	if c.tree, err = c.write("tree", pkgs); err == nil {
		c.skewed, err = c.write("skewed", skewed())
	}
	return c, err
}

func (c *contender) write(name string, pkgs []pkg) (*tree, error) {
	t, err := newTree(filepath.Join(c.m.Work, "trees", dirName(c.name), name), pkgs)
	if err != nil {
		return nil, err
	}
	return t, write(t.dir, c.files(pkgs))
}

// dirName returns the name of a peer as a directory name.
func dirName(name string) string {
	out := []byte(strings.ToLower(name))
	for i, b := range out {
		if (b < 'a' || b > 'z') && (b < '0' || b > '9') {
			out[i] = '-'
		}
	}
	return string(out)
}

// salt returns a different text each time and for every peer: an input with it was never built
// before.
func (c *contender) salt() string { return fmt.Sprintf("%s %x", dirName(c.name), rand.Uint64()) }

// build runs the peer in t and checks its outputs.
func (c *contender) build(ctx context.Context, t *tree, fails, offline bool) (sample, error) {
	cmd := c.run(t.dir, t.pkgs)
	if offline {
		cmd.env = append(cmd.env, c.offline...)
	}
	s, err := cmd.run(ctx, fails)
	if err != nil {
		return s, err
	}
	good, want, wrong := t.check(c.output)
	if s.done = good; good < want && !fails {
		return s, fmt.Errorf("%s left %d of %d outputs as expected; the first wrong one is of %s", c.name,
			good, want, wrong)
	}
	return s, nil
}

// cold builds everything anew, with inputs that were never built before and no outputs in the tree.
// With fails, one package in the middle of the graph does not build.
func (c *contender) cold(ctx context.Context, t *tree, fails bool) (sample, error) {
	for _, name := range c.made {
		if err := os.RemoveAll(filepath.Join(t.dir, name)); err != nil {
			return sample{}, err
		}
	}
	salt := c.salt()
	if err := t.edit("", func(s *spec) { s.salt, s.fail = salt, false }); err != nil {
		return sample{}, err
	}
	if fails {
		if err := t.edit(pick(t.pkgs, true, 10), func(s *spec) { s.fail = true }); err != nil {
			return sample{}, err
		}
	}
	return c.build(ctx, t, fails, false)
}

// noop runs the peer with nothing to do, several times if that is quick, and returns the median
// run.
func (c *contender) noop(ctx context.Context) (sample, error) {
	var runs []sample
	for begin := time.Now(); len(runs) == 0 || (len(runs) < 9 && time.Since(begin) < 2*time.Second); {
		s, err := c.build(ctx, c.tree, false, true)
		if err != nil {
			return s, err
		}
		fmt.Fprintf(c.m.Log, "  no-op, %s: %.3f s\n", c.name, s.wall)
		runs = append(runs, s)
	}
	s := runs[0]
	s.wall, s.cpu = median(runs, wallOf), median(runs, cpuOf)
	return s, nil
}

func (c *contender) touched(ctx context.Context) (sample, error) {
	if err := c.tree.touch("packages", "tools"); err != nil {
		return sample{}, err
	}
	return c.build(ctx, c.tree, false, true)
}

// edited changes one package's spec and builds.
func (c *contender) edited(ctx context.Context, name string, change func(*spec)) (sample, error) {
	if err := c.tree.edit(name, change); err != nil {
		return sample{}, err
	}
	return c.build(ctx, c.tree, false, false)
}

// leaf changes the package that is built last; no package needs it.
func (c *contender) leaf(ctx context.Context) (sample, error) {
	name := c.tree.pkgs[len(c.tree.pkgs)-1].name
	s, err := c.edited(ctx, name, func(s *spec) { s.salt = c.salt() })
	if err != nil || c.offline == nil {
		return s, err
	}
	solve, err := c.tookLast(ctx, name)
	s.own = s.wall - solve
	return s, err
}

// clone builds a copy of the tree without outputs, like another checkout of the same commit.
func (c *contender) clone(ctx context.Context) (sample, error) {
	t := c.tree.moved(c.tree.dir + "-clone")
	if err := os.RemoveAll(t.dir); err != nil {
		return sample{}, err
	}
	if err := os.CopyFS(t.dir, os.DirFS(c.tree.dir)); err != nil {
		return sample{}, err
	}
	for _, name := range c.made {
		if err := os.RemoveAll(filepath.Join(t.dir, name)); err != nil {
			return sample{}, err
		}
	}
	return c.build(ctx, t, false, true)
}

// tookLast returns how long, according to buildsys, the last build of a package took on the engine,
// in seconds.
func (c *contender) tookLast(ctx context.Context, name string) (float64, error) {
	cmd := exec.CommandContext(ctx, c.m.Buildsys, "plan", "--json", name)
	cmd.Dir, cmd.Env = c.tree.dir, append(os.Environ(), c.run(c.tree.dir, nil).env...)
	data, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("buildsys plan --json: %w", err)
	}
	var plan struct {
		Steps []struct {
			Step    string
			Seconds float64
		}
	}
	if err := json.Unmarshal(data, &plan); err != nil {
		return 0, fmt.Errorf("buildsys plan --json: %w", err)
	}
	for _, s := range plan.Steps {
		if s.Step == "package/"+name && s.Seconds > 0 {
			return s.Seconds, nil
		}
	}
	return 0, fmt.Errorf("buildsys plan --json does not say how long %s took", name)
}

// catchUp builds what an earlier case should have built but did not. A second attempt is often
// enough.
func (c *contender) catchUp(ctx context.Context) error {
	if !c.behind {
		return nil
	}
	_, err := c.build(ctx, c.tree, false, false)
	if err != nil {
		return fmt.Errorf("not tried, because the case before it could not be completed: %w", err)
	}
	c.behind = false
	return nil
}

// take runs one case.
func (s scenario) take(ctx context.Context, c *contender) (sample, error) {
	if !s.fresh {
		if err := c.catchUp(ctx); err != nil {
			return sample{}, err
		}
	}
	one, err := s.run(ctx, c)
	c.behind = err != nil || s.breaks
	return one, err
}

// leftOut reports whether a case was not requested.
func (o Options) leftOut(s scenario) bool {
	return s.slow && o.Quick || o.Cases != nil && !o.Cases.MatchString(s.title)
}

// results are the samples by scenario and contender.
type results map[string]map[string][]sample

// play runs all rounds. In each, the peers take turns case by case, and each round starts with
// another peer, so that a change in the machine's speed affects all of them. A case that fails is
// reported and has no figure. busiest is how many processors others kept busy before a round, at
// most.
func play(ctx context.Context, o Options, contenders []*contender) (got results,
	busiest float64) {
	got = results{}
	for _, s := range scenarios {
		got[s.title] = map[string][]sample{}
	}
	for round := range o.Rounds {
		busiest = max(busiest, buildtest.Busy(2*time.Second))
		for _, s := range scenarios {
			if o.leftOut(s) {
				continue
			}
			for i := range contenders {
				if ctx.Err() != nil {
					return got, busiest
				}
				c := contenders[(i+round)%len(contenders)]
				one, err := s.take(ctx, c)
				if ctx.Err() != nil {
					return got, busiest
				}
				if err != nil {
					fmt.Fprintf(o.Log, "round %d, %s, %s: %v\n", round+1, s.title, c.name, err)
					continue
				}
				fmt.Fprintf(o.Log, "round %d, %s, %s: %.3f s, %d jobs\n", round+1, s.title, c.name, one.wall,
					one.jobs)
				got[s.title][c.name] = append(got[s.title][c.name], one)
			}
		}
	}
	return got, busiest
}
