// build-variant: builds the disk image of one variant and everything in it.

package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"buildsys/internal/workspace"
)

func newBuildVariantCommand(sys *System, s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "build-variant [NAME]",
		Short: "Build the disk image of a variant",
		Long: `Builds the disk image of a variant, after every package that goes into it.
Without a name it is the variant of the directory variants/NAME/ one is in, else BUILDSYS_VARIANT.

Images are placed below build/images/ARCH-NAME/, where the symlink "latest" points to the newest.

` + exitStatusHelp,
		Args: usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.resolve(sys)
			if err != nil {
				return err
			}
			if err := c.pickVariant(sys, args); err != nil {
				return err
			}
			return build(cmd.Context(), sys, c, request{variant: c.variant})
		},
	}
	s.addBuildFlags(cmd.Flags())
	return cmd
}

// pickVariant settles which variant a command is about: the argument, the directory, or the setting.
func (c *config) pickVariant(sys *System, args []string) error {
	if len(args) > 0 {
		c.variant = args[0]
	} else if _, name := workspace.Here(c.root, sys.Dir); name != "" {
		c.variant = name
	}
	if c.variant == "" {
		return usageError{errors.New("no variant named: give its name, or set BUILDSYS_VARIANT")}
	}
	return nil
}
