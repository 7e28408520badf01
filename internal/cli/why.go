// why: explains why a package would be built, or why it was.

package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"buildsys/internal/cache"
	"buildsys/internal/errkind"
	"buildsys/internal/executor"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/workspace"
)

func newWhyCommand(a *app) *cobra.Command {
	var asJSON bool
	var grew bool
	cmd := &cobra.Command{
		Use:   "why [NAME] | why --grew IMAGE IMAGE",
		Short: "Explain why something would be built, or why it was built last",
		Long: `Compares what the outputs of a package, a kit or a variant were made from with
what they would be made from now. If a dependency would be built first, its
reasons follow. A name that several have is written package/NAME, kit/NAME or
variant/NAME; kmod-kit/NAME is the kmod kit of a variant. Without a name it is
about the package, kit or variant of the directory, else the variant of the
settings.

With --grew it explains why the second of two images takes more space than the
first, or less: by how much each package, with which files, and what had changed
in what that package was made from. Images are named as for "buildsys image".`,
		Args: usage(cobra.MaximumNArgs(2)),
		RunE: func(cmd *cobra.Command, names []string) error {
			if grew && asJSON {
				return errkind.Usagef("--grew prints text: image diff --json has the sizes")
			}
			if grew {
				return a.whyGrew(cmd.Context(), names)
			}
			if len(names) > 1 {
				return errkind.Usagef("why is about one name; with --grew about two images")
			}
			forecast, err := a.foreseeOne(cmd.Context(), names)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON("why", whyJSON(forecast))
			}
			writeWhy(a.sys.Stdout, forecast)
			return nil
		},
	}
	cmd.Flags().BoolVar(&grew, "grew", false, "explain why an image takes more space than another")
	a.addReleaseFlag(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document: the step last, before it "+
		"the dependencies that would be built; and why it was built last")
	return cmd
}

// foreseeOne is foresee for at most one name, with its step as the last. kmod-kit/NAME is the step
// of a variant's kmod kit.
func (a *app) foreseeOne(ctx context.Context, names []string) ([]executor.Forecast, error) {
	variant, ok := "", false
	if len(names) == 1 {
		variant, ok = strings.CutPrefix(names[0], string(plan.KmodKit)+"/")
	}
	if !ok {
		return a.foresee(ctx, names, false)
	}
	of := workspace.Target{Kind: workspace.VariantKind, Name: variant}
	forecast, err := a.foresee(ctx, []string{of.String()}, false)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(forecast, func(f executor.Forecast) bool { return f.Step.ID == names[0] })
	if at < 0 {
		return nil, errkind.Usagef("no step packs the kmod kit of variant %s apart from its image: "+
			"none of its packages looks like a kernel with an archive for modules, or its features or "+
			"recipe exclude it", variant)
	}
	return forecast[:at+1], nil
}

// whyJSON returns the document of why: the last forecast, and those of the dependencies that cause
// it.
func whyJSON(forecast []executor.Forecast) any {
	f := forecast[len(forecast)-1]
	var steps []executor.Forecast
	for d := range f.Step.Uses.All() {
		if forecast[d].Outlook == executor.Build {
			steps = append(steps, forecast[d])
		}
	}
	return struct {
		Steps []planJSON     `json:"steps"`
		Last  []cache.Change `json:"last,omitempty"`
	}{planSteps(append(steps, f)), f.Last}
}

// writeWhy explains the last forecast, and below it those of the dependencies that cause it.
func writeWhy(w io.Writer, forecast []executor.Forecast) {
	f := forecast[len(forecast)-1] // the requested step; the others are what it needs
	name := progress.Name(f.Step.ID)
	switch f.Outlook {
	case executor.UpToDate:
		fmt.Fprintf(w, "%s is up to date\n", name)
		for _, c := range f.Last {
			fmt.Fprintf(w, "  it was built last because %s\n", c)
		}
		return
	case executor.Restore:
		fmt.Fprintf(w, "%s would be restored from the store: it was built from the same inputs before\n",
			name)
	case executor.Remote:
		fmt.Fprintf(w, "%s would be fetched from a remote cache: another machine built it from the "+
			"same inputs\n", name)
	case executor.Build:
		fmt.Fprintf(w, "%s would be built\n", name)
	case executor.MayBuild:
		fmt.Fprintf(w, "%s would be built if a dependency changes\n", name)
	}
	for _, c := range f.Changes {
		fmt.Fprintf(w, "  %s\n", c)
	}
	switch {
	case f.First:
		fmt.Fprintln(w, "  there is no record of an earlier build in this checkout")
	case len(f.Changes)+f.After.Len() == 0:
		fmt.Fprintln(w, "  its outputs are gone or were changed")
	}
	for d := range f.Step.Uses.All() {
		dep := forecast[d]
		if dep.Outlook != executor.Build {
			continue
		}
		fmt.Fprintf(w, "  dependency %s would be built:\n", progress.Name(dep.Step.ID))
		fmt.Fprintf(w, "    %s\n", reason(dep))
	}
}
