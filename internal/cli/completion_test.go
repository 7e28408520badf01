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
