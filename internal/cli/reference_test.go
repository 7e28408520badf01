// reference_test: docs/cli.md is what the commands print as help. To update it, run go test
// ./internal/cli -run Reference -update.

package cli

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"buildsys/internal/golden"
	"buildsys/internal/settings"
)

func TestReference(t *testing.T) {
	root := newRootCommand(&System{})
	root.InitDefaultCompletionCmd()
	golden.Equal(t, "../../docs/cli.md", []byte(reference(root)))
}

// reference returns the whole command line as one page.
func reference(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("# Commands\n\nGenerated from the help of the commands (`buildsys COMMAND " +
		"--help`); do not edit.\n\n")
	fmt.Fprintf(&b, "## Exit status\n\n```\n%s\n```\n\n", strings.TrimPrefix(exitStatusHelp,
		"EXIT STATUS\n"))
	fmt.Fprintf(&b, "## Settings\n\nEvery command takes these, and heeds those that mean something "+
		"to it.\n\n```\n%s```\n\n", settingsHelp)
	ofNone := pflag.NewFlagSet("", pflag.ContinueOnError)
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) {
		named := func(s settings.Setting) bool { return s.Flag() == f.Name }
		if !slices.ContainsFunc(settings.List, named) {
			ofNone.AddFlag(f)
		}
	})
	for _, g := range settings.Groups {
		fmt.Fprintf(&b, "Settings of %s:\n\n", g)
		flagTable(&b, settingsOf(g, root.PersistentFlags()))
	}
	b.WriteString("Flags of every command that are no settings:\n\n")
	flagTable(&b, ofNone)
	for _, cmd := range root.Commands() {
		describe(&b, cmd)
	}
	return b.String()
}

// describe writes a command and its subcommands. Hidden commands and groups have no section of
// their own.
func describe(b *strings.Builder, cmd *cobra.Command) {
	if cmd.Hidden || cmd.Name() == "help" || cmd.IsAdditionalHelpTopicCommand() {
		return
	}
	for _, below := range cmd.Commands() {
		describe(b, below)
	}
	if cmd.HasSubCommands() && cmd.Long == "" {
		return
	}
	fmt.Fprintf(b, "## %s\n\n%s.\n\n", cmd.CommandPath(), strings.TrimSuffix(cmd.Short, "."))
	if !cmd.HasSubCommands() {
		fmt.Fprintf(b, "    %s\n\n", cmd.UseLine())
	}
	long := strings.TrimSpace(strings.ReplaceAll(cmd.Long, exitStatusHelp, ""))
	if long != "" {
		fmt.Fprintf(b, "```\n%s\n```\n\n", strings.ReplaceAll(long, "\t", "    "))
	}
	if cmd.Example != "" {
		fmt.Fprintf(b, "%s\n\n", strings.ReplaceAll("  "+strings.TrimSpace(cmd.Example), "  ", "    "))
	}
	flagTable(b, cmd.LocalNonPersistentFlags())
	var groups []string
	for _, g := range heeds(cmd) {
		groups = append(groups, string(g))
	}
	if len(groups) > 0 && !cmd.HasSubCommands() {
		fmt.Fprintf(b, "It heeds settings of %s.\n\n", strings.Join(groups, ", "))
	}
}

func flagTable(b *strings.Builder, flags *pflag.FlagSet) {
	var rows []string
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		text := f.Usage
		none := []string{"", "[]", "false"}
		if !slices.Contains(none, f.DefValue) && !strings.Contains(text, "default") {
			text += " (default: " + f.DefValue + ")"
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s |\n", name, strings.ReplaceAll(text, "|", "\\|")))
	})
	if len(rows) > 0 {
		fmt.Fprintf(b, "| flag | meaning |\n|---|---|\n%s\n", strings.Join(rows, ""))
	}
}
