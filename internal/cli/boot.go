// boot: starts a variant's image in QEMU, with its console on the terminal or headless as a check.

package cli

import "github.com/spf13/cobra"

func newBootCommand(sys *System, s *settings) *cobra.Command {
	return &cobra.Command{Use: "boot"}
}
