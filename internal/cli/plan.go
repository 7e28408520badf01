// plan: shows what a build would do and why, without an engine.

package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"buildsys/internal/build"
	"buildsys/internal/cache"
	"buildsys/internal/executor"
	"buildsys/internal/progress"
	"buildsys/internal/scaffold"
	"buildsys/internal/workspace"
)

const planHelp = `Shows which steps a build of the named packages and kits, or of one variant's
image, would run, and why. A name that several have is written package/NAME,
kit/NAME or variant/NAME. Without a name it is about the package, kit or variant
of the directory, else the variant of the settings, or all kits of a tree that
has no variants. It needs no engine and changes nothing. -v also shows the steps
that are up to date.

A step above one that is built "may build": it is built unless the one below
comes out with the same bytes as before.`

func newPlanCommand(a *app) *cobra.Command {
	var (
		asJSON bool
		ask    bool
		o      simulation
	)
	cmd := &cobra.Command{
		Use:   "plan [NAME...]",
		Short: "Show what a build would do, and why",
		Long:  planHelp,
		RunE: func(cmd *cobra.Command, names []string) error {
			if o.wanted {
				return a.simulate(cmd.Context(), names, o)
			}
			forecast, err := a.foresee(cmd.Context(), names, ask)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON("plan", map[string]any{"steps": planSteps(forecast)})
			}
			writePlan(a.sys.Stdout, forecast, a.verbose)
			return nil
		},
	}
	flags := cmd.Flags()
	a.addReleaseFlag(flags)
	flags.BoolVar(&asJSON, "json", false, "print one JSON document")
	flags.BoolVar(&ask, "remote", false, "ask the remote caches (--cache-from) as well; "+
		"otherwise only their answers in earlier runs are known")
	o.addFlags(flags)
	return cmd
}

// resolvePlan returns the request for the named packages, kits and variant, or without names for
// that of the directory, or the image of the variant, or in a tree without variants for its kits.
func (a *app) resolvePlan(names []string) (c build.Config, s *build.Session, want build.Request,
	err error) {
	if c, s, err = a.resolve(); err != nil {
		return c, s, want, err
	}
	if len(names) == 0 {
		here, ok := workspace.Here(c.Root, a.sys.Dir)
		switch kits := scaffold.ManifestsBelow(c.Root, "kits"); {
		case ok && here.Kind != workspace.VariantKind:
			names = []string{here.String()}
		case len(kits) > 0 && c.Variant == "" && len(scaffold.ManifestsBelow(c.Root, "variants")) == 0:
			for _, kit := range kits {
				names = append(names, workspace.Target{Kind: workspace.KitKind, Name: kit}.String())
			}
		default:
			c, err = a.pickVariant(c, nil)
			return c, a.session(c), build.Request{Image: true}, err
		}
	}
	return c, s, build.Request{Names: names}, nil
}

// foresee looks up each step of a plan; if ask is true, also in remote caches.
func (a *app) foresee(ctx context.Context, names []string, ask bool) ([]executor.Forecast, error) {
	_, s, want, err := a.resolvePlan(names)
	if err != nil {
		return nil, err
	}
	return s.Foresee(ctx, want, ask)
}

func writePlan(to io.Writer, forecast []executor.Forecast, verbose bool) {
	w := bufio.NewWriter(to)
	defer w.Flush()
	counts := map[executor.Outlook]int{}
	var work time.Duration
	builds, unknown := 0, 0
	for _, f := range forecast {
		counts[f.Outlook]++
		if f.Outlook == executor.Build || f.Outlook == executor.MayBuild {
			builds++
			work += f.Took()
			if f.Took() == 0 {
				unknown++
			}
		}
		if f.Outlook == executor.UpToDate && !verbose {
			continue
		}
		fmt.Fprintf(w, "%-10s %-20s %s\n", f.Outlook, progress.Name(f.Step.ID), reason(f))
	}
	fmt.Fprintf(w, "%d to build, %d may be built, %d to restore, %d up to date",
		counts[executor.Build], counts[executor.MayBuild], counts[executor.Restore],
		counts[executor.UpToDate])
	if n := counts[executor.Remote]; n > 0 {
		fmt.Fprintf(w, ", %d in a remote cache", n)
	}
	if work > 0 {
		fmt.Fprintf(w, "; up to %s of work by earlier builds", progress.Took(work))
	}
	if unknown > 0 {
		fmt.Fprintf(w, "; how long %d of %d builds take is not known", unknown, builds)
	}
	fmt.Fprintln(w)
}

// reason returns in a few words why a step has its outlook.
func reason(f executor.Forecast) string {
	var words []string
	for _, c := range f.Changes {
		words = append(words, c.String())
	}
	switch f.Outlook {
	case executor.UpToDate:
		return ""
	case executor.Remote:
		return "built by another machine; fetched when it is needed"
	}
	switch {
	case f.First:
		words = append(words, "not built in this checkout yet")
	case len(words) == 0 && f.After.Len() == 0:
		words = append(words, "its outputs are gone or were changed")
	}
	if names, more := some(f.After, maxShown); len(names) > 0 {
		text := "after " + strings.Join(names, ", ")
		if more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		words = append(words, text)
	}
	return strings.Join(words, "; ")
}

// maxAfter is how many of the dependencies built before a step are named in JSON, maxShown in text.
// In a deep tree each of thousands of steps has thousands.
const maxAfter, maxShown = 100, 10

// some returns the first names of after, as many as most says, and the number of the others.
func some(after executor.After, most int) (names []string, more int) {
	for name := range after.Names() {
		if len(names) == most {
			break
		}
		names = append(names, name)
	}
	return names, after.Len() - len(names)
}

// planJSON is one step of plan --json.
type planJSON struct {
	Step    string           `json:"step"`
	Outlook executor.Outlook `json:"outlook"`
	First   bool             `json:"first,omitempty"`
	Changes []cache.Change   `json:"changes,omitempty"`
	After   []string         `json:"after,omitempty"`
	// More is how many there are besides those in After.
	More    int     `json:"after_more,omitempty"`
	Seconds float64 `json:"seconds,omitempty"` // of the last build
}

func planSteps(forecast []executor.Forecast) []planJSON {
	steps := []planJSON{}
	for _, f := range forecast {
		after, more := some(f.After, maxAfter)
		steps = append(steps, planJSON{
			Step: f.Step.ID, Outlook: f.Outlook, First: f.First, Changes: f.Changes,
			After: after, More: more, Seconds: f.Took().Seconds(),
		})
	}
	return steps
}
