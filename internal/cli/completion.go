// completion: completes arguments with the names of the tree's packages or variants. The scripts
// for shells are cobra's.

package cli

import (
	"slices"

	"github.com/spf13/cobra"

	"buildsys/internal/manifest"
	"buildsys/internal/scaffold"
)

// The commands whose arguments are names of packages or variants.
var (
	completePackages = []string{"build-package", "plan", "why", "graph", "log"}
	completeVariants = []string{"repack-variant", "boot", "inspect"}
)

// addCompletion adds the completion of arguments and settings to the commands.
func addCompletion(root *cobra.Command, a *app) {
	names := func(parent string) cobra.CompletionFunc {
		return func(_ *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
			dir, err := a.caller().Root()
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			left := slices.DeleteFunc(scaffold.ManifestsBelow(dir, parent),
				func(name string) bool { return slices.Contains(given, name) })
			return left, cobra.ShellCompDirectiveNoFileComp
		}
	}
	for _, cmd := range root.Commands() {
		switch {
		case slices.Contains(completePackages, cmd.Name()):
			cmd.ValidArgsFunction = names("packages")
		case cmd.Name() == "build-variant":
			cmd.ValidArgsFunction = names("variants")
		case slices.Contains(completeVariants, cmd.Name()):
			cmd.ValidArgsFunction = one(names("variants"))
		case cmd.Name() == "image":
			for _, below := range cmd.Commands() {
				below.ValidArgsFunction = one(names("variants"))
			}
		}
	}
	root.InitDefaultCompletionCmd()
	if scripts, _, err := root.Find([]string{"completion"}); err == nil {
		scripts.Args = usage(cobra.NoArgs)
		scripts.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	// These fail only for flags that do not exist or have a completion.
	_ = root.RegisterFlagCompletionFunc("variant", one(names("variants")))
	_ = root.RegisterFlagCompletionFunc("arch", cobra.FixedCompletions(manifest.Architectures(),
		cobra.ShellCompDirectiveNoFileComp))
}

// one completes only the first argument. For images the shell completes files as well.
func one(complete cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, given []string, begun string) ([]string,
		cobra.ShellCompDirective) {
		if len(given) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		found, directive := complete(cmd, given, begun)
		if cmd.Name() == "inspect" || cmd.Parent().Name() == "image" {
			directive = cobra.ShellCompDirectiveDefault
		}
		return found, directive
	}
}
