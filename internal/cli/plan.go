// plan: what a build would do and why, without an engine.

package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"buildsys/internal/cache"
	"buildsys/internal/engine"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/remote"
	"buildsys/internal/workspace"
)

func newPlanCommand(sys *System, s *settings) *cobra.Command {
	var (
		asJSON    bool
		simulated bool
		durations string
		ask       bool
	)
	cmd := &cobra.Command{
		Use:   "plan [PACKAGE...] [kit/KIT...]",
		Short: "Show what a build would do, and why",
		Long: `Shows which steps a build would run and why, without an engine and without changing anything: of the named
packages and kits, or without a name of the image of the variant. -v shows the steps that are up to date as well.

"may build" is a step above one that is built: it is built too unless that gives the same bytes as before.

` + exitStatusHelp,
		RunE: func(cmd *cobra.Command, names []string) error {
			if simulated {
				c, p, err := resolvePlan(sys, s, names)
				if err != nil {
					return err
				}
				return simulate(sys, c, p, durations)
			}
			forecast, err := foresee(cmd.Context(), sys, s, names, ask)
			if err != nil {
				return err
			}
			if asJSON {
				return writePlanJSON(sys.Stdout, forecast)
			}
			writePlan(sys.Stdout, forecast, s.verbose)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	cmd.Flags().BoolVar(&ask, "remote", false, "ask the remote caches (--cache-from) as well; otherwise only what they said in earlier runs is known")
	cmd.Flags().BoolVar(&simulated, "simulate", false, "print how long a cold build would take with --jobs (default: 2, 8, 32 and 72)")
	cmd.Flags().StringVar(&durations, "durations", "", "with --simulate: JSON file of seconds by step name (default: recorded ones)")
	return cmd
}

// foresee plans the named packages, or the variant's image, and looks up each step, also in remote caches if ask is set.
func foresee(ctx context.Context, sys *System, s *settings, packages []string, ask bool) ([]engine.Forecast, error) {
	c, p, err := resolvePlan(sys, s, packages)
	if err != nil {
		return nil, err
	}
	shown := warnings{sys.Stderr}
	warnForeign(shown, p)
	known, err := c.openCache(progress.Multi{})
	if err != nil {
		return nil, err
	}
	if ask {
		c.cacheTo = remote.Location{}
		if known.Remote, err = c.openRemote(sys, known.Store, shown); err != nil {
			return nil, usageError{err}
		}
		defer known.Remote.Close(ctx, nil)
		if sdk, ok := known.Remote.FindSDK(ctx, c.sdkImage); ok && known.SDK == "" {
			known.SDK = sdk.ID
		}
	}
	known.Images = c.recordedImages(p.Images())
	forecast, err := engine.Foresee(ctx, p, known)
	c.saveMemo(known.Memo)
	return forecast, err
}

// warnings shows nothing else.
type warnings struct{ w io.Writer }

// Event implements progress.Sink.
func (w warnings) Event(e progress.Event) {
	if e.Kind == progress.Warning {
		fmt.Fprintf(w.w, "warning: %s\n", progress.Clean(e.Text))
	}
}

// resolvePlan plans the named packages, or the variant's image when there is none.
func resolvePlan(sys *System, s *settings, packages []string) (config, plan.Plan, error) {
	c, err := s.resolve(sys)
	if err != nil {
		return c, plan.Plan{}, err
	}
	var want request
	for _, name := range packages {
		if kit, ok := workspace.IsKit(name); ok {
			want.kits = append(want.kits, kit)
		} else {
			want.packages = append(want.packages, name)
		}
	}
	if len(packages) == 0 {
		if err := c.pickVariant(sys, nil); err != nil {
			return c, plan.Plan{}, err
		}
		want.variant = c.variant
	}
	p, err := makePlan(c, want)
	return c, p, err
}

func writePlan(w io.Writer, forecast []engine.Forecast, verbose bool) {
	counts := map[engine.Outlook]int{}
	var work time.Duration
	for _, f := range forecast {
		counts[f.Outlook]++
		if f.Outlook == engine.Build || f.Outlook == engine.MayBuild {
			work += f.Took()
		}
		if f.Outlook == engine.UpToDate && !verbose {
			continue
		}
		fmt.Fprintf(w, "%-10s %-20s %s\n", f.Outlook, progress.Name(f.Step.ID), reason(f))
	}
	fmt.Fprintf(w, "%d to build, %d may be built, %d to restore, %d up to date",
		counts[engine.Build], counts[engine.MayBuild], counts[engine.Restore], counts[engine.UpToDate])
	if n := counts[engine.Remote]; n > 0 {
		fmt.Fprintf(w, ", %d in a remote cache", n)
	}
	if work > 0 {
		fmt.Fprintf(w, "; up to %s of work by earlier builds", progress.Took(work))
	}
	fmt.Fprintln(w)
}

// reason says in a few words why a step has its outlook.
func reason(f engine.Forecast) string {
	var words []string
	for _, c := range f.Changes {
		words = append(words, c.String())
	}
	switch f.Outlook {
	case engine.UpToDate:
		return ""
	case engine.Remote:
		return "built by another machine; fetched when it is needed"
	}
	switch {
	case f.First:
		words = append(words, "not built in this checkout yet")
	case len(words) == 0 && f.After.Len() == 0:
		words = append(words, "its outputs are gone or were changed")
	}
	if names, more := some(f.After); len(names) > 0 {
		text := "after " + strings.Join(names, ", ")
		if more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		words = append(words, text)
	}
	return strings.Join(words, "; ")
}

// maxAfter is how many of the dependencies that are built before a step are named. In a deep tree
// each of thousands of steps has thousands.
const maxAfter = 100

// some returns the names of the first of them, and how many more there are.
func some(after engine.After) (names []string, more int) {
	for name := range after.Names() {
		if len(names) == maxAfter {
			break
		}
		names = append(names, name)
	}
	return names, after.Len() - len(names)
}

// planJSON is one step of plan --json.
type planJSON struct {
	Step    string         `json:"step"`
	Outlook engine.Outlook `json:"outlook"`
	First   bool           `json:"first,omitempty"`
	Changes []cache.Change `json:"changes,omitempty"`
	After   []string       `json:"after,omitempty"`
	More    int            `json:"after_more,omitempty"` // how many more there are than those in After
	Seconds float64        `json:"seconds,omitempty"`    // of the last build
}

func writePlanJSON(w io.Writer, forecast []engine.Forecast) error {
	steps := []planJSON{}
	for _, f := range forecast {
		after, more := some(f.After)
		steps = append(steps, planJSON{
			Step: f.Step.ID, Outlook: f.Outlook, First: f.First, Changes: f.Changes,
			After: after, More: more, Seconds: f.Took().Seconds(),
		})
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(map[string]any{"steps": steps})
}
