// Tests of the tables of completions: they are about commands and flags that are there.

package cli

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestCompletions(t *testing.T) {
	root := newRootCommand(&System{Getenv: func(string) string { return "" }})
	find := func(path string) *cobra.Command {
		cmd, rest, err := root.Find(strings.Fields(path))
		if err != nil || len(rest) > 0 {
			t.Errorf("no command %q", path)
			return nil
		}
		return cmd
	}
	for path := range completedArguments {
		if cmd := find(path); cmd != nil && cmd.ValidArgsFunction == nil {
			t.Errorf("%s completes no arguments", path)
		}
	}
	names := slices.Concat(slices.Collect(maps.Keys(completedFlags)),
		slices.Collect(maps.Keys(completedNames)))
	for _, entry := range names {
		path, name, _ := strings.Cut(entry, "--")
		cmd := find(path)
		if cmd == nil {
			continue
		}
		flag := cmd.Flag(name)
		if flag == nil {
			t.Errorf("%s: no such flag", entry)
			continue
		}
		if _, ok := cmd.GetFlagCompletionFunc(name); !ok {
			t.Errorf("%s is not completed", entry)
		}
		for _, value := range completedFlags[entry] {
			if !strings.Contains(flag.Usage+" "+flag.DefValue, value) {
				t.Errorf("%s: its help does not say %q: %s", entry, value, flag.Usage)
			}
		}
	}
}

// TestFishGetsQuotedWords: the script for fish evaluates no word of the command line but its first.
// What fish does with it was tried: with cobra's script, completing what comes after
// "inspect \$\(touch\ x\).img" makes a file x.
func TestFishGetsQuotedWords(t *testing.T) {
	for _, flags := range [][]string{nil, {"--no-descriptions"}} {
		var out strings.Builder
		root := newRootCommand(&System{Getenv: func(string) string { return "" }})
		root.SetOut(&out)
		root.SetArgs(append([]string{"completion", "fish"}, flags...))
		if err := root.Execute(); err != nil {
			t.Fatal(err)
		}
		script := out.String()
		if strings.Contains(script, fishWords+"\n") || strings.Count(script, fishEscaped) != 1 {
			t.Errorf("%s: words are evaluated:\n%s", flags, script)
		}
	}
}
