// usage: wrong command lines, and what was probably meant.

package cli

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
)

// usage makes a failed check of arguments an error that exits with ExitUsage and shows how the
// command is called.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if check(cmd, args) == nil {
			return nil
		}
		what := "an argument is missing"
		switch {
		case len(args) > 0 && cmd.HasAvailableSubCommands():
			return noCommand(cmd, args[0])
		case len(args) > 0:
			what = "wrong number of arguments"
		}
		return errkind.Usagef("%s%s; usage: %s", prefix(cmd), what,
			strings.TrimSuffix(cmd.UseLine(), " [flags]"))
	}
}

// prefix begins an error about a command line: "cache trim: ", or nothing for the program itself.
func prefix(cmd *cobra.Command) string {
	if !cmd.HasParent() {
		return ""
	}
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ") + ": "
}

// noCommand returns the error for a subcommand that does not exist.
func noCommand(parent *cobra.Command, name string) error {
	var known []string
	for _, cmd := range parent.Commands() {
		if !cmd.Hidden {
			known = append(known, cmd.Name())
		}
	}
	return errkind.Usagef("%sno command %q; %s", prefix(parent), name,
		manifest.NameHint(name, known))
}

// badFlag returns the error for flags that cannot be parsed.
func badFlag(cmd *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name) })
		if near := manifest.Nearest(unknown.GetSpecifiedName(), known); near != "" {
			return errkind.Usagef("%s%w; did you mean --%s?", prefix(cmd), err, near)
		}
	}
	return errkind.Usagef("%s%w; see %q", prefix(cmd), err, cmd.CommandPath()+" --help")
}

// group returns a command that only has subcommands.
func group(use, short, long string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Long:  long,
		Args:  usage(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(commands...)
	return cmd
}

// newHelpCommand returns the help command. Help about a command that does not exist is an error.
func newHelpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND...]",
		Short: "Show help about a command",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				if cmd == nil {
					cmd = root
				}
				return noCommand(cmd, append(rest, args...)[0])
			}
			cmd.InitDefaultHelpFlag()
			cmd.InitDefaultVersionFlag()
			return cmd.Help()
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string,
			cobra.ShellCompDirective) {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, below := range cmd.Commands() {
				if below.IsAvailableCommand() {
					names = append(names, cobra.CompletionWithDesc(below.Name(), below.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
}
