// help: how commands are grouped, which settings each heeds, and how help is laid out.

package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"buildsys/internal/settings"
)

// helpColumns is how wide help may be.
const helpColumns = 100

// commandGroups are the groups of the help, in order, with the names of their commands.
var commandGroups = []struct {
	title    string
	commands []string
}{
	{"Begin", []string{"init"}},
	{"Build", []string{"build-package", "build-kit", "build-variant", "repack-variant", "fetch",
		"boot"}},
	{"Look", []string{"plan", "why", "graph", "lint", "inspect", "verify", "image",
		"outdated", "audit"}},
	{"Look back", []string{"log", "runs", "report"}},
	{"Change the tree", []string{"shell", "dev", "bump", "new", "update", "go"}},
	{"This machine", []string{"doctor", "sdk", "cache", "keys"}},
	{"Others", []string{"publish", "ci"}},
	{"About buildsys", []string{"version", "schema", "man", "help", "completion"}},
}

// groupCommands puts the commands into their groups. A command that is in none is in cobra's list
// of others.
func groupCommands(root *cobra.Command) {
	for _, g := range commandGroups {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title + ":"})
		for _, cmd := range root.Commands() {
			if slices.Contains(g.commands, cmd.Name()) {
				cmd.GroupID = g.title
			}
		}
	}
	root.SetHelpCommandGroupID("About buildsys")
	root.SetCompletionCommandGroupID("About buildsys")
}

// heeded lists the groups of settings that each command heeds; no other setting has a meaning for
// it.
var heeded = map[string][]settings.Group{
	"build-package": settings.Groups,
	"build-kit":     settings.Groups,
	"build-variant": settings.Groups,
	"repack-variant": {settings.Tree, settings.Steps, settings.Engine, settings.Store,
		settings.Caches, settings.Image},
	"fetch": {settings.Tree, settings.Engine, settings.Store, settings.Caches, settings.Sources},
	"boot":  settings.Groups, // of most only for what it builds
	"plan": {settings.Tree, settings.Steps, settings.Engine, settings.Store, settings.Caches,
		settings.Image},
	"why":     {settings.Tree, settings.Engine, settings.Store, settings.Caches, settings.Image},
	"graph":   {settings.Tree},
	"lint":    {settings.Tree},
	"inspect": {settings.Tree},
	"verify":  settings.Groups, // of most only with --rebuild
	"image":   {settings.Tree, settings.Store},
	"log":     {settings.Tree, settings.Store, settings.Caches},
	"runs":    {settings.Tree, settings.Store},
	"report":  {settings.Tree, settings.Store},
	"init":    {}, // there is no tree yet
	"new":     {settings.Tree, settings.Sources},
	"update":  {settings.Tree},
	"dev": {settings.Tree, settings.Steps, settings.Engine, settings.Store, settings.Caches,
		settings.Sources},
	"shell": {settings.Tree, settings.Steps, settings.Engine, settings.Store, settings.Caches,
		settings.Sources},
	"bump": {settings.Tree, settings.Steps, settings.Engine, settings.Store, settings.Caches,
		settings.Sources, settings.Image},
	"outdated": {settings.Tree, settings.Sources},
	"audit":    {settings.Tree, settings.Store, settings.Sources},
	"go":       {settings.Tree, settings.Engine, settings.Store, settings.Caches, settings.Sources},
	"doctor":   {settings.Tree, settings.Engine, settings.Store, settings.Caches, settings.Sources},
	"sdk":      {settings.Tree, settings.Engine, settings.Store, settings.Caches, settings.Sources},
	"cache":    {settings.Store},
	"keys":     {settings.Tree, settings.Image},
	"publish":  {settings.Tree},
	"ci":       {settings.Tree, settings.Store},
}

// heeds returns the groups of settings that a command heeds.
func heeds(cmd *cobra.Command) []settings.Group {
	for cmd.HasParent() && cmd.Parent().HasParent() {
		cmd = cmd.Parent()
	}
	return heeded[cmd.Name()]
}

// flagsFor returns the persistent flags that a command's help shows: those of the tree, which are
// used all the time, and those that are no settings. The others are listed by "help settings".
func flagsFor(cmd *cobra.Command) *pflag.FlagSet {
	shown := pflag.NewFlagSet("", pflag.ContinueOnError)
	groups := heeds(cmd)
	if len(groups) == 0 && cmd.HasParent() {
		return shown
	}
	ofGroup := map[string]settings.Group{}
	for _, one := range settings.List {
		ofGroup[one.Flag()] = one.Group
	}
	few := len(groups) < 2
	given := cmd.InheritedFlags()
	if !cmd.HasParent() {
		given = cmd.PersistentFlags()
	}
	often := []string{"jobs", "progress"}
	given.VisitAll(func(f *pflag.Flag) {
		switch g, isSetting := ofGroup[f.Name]; {
		case isSetting && !slices.Contains(groups, g):
		case !isSetting, few, g == settings.Tree, slices.Contains(often, f.Name):
			shown.AddFlag(f)
		}
	})
	return shown
}

