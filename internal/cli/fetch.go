// fetch: fetches what builds need from elsewhere, before they do.

package cli

import (
	"github.com/spf13/cobra"
)

const fetchHelp = `Fetches the kits that Twoliter.lock names for the architecture, the SDK image that
it names, and the sources of the named packages and of what they need, or of all
packages: archives, and the Go modules and crates that first-party code needs by
its go.sum and Cargo.lock. A build fetches the sources it needs by itself, but
never kits or the SDK. The SDK goes to the Docker engine, if that lacks it and
answers.

Kits and SDK must have the digest in Twoliter.lock. If its tag now leads to another
image, or Twoliter.toml asks for another version, run "buildsys update". Kits
are kept in the cache directory, in kits/.

`

func newFetchCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "fetch [PACKAGE...]",
		Short: "Fetch kits and sources, so that builds need no network",
		Long:  fetchHelp + exitStatusHelp,
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
			for _, name := range names {
				if ws.Packages[name] == nil {
					return noSuch("package", name, ws.PackageNames())
				}
			}
			return s.FetchSources(cmd.Context(), ws, names)
		},
	}
}
