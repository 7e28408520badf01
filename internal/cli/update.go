// update: resolves the kits and the SDK of Twoliter.toml, and writes the lock.

package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

const updateHelp = `Asks the registries for the kits of Twoliter.toml, the kits that those need, and
the SDK, and writes what they are to Twoliter.lock. Nothing else changes that
file: builds use what it names, and "buildsys fetch" refuses anything else.`

func newUpdateCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "update",
		Short: "Resolve the kits and the SDK of Twoliter.toml, and write Twoliter.lock",
		Long:  updateHelp,
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, s, err := a.resolve()
			if err != nil {
				return err
			}
			ws, err := s.Load()
			if err != nil {
				return err
			}
			lock, err := s.UpdateLock(cmd.Context(), ws)
			if err == nil && lock != "" {
				fmt.Fprintln(a.sys.Stdout, lock)
			}
			return err
		},
	}
}
