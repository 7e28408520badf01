// Golden causes: captured output of failed steps, and what is said of it.

package diagnosis

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"buildsys/internal/golden"
)

func TestOf(t *testing.T) {
	golden.Trees(t, filepath.Join("testdata", "*.txtar"), 20, []string{"cause"},
		func(_ *testing.T, a *txtar.Archive) []string {
			var lines []string
			tree := Tree{Package: "greet", File: func(name string) []byte {
				for _, f := range a.Files {
					if f.Name == "files/"+name {
						return f.Data
					}
				}
				return nil
			}, Owners: func(Wanted) []Owner { return nil }}
			for _, f := range a.Files {
				switch f.Name {
				case "output":
					lines = strings.Split(strings.TrimSuffix(string(f.Data), "\n"), "\n")
				case "owners":
					tree.Owners = owners(string(f.Data))
				}
			}
			c := Of(lines, 1, tree)
			var b strings.Builder
			fmt.Fprintf(&b, "%s\nhint: %s\n", c.Line(), c.Hint)
			for _, line := range c.Lines {
				fmt.Fprintf(&b, "| %s\n", line)
			}
			return []string{b.String()}
		})
}

// owners returns those of the lines "RPM PACKAGE PATH DECLARED".
func owners(text string) func(Wanted) []Owner {
	var all []Owner
	for line := range strings.Lines(text) {
		w := strings.Fields(line)
		all = append(all, Owner{RPM: w[0], Package: w[1], Path: w[2], Declared: w[3] == "yes",
			Requires: strings.Replace(w[0], "skiff-", "%{_cross_os}", 1),
			Entry:    fmt.Sprintf("%s = { path = %q }", w[1], "../"+w[1])})
	}
	return func(w Wanted) (found []Owner) {
		for _, o := range all {
			if w.Path != "" && path.Base(o.Path) == path.Base(w.Path) {
				found = append(found, o)
			}
		}
		return found
	}
}
