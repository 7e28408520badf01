// completion: completes arguments with names of the tree, and flags with their values. The scripts
// for shells are cobra's.

package cli

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"buildsys/internal/manifest"
	"buildsys/internal/scaffold"
)

const (
	packagesDir = "packages"
	kitsDir     = "kits"
	variantsDir = "variants"
)

// completed is what the arguments of a command are: names of what has a manifest below one of these
// directories of the tree.
type completed struct {
	dirs []string
	most int  // arguments; 0 for any number
	file bool // or a file
	// first is an argument before these, which nothing completes.
	first bool
}

var (
	anyNames     = completed{dirs: []string{packagesDir, kitsDir, variantsDir}}
	packageNames = completed{dirs: []string{packagesDir}}
	packageName  = completed{dirs: []string{packagesDir}, most: 1}
	variantName  = completed{dirs: []string{variantsDir}, most: 1}
	imageName    = completed{dirs: []string{variantsDir}, most: 1, file: true}
	imageNames   = completed{dirs: []string{variantsDir}, most: 2, file: true}
)

// completedArguments are the arguments by the path of the command.
var completedArguments = map[string]completed{
	"audit":          anyNames,
	"boot":           variantName,
	"build-kit":      {dirs: []string{kitsDir}},
	"build-package":  packageNames,
	"build-variant":  {dirs: []string{variantsDir}},
	"bump":           packageName,
	"dev":            packageName,
	"fetch":          anyNames,
	"graph":          anyNames,
	"image cat":      imageName,
	"image diff":     imageNames,
	"image extract":  imageName,
	"image list":     variantName,
	"image ls":       imageName,
	"image owner":    imageName,
	"image sbom":     imageName,
	"image size":     imageName,
	"inspect":        imageName,
	"lint":           anyNames,
	"log":            {dirs: anyNames.dirs, most: 1},
	"new variant":    {dirs: []string{packagesDir}, first: true},
	"outdated":       anyNames,
	"plan":           anyNames,
	"publish kit":    {dirs: []string{kitsDir}, most: 1},
	"repack-variant": variantName,
	"shell":          packageName,
	"verify":         imageName,
	"why":            anyNames,
}

// completedFlags are the values of flags, by the path of the command and the flag's name; of flags
// of many commands by the name alone.
var completedFlags = map[string][]string{
	"--arch":                     manifest.Architectures(),
	"--compile-cache":            {"on", "read", "off"},
	"--ci":                       {"auto", "github", "gitlab", "codebuild", "none"},
	"--progress":                 {"auto", "live", "plain", "json"},
	"boot --accel":               {"auto", "kvm", "hvf", "tcg"},
	"build-package --on-failure": {"shell"},
	"graph --format":             {"text", "order", "dot", "json", "svg"},
	"image sbom --format":        {"text", "json", "spdx", "cyclonedx"},
	"image size --format":        {"text", "json", "svg"},
	"init --ci":                  scaffold.CIServices(),
	"init --vcs":                 {"git", "none"},
	"report --format":            {"html", "trace", "durations"},
	"shell --at":                 strings.Split(stageList(), ", "),
}

// completedNames are the flags whose values are names of the tree.
var completedNames = map[string]completed{
	"--variant":          variantName,
	"new variant --from": variantName,
}

// addCompletion adds the completion of arguments and flags to the commands.
func addCompletion(root *cobra.Command, a *app) {
	for _, cmd := range commandsBelow(root) {
		path := strings.TrimPrefix(cmd.CommandPath(), root.Name()+" ")
		if what, ok := completedArguments[path]; ok {
			cmd.ValidArgsFunction = a.completion(what)
		}
		// These fail only for flags that do not exist or have a completion.
		for flag, values := range completedFlags {
			if name, ok := flagOf(flag, path); ok {
				_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values,
					cobra.ShellCompDirectiveNoFileComp))
			}
		}
		for flag, what := range completedNames {
			if name, ok := flagOf(flag, path); ok {
				_ = cmd.RegisterFlagCompletionFunc(name, a.completion(what))
			}
		}
	}
	root.InitDefaultCompletionCmd()
	if scripts, _, err := root.Find([]string{"completion"}); err == nil {
		scripts.Args = usage(cobra.NoArgs)
		scripts.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	if fish, _, err := root.Find([]string{"completion", "fish"}); err == nil {
		fish.RunE = func(cmd *cobra.Command, _ []string) error { return fishScript(cmd) }
	}
}

// In fish, commandline -o returns words without their quotes, and cobra's script evaluates them: a
// file called $(command) that was completed would run it once the next word is completed. The first
// word is the command, as ~/bin/buildsys.
const (
	fishWords   = "set -l args (commandline -opc)"
	fishEscaped = "set -l args (commandline -opc)[1] (string escape -- (commandline -opc)[2..-1])"
)

// fishScript writes the script for fish, with words in quotes.
func fishScript(cmd *cobra.Command) error {
	bare, err := cmd.Flags().GetBool("no-descriptions")
	if err != nil {
		return err
	}
	var script bytes.Buffer
	if err := cmd.Root().GenFishCompletion(&script, !bare); err != nil {
		return err
	}
	if bytes.Count(script.Bytes(), []byte(fishWords)) != 1 {
		return errors.New("the script for fish has another form")
	}
	_, err = cmd.OutOrStdout().Write(bytes.ReplaceAll(script.Bytes(), []byte(fishWords),
		[]byte(fishEscaped)))
	return err
}

// commandsBelow returns a command and all below it.
func commandsBelow(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, below := range cmd.Commands() {
		all = append(all, commandsBelow(below)...)
	}
	return all
}

// flagOf returns the name in an entry such as "graph --format", if it is about the command at path.
// One without a command is about the root, whose flags all commands have.
func flagOf(entry, path string) (name string, ok bool) {
	cmd, name, _ := strings.Cut(entry, "--")
	if cmd == "" {
		return name, path == "buildsys"
	}
	return name, strings.TrimSpace(cmd) == path
}

// completion returns the function that completes with names.
func (a *app) completion(what completed) cobra.CompletionFunc {
	return func(_ *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
		directive := cobra.ShellCompDirectiveNoFileComp
		if what.file {
			directive = cobra.ShellCompDirectiveDefault
		}
		dir, err := a.caller().Root()
		if err != nil || what.first && len(given) == 0 || what.most > 0 && len(given) >= what.most {
			return nil, directive
		}
		var left []string
		for _, parent := range what.dirs {
			left = append(left, scaffold.ManifestsBelow(dir, parent)...)
		}
		return slices.DeleteFunc(left, func(name string) bool {
			return slices.Contains(given, name) || !offered(name)
		}), directive
	}
}

// offered reports whether a name of a tree may become a part of the command line: one such as
// --trust-tree would be a flag there, and a shell may take signs in others for more than a name.
func offered(name string) bool { return manifest.ValidName(strings.ToLower(name)) }
