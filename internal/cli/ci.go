// ci: generates files for CI services from the dependency graph.

package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"buildsys/internal/build"
	"buildsys/internal/codebuild"
	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
	"buildsys/internal/plan"
	"buildsys/internal/workspace"
)

// maxNodes is a planning number: CodeBuild documents no limit of a build graph. By default an
// account runs 20 builds of a kind at once, and five times as many may wait in the queue.
const maxNodes = 100

// nodeWork is how much work justifies a build of its own: container, engine and SDK image take one
// to two minutes to start.
const nodeWork = 5 * time.Minute

// unknownPerNode is how many packages share one build if no durations were recorded.
const unknownPerNode = 8

func newCICommand(a *app) *cobra.Command {
	return group("ci", "Make files for CI services", "", newCodeBuildCommand(a))
}

// codeBuildRequest holds the flags of ci codebuild.
type codeBuildRequest struct {
	batch     bool
	phases    string
	variants  []string
	durations string
	options   codebuild.Options
	settings  codebuild.Settings
}

const codeBuildHelp = `With --batch: prints a buildspec with a build graph for the named variants, or
for all, for both architectures or the one of --arch. A package that takes long
has a build of its own, small ones share one, and images come last. Each build
runs the buildspec of --buildspec (see ci/codebuild/) with the variables
BUILDSYS_CI_ARCHES, BUILDSYS_CI_VARIANTS and BUILDSYS_CI_PACKAGES. RPMs pass from
one build to the next through the remote cache. The durations of packages are
those of earlier builds, or those in the file of --durations.

With --phases: prints a bash script that runs the phases of a buildspec as
CodeBuild does.`

func newCodeBuildCommand(a *app) *cobra.Command {
	var r codeBuildRequest
	cmd := &cobra.Command{
		Use:   "codebuild --batch [VARIANT...] | --phases BUILDSPEC",
		Short: "Print a buildspec that builds variants as a batch on AWS CodeBuild",
		Long:  codeBuildHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.variants = args
			switch {
			case r.batch == (r.phases != ""):
				return errkind.Usagef("specify what to make: --batch or --phases BUILDSPEC")
			case r.phases != "" && len(args) > 0:
				return errkind.Usagef("--phases takes no variants")
			case r.phases != "":
				return a.printPhases(r.phases)
			}
			return a.printBatch(cmd.Context(), r)
		},
	}
	r.addFlags(cmd.Flags())
	return cmd
}

func (r *codeBuildRequest) addFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&r.batch, "batch", false, "print a batch with a build graph")
	flags.StringVar(&r.phases, "phases", "", "print a script that runs the phases of this buildspec")
	flags.IntVar(&r.options.MaxNodes, "max-nodes", maxNodes, "most builds in the batch; "+
		"CodeBuild documents no limit, but accounts run few at once")
	flags.DurationVar(&r.options.NodeWork, "node-work", nodeWork,
		"put small packages together up to this much work")
	flags.StringVar(&r.durations, "durations", "",
		"JSON file of seconds by package or variant (default: recorded ones)")
	flags.StringVar(&r.settings.Buildspec, "buildspec", "ci/codebuild/buildspec.yml",
		"buildspec that each build runs, a path in the source")
	flags.StringVar(&r.settings.ComputeType, "compute-type", "",
		"compute type of the builds (default: the project's)")
	flags.StringVar(&r.settings.Image, "image", "", "image of the builds (default: the project's)")
}

// maxBuildspec bounds a buildspec. Those with dozens of commands have some kilobytes.
const maxBuildspec = 1 << 20

func (a *app) printPhases(path string) error {
	data, err := confined.Path{Name: a.path(path)}.Read(maxBuildspec)
	if err != nil {
		return errkind.BadUsage(err)
	}
	spec, err := codebuild.ParseSpec(data)
	if err != nil {
		return errkind.Usagef("%s: %w", path, err)
	}
	return codebuild.WriteScript(a.sys.terminal.stdout, spec)
}

func (a *app) printBatch(ctx context.Context, r codeBuildRequest) error {
	c, _, err := a.resolve()
	if err != nil {
		return err
	}
	if r.options.MaxNodes < 1 || r.options.NodeWork <= 0 {
		return errkind.Usagef("--max-nodes and --node-work must be positive")
	}
	arches := manifest.Architectures()
	if a.flags.Changed("arch") {
		arches = []string{c.Arch}
	}
	if r.variants, err = batchVariants(c, r.variants); err != nil {
		return err
	}
	var units codebuild.Units
	for _, arch := range arches {
		for _, variant := range r.variants {
			err := a.addUnits(ctx, &units, c.WithArch(arch).WithVariant(variant), r)
			if err != nil && errkind.Of(err) != errkind.Skipped {
				return err
			}
		}
	}
	if len(units.All) == 0 {
		return errkind.Usagef("none of these variants is for %s: %s",
			strings.Join(arches, " or "), strings.Join(r.variants, ", "))
	}
	nodes, err := codebuild.Layout(units.All, r.options)
	if err != nil {
		return errkind.BadUsage(err)
	}
	r.settings.Command = strings.Join(append([]string{"buildsys"}, a.sys.Args...), " ")
	return codebuild.WriteBatch(a.sys.terminal.stdout, nodes, r.settings)
}

// addUnits adds what the image of the configuration's variant needs.
func (a *app) addUnits(ctx context.Context, units *codebuild.Units, c build.Config,
	r codeBuildRequest) error {
	s := a.session(c)
	p, err := s.Plan(ctx, build.Request{Image: true, Unsigned: true})
	if err != nil {
		return err
	}
	cost, known, err := a.costs(s, p, r.durations)
	if err != nil {
		return err
	}
	if known == 0 {
		cost = func(plan.Step) time.Duration { return r.options.NodeWork / unknownPerNode }
	}
	units.Add(c.Variant, p, cost)
	return nil
}

// batchVariants returns the named variants, each once, or all variants of the tree.
func batchVariants(c build.Config, named []string) ([]string, error) {
	ws, err := workspace.Load(c.Root, c.Strictness)
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
		return nil, errkind.Usagef("the tree has no variants")
	}
	return slices.Compact(slices.Sorted(slices.Values(named))), nil
}
