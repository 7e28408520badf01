package cli

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// ownCommands returns the commands that we wrote, with the program itself.
func ownCommands(t *testing.T) []*cobra.Command {
	t.Helper()
	root := newRootCommand(&System{Getenv: func(string) string { return "" }})
	var all []*cobra.Command
	var add func(*cobra.Command)
	add = func(cmd *cobra.Command) {
		if cmd.Hidden || cmd.Name() == "completion" {
			return
		}
		all = append(all, cmd)
		for _, below := range cmd.Commands() {
			add(below)
		}
	}
	add(root)
	return all
}

// TestHelpIsNarrow: help fits a terminal of a usual width, and lists no flag without a meaning.
func TestHelpIsNarrow(t *testing.T) {
	for _, cmd := range ownCommands(t) {
		var out bytes.Buffer
		cmd.Root().SetOut(&out)
		if err := cmd.Help(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > helpColumns {
				t.Errorf("%s: %d columns: %s", cmd.CommandPath(), n, line)
			}
		}
	}
}

// TestEveryCommandIsInAGroup: none is forgotten in the tables of help.go and examples.go.
func TestEveryCommandIsInAGroup(t *testing.T) {
	for _, cmd := range ownCommands(t) {
		top := cmd.HasParent() && !cmd.Parent().HasParent()
		if top && cmd.Runnable() && cmd.GroupID == "" {
			t.Errorf("%s is in no group of the help", cmd.CommandPath())
		}
		leaf := cmd.Runnable() && !cmd.HasSubCommands() && cmd.Name() != "help"
		if leaf && cmd.GroupID != "About buildsys" && heeds(cmd) == nil {
			t.Errorf("help does not know which settings %s heeds", cmd.CommandPath())
		}
		if leaf && cmd.Example == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
	}
}

// TestExamplesAreCommandLines: what help shows can be typed.
func TestExamplesAreCommandLines(t *testing.T) {
	for path, lines := range examples {
		for _, line := range lines {
			root := newRootCommand(&System{Getenv: func(string) string { return "" }})
			cmd, rest, err := root.Find(strings.Fields(line))
			if err != nil || strings.TrimPrefix(cmd.CommandPath(), "buildsys ") != path {
				t.Errorf("%q is an example of %q: %v", line, path, err)
				continue
			}
			if err := cmd.ParseFlags(rest); err != nil {
				t.Errorf("%q: %v", line, err)
			} else if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
				t.Errorf("%q: %v", line, err)
			}
		}
	}
}
