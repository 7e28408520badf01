// ci: files for CI services, made from the dependency graph.

package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"buildsys/internal/codebuild"
	"buildsys/internal/manifest"
	"buildsys/internal/plan"
	"buildsys/internal/workspace"
)

// maxNodes is a planning number: CodeBuild documents no limit for a build graph, an account runs 20 builds of a kind at once by
// default, and five times as many may wait in the queue.
const maxNodes = 100

// nodeWork is how much work is worth a build of its own: container, engine and SDK image take one to two minutes to be there.
const nodeWork = 5 * time.Minute

// unknownPerNode is how many packages go into one build when no duration was ever recorded.
const unknownPerNode = 8

func newCICommand(sys *System, s *settings) *cobra.Command {
	ci := &cobra.Command{
		Use:   "ci",
		Short: "Make files for CI services",
		Args:  usage(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	ci.AddCommand(newCodeBuildCommand(sys, s))
	return ci
}

// codeBuildRequest are the flags of ci codebuild.
type codeBuildRequest struct {
	batch     bool
	phases    string
	variants  []string
	arches    []string
	durations string
	options   codebuild.Options
	settings  codebuild.Settings
}

func newCodeBuildCommand(sys *System, s *settings) *cobra.Command {
	var r codeBuildRequest
	cmd := &cobra.Command{
		Use:   "codebuild --batch [VARIANT...] | --phases BUILDSPEC",
		Short: "Print a buildspec that builds variants as a batch on AWS CodeBuild",
		Long: `With --batch: prints a buildspec with a build graph, from the dependency graph of the named variants or of all, for both
architectures or the one of --arch. Packages that take long have a build of their own, small ones are put together, and
images come last. Each build runs the buildspec of --buildspec (see ci/codebuild/) with the variables
BUILDSYS_CI_ARCHES, BUILDSYS_CI_VARIANTS and BUILDSYS_CI_PACKAGES; RPMs go from one to the next through the remote
cache. How long packages take is known from earlier builds, or from --durations.

With --phases: prints a bash script that runs the phases of a buildspec the way CodeBuild does.

` + exitStatusHelp,
		RunE: func(_ *cobra.Command, args []string) error {
			r.variants = args
			switch {
			case r.batch == (r.phases != ""):
				return usageError{errors.New("say what to make: --batch or --phases BUILDSPEC")}
			case r.phases != "" && len(args) > 0:
				return usageError{errors.New("--phases takes no variants")}
			case r.phases != "":
				return writePhases(sys, r.phases)
			}
			r.arches = manifest.Architectures()
			if s.flags.Changed("arch") {
				r.arches = nil
			}
			return writeBatch(sys, s, r)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&r.batch, "batch", false, "print a batch with a build graph")
	flags.StringVar(&r.phases, "phases", "", "print a script that runs the phases of this buildspec")
	flags.IntVar(&r.options.MaxNodes, "max-nodes", maxNodes, "most builds in the batch; CodeBuild documents no limit, but accounts run few at once")
	flags.DurationVar(&r.options.NodeWork, "node-work", nodeWork, "put small packages together up to this much work")
	flags.StringVar(&r.durations, "durations", "", "JSON file of seconds by package or variant (default: recorded ones)")
	flags.StringVar(&r.settings.Buildspec, "buildspec", "ci/codebuild/buildspec.yml", "buildspec that each build runs, a path in the source")
	flags.StringVar(&r.settings.ComputeType, "compute-type", "", "compute type of the builds (default: the project's)")
	flags.StringVar(&r.settings.Image, "image", "", "image of the builds (default: the project's)")
	return cmd
}

func writePhases(sys *System, path string) error {
	data, err := os.ReadFile(inDir(sys.Dir, path))
	if err != nil {
		return usageError{err}
	}
	spec, err := codebuild.ParseSpec(data)
	if err != nil {
		return usageError{fmt.Errorf("%s: %w", path, err)}
	}
	return codebuild.WriteScript(sys.Stdout, spec)
}

func writeBatch(sys *System, s *settings, r codeBuildRequest) error {
	c, err := s.resolve(sys)
	if err != nil {
		return err
	}
	if r.arches == nil {
		r.arches = []string{c.arch}
	}
	if r.options.MaxNodes < 1 || r.options.NodeWork <= 0 {
		return usageError{errors.New("--max-nodes and --node-work must be more than nothing")}
	}
	if r.variants, err = batchVariants(c, r.variants); err != nil {
		return err
	}
	u := unitSet{sys: sys, r: r, seen: map[string]int{}}
	for _, arch := range r.arches {
		c.arch = arch
		for _, variant := range r.variants {
			c.variant = variant
			if err := u.add(c); err != nil && !is[*plan.SkippedError](err) {
				return err
			}
		}
	}
	if len(u.units) == 0 {
		return usageError{fmt.Errorf("none of these variants is for %s: %s", strings.Join(r.arches, " or "), strings.Join(r.variants, ", "))}
	}
	nodes, err := codebuild.Layout(u.units, r.options)
	if err != nil {
		return usageError{err}
	}
	r.settings.Command = strings.Join(append([]string{"buildsys"}, sys.Args...), " ")
	return codebuild.WriteBatch(sys.Stdout, nodes, r.settings)
}

// batchVariants returns the named variants, each once, or all of the tree.
func batchVariants(c config, named []string) ([]string, error) {
	ws, err := workspace.Load(c.root, c.strictness)
	if err != nil {
		return nil, err
	}
	for _, name := range named {
		if ws.Variants[name] == nil {
			return nil, noSuch("variant", name, ws.VariantNames())
		}
	}
	if len(named) == 0 {
		named = ws.VariantNames()
	}
	if len(named) == 0 {
		return nil, usageError{errors.New("the tree has no variants")}
	}
	return slices.Compact(slices.Sorted(slices.Values(named))), nil
}

// unitSet collects what all variants and architectures need, each thing once.
type unitSet struct {
	sys   *System
	r     codeBuildRequest
	units []codebuild.Unit
	seen  map[string]int // unit by what makes it a different one
}

// add adds the steps of one variant's image. A package that is the same as in an earlier variant is not added again.
func (u *unitSet) add(c config) error {
	p, err := makePlan(c, request{variant: c.variant, unsigned: true})
	if err != nil {
		return err
	}
	cost, known, err := costs(u.sys, c, p, u.r.durations)
	if err != nil {
		return err
	}
	if known == 0 {
		cost = func(plan.Step) time.Duration { return u.r.options.NodeWork / unknownPerNode }
	}
	keys := make([]string, len(p.Steps)) // what makes each step different from others
	units := make([]int, len(p.Steps))   // unit of each step; -1 for what is a part of its package
	bundled := map[int]time.Duration{}   // cost of steps that are
	for i, step := range p.Steps {
		keys[i], units[i] = stepKey(c.arch, step, keys), -1
		if step.Kind == plan.Modules {
			bundled[i] = cost(step)
			continue
		}
		if n, ok := u.seen[keys[i]]; ok {
			units[i] = n
			continue
		}
		one := codebuild.Unit{Name: step.Name, Arch: c.arch, Variant: c.variant, Image: step.Kind == plan.Variant, Cost: cost(step)}
		for _, dep := range step.Waits {
			if units[dep] >= 0 {
				one.Deps = append(one.Deps, units[dep])
			} else {
				one.Cost += bundled[dep]
			}
		}
		units[i] = len(u.units)
		u.seen[keys[i]] = units[i]
		u.units = append(u.units, one)
	}
	return nil
}

// stepKey tells steps of different variants apart: a package is the same in both when its arguments are and those of all it
// needs. Everything else that determines it comes from the tree.
func stepKey(arch string, step plan.Step, keys []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", arch, step.ID)
	args := make([]string, 0, len(step.Solve.Args))
	for name, value := range step.Solve.Args {
		args = append(args, fmt.Sprintf("%q=%q\n", name, value))
	}
	sort.Strings(args)
	b.WriteString(strings.Join(args, ""))
	needs := make([]string, 0, len(step.Waits)) // whose keys hold those of what they wait for
	for _, dep := range step.Waits {
		needs = append(needs, keys[dep])
	}
	sort.Strings(needs) // the order of a plan is its own
	b.WriteString(strings.Join(needs, ""))
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:])
}
