// fetch: fetches what builds need from elsewhere, before they do.

package cli

import (
	"slices"

	"github.com/spf13/cobra"

	"buildsys/internal/workspace"
)

const fetchHelp = `Fetches the kits that Twoliter.lock names for the architecture, the SDK image that
it names, and the sources of the named packages and of what they need, of those
in the named kits and variants, or of all packages: archives, and the Go modules
and crates that first-party code needs by its go.sum and Cargo.lock. A build
fetches the sources it needs by itself, but never kits or the SDK. The SDK goes
to the Docker engine, if that lacks it and answers.

Kits and SDK must have the digest in Twoliter.lock. If its tag now leads to another
image, or Twoliter.toml asks for another version, run "buildsys update". Kits
are kept in the cache directory, in kits/.`

func newFetchCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "fetch [NAME...]",
		Short: "Fetch kits and sources, so that builds need no network",
		Long:  fetchHelp,
		RunE: func(cmd *cobra.Command, names []string) error {
			_, s, err := a.resolve()
			if err != nil {
				return err
			}
			ws, err := s.Load()
			if err != nil {
				return err
			}
			if err := s.FetchKits(cmd.Context(), ws); err != nil {
				return err
			}
			if err := s.FetchLockedSDK(cmd.Context(), ws); err != nil {
				return err
			}
			packages, err := namedPackages(ws, names)
			if err != nil {
				return err
			}
			return s.FetchSources(cmd.Context(), ws, packages)
		},
	}
}

// namedPackages returns the packages that names lead to: each itself, those in a kit, and those in
// a variant.
func namedPackages(ws *workspace.Workspace, names []string) ([]string, error) {
	var packages []string
	for _, name := range names {
		t, err := ws.Find(name)
		if err != nil {
			return nil, err
		}
		switch t.Kind {
		case workspace.KitKind:
			packages = append(packages, ws.KitContents(t.Name)...)
		case workspace.VariantKind:
			v := ws.Variants[t.Name]
			packages = append(packages,
				workspace.Packages(ws.Graph().Closure(slices.Concat(v.BuildRequires, v.Requires)...))...)
		default:
			packages = append(packages, t.Name)
		}
	}
	return packages, nil
}
