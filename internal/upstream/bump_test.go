// Specs and manifests of another version, in the ways in which real ones are written.

package upstream

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"buildsys/internal/golden"
	"buildsys/internal/manifest"
)

// TestBump compares what becomes of a package with what the file in testdata says. Its file "to"
// has the new version, and the macro if one is named.
func TestBump(t *testing.T) {
	golden.Trees(t, "testdata/bump/*.txtar", 15, []string{"result"},
		func(t *testing.T, a *txtar.Archive) []string {
			var p Package
			files := map[string]string{}
			for _, f := range a.Files {
				files[f.Name] = string(f.Data)
			}
			parsed, problems := manifest.ParsePackage("packages/a/Cargo.toml",
				[]byte(files["Cargo.toml"]), manifest.Rules{})
			if err := problems.Err(); err != nil {
				t.Fatal(err)
			}
			p.Package, p.Spec, p.SpecFile = parsed, files["a.spec"], "packages/a/a.spec"
			version, macro, _ := strings.Cut(strings.TrimSpace(files["to"]), " ")
			p.Macro = macro
			return []string{changed(p, files["Cargo.toml"], version)}
		})
}

// changed returns the lines that change, warnings, or the error.
func changed(p Package, text, version string) string {
	n, err := Find(p)
	if err != nil {
		return err.Error() + "\n"
	}
	c, err := n.To(version)
	if err != nil {
		return err.Error() + "\n"
	}
	sums := map[string]string{}
	for i, m := range c.Moves {
		sums[m.To.URL] = strings.Repeat(fmt.Sprint(5+i), 128)
	}
	after, err := c.Manifest(text, sums, manifest.Rules{})
	if err != nil {
		return err.Error() + "\n"
	}
	return "from " + c.Old + "\n" + lines(p.Spec, c.Spec) + lines(text, after) +
		strings.Join(append(c.Warnings, ""), "\n")
}

func lines(before, after string) string {
	var out strings.Builder
	a, b := strings.Split(before, "\n"), strings.Split(after, "\n")
	for i := range a {
		if a[i] != b[i] {
			fmt.Fprintf(&out, "%d: %s\n", i+1, b[i])
		}
	}
	return out.String()
}