// writeUsage shows how a command is called: its subcommands, examples and flags.
func writeUsage(cmd *cobra.Command) error {
	w := cmd.OutOrStderr()
	if cmd.Runnable() {
		fmt.Fprintf(w, "Usage:\n  %s\n", cmd.UseLine())
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "  %s COMMAND\n", cmd.CommandPath())
		writeCommands(w, cmd)
	}
	if cmd.Example != "" {
		fmt.Fprintf(w, "\nExamples:\n%s\n", strings.TrimRight(cmd.Example, "\n"))
	}
	writeFlags(w, "Flags", cmd.LocalNonPersistentFlags())
	writeFlags(w, "Common flags", flagsFor(cmd))
	var more []string
	for _, g := range heeds(cmd) {
		if g != settings.Tree && len(heeds(cmd)) > 1 {
			more = append(more, string(g))
		}
	}
	if len(more) > 0 {
		fmt.Fprintf(w, "\nIt also heeds the settings of %s\n(\"buildsys help settings\").\n",
			strings.Join(more, ", "))
	}
	if !cmd.HasParent() {
		fmt.Fprint(w, "\n\"buildsys help COMMAND\" is about a command. There are also \"help settings\" "+
			"and \"help exit-status\".\n")
	}
	return nil
}

// writeCommands lists the subcommands of a command by their groups.
func writeCommands(w io.Writer, cmd *cobra.Command) {
	list := func(title string, in func(*cobra.Command) bool) {
		for _, below := range cmd.Commands() {
			if below.IsAvailableCommand() && in(below) || below.Name() == "help" && in(below) {
				if title != "" {
					fmt.Fprintf(w, "\n%s:\n", title)
					title = ""
				}
				fmt.Fprintf(w, "  %-14s  %s\n", below.Name(), below.Short)
			}
		}
	}
	for _, g := range cmd.Groups() {
		list(strings.TrimSuffix(g.Title, ":"), func(c *cobra.Command) bool { return c.GroupID == g.ID })
	}
	list("Commands", func(c *cobra.Command) bool { return c.GroupID == "" })
}

func writeFlags(w io.Writer, title string, flags *pflag.FlagSet) {
	if text := flags.FlagUsagesWrapped(helpColumns); text != "" {
		fmt.Fprintf(w, "\n%s:\n%s", title, text)
	}
}

const settingsHelp = `A setting is a flag, a variable of the environment, a line in [env] of the user's
configuration, or one in [env] of the tree's Makefile.toml, in this order of
precedence. The user's configuration is buildsys/config.toml in XDG_CONFIG_HOME,
by default ~/.config; it also has trusted-trees, a list of the checkouts whose
Makefile.toml may set everything. Other trees may set only what describes their
OS (docs/trust.md).

The flag --sdk-image is the variable BUILDSYS_SDK_IMAGE, and so on; only
--publish-repo-root-json is PUBLISH_REPO_ROOT_JSON.
`

// newExitTopic returns the page about exit statuses, which "help exit-status" shows.
func newExitTopic() *cobra.Command {
	cmd := &cobra.Command{Use: "exit-status", Short: "What the exit status of a command says",
		Args: usage(cobra.NoArgs)}
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		fmt.Fprintln(cmd.OutOrStdout(), exitStatusHelp)
	})
	return cmd
}

// newSettingsTopic returns the page about settings, which "help settings" shows.
func newSettingsTopic() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "settings",
		Short: "Every setting, by what it is about",
		Args:  usage(cobra.NoArgs),
	}
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		w := cmd.OutOrStdout()
		fmt.Fprint(w, settingsHelp)
		for _, g := range settings.Groups {
			writeFlags(w, "Settings of "+string(g), settingsOf(g, cmd.InheritedFlags()))
		}
	})
	return cmd
}

// settingsOf returns the flags of the settings of a group.
func settingsOf(g settings.Group, all *pflag.FlagSet) *pflag.FlagSet {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	for _, one := range settings.List {
		if one.Group == g {
			flags.AddFlag(all.Lookup(one.Flag()))
		}
	}
	return flags
}
