// lint: compares the tree's specs with its manifests.

package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"buildsys"
	"buildsys/internal/build"
	"buildsys/internal/errkind"
	"buildsys/internal/lint"
	"buildsys/internal/manifest"
	"buildsys/internal/workspace"
)

func newLintCommand(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "lint",
		Short: "Compare spec files with manifests",
		Long: `Compares every spec with its manifest, without a build or an engine. It finds
needs that are not declared, with the line to add; declared dependencies,
sources and files that nothing uses; sources that are nowhere; included-packages
that no RPM provides; RPMs that two packages of an image make; patches that are
applied and do not exist; line ends of Windows; in trees written for buildsys
files outside the sysroot and owners that no package makes. In a foreign tree
it also lists what the tree's own program ignores, such as unknown keys; with
--strict these are errors, as they are in trees written for buildsys.

Each finding is one line, FILE:LINE: WHAT IS WRONG; WHAT TO DO. Warnings begin
with "warning:". The exit status is 2 if there is an error, and 0 if there are
only warnings. Both branches of every %if are read. What only rpm can expand is
skipped, and what depends on it is at most a warning.

With --json it prints {"format": 1, "kind": "lint", "findings": [{"level": "error"
or "warning", "file", "line", "message", "hint"}...]}; line is 0 for a file as a
whole.`,
		Args: usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			a.keepsNothing = true
			c, _, err := a.resolve()
			if err != nil {
				return err
			}
			return a.lint(c, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write the findings as JSON")
	return cmd
}

func (a *app) lint(c build.Config, asJSON bool) error {
	findings, packages, err := lintFindings(c)
	if err != nil {
		return err
	}
	errs := 0
	var notes manifest.Problems
	for _, f := range findings {
		f.Problem.Warning = f.Level != lint.Error
		notes = append(notes, f.Problem)
		if f.Level == lint.Error {
			errs++
		}
	}
	a.annotate(notes)
	if asJSON {
		err = a.printJSON("lint", map[string]any{"findings": jsonFindings(findings)})
	} else {
		for _, f := range findings {
			fmt.Fprintln(a.sys.Stdout, f)
		}
		fmt.Fprintf(a.sys.Stderr, "lint: %s, %s, %s\n", count(packages, "package"),
			count(errs, "error"), count(len(findings)-errs, "warning"))
	}
	if err == nil && errs > 0 {
		err = shownError{errkind.Usagef("lint found errors")}
	}
	return err
}

// lintFindings checks the tree. Specs can be compared only with valid manifests, so in a tree with
// mistakes in manifests these are the only findings.
func lintFindings(c build.Config) (findings []lint.Finding, packages int, err error) {
	ws, err := workspace.Load(c.Root, c.Strictness)
	if problems, ok := errors.AsType[manifest.Problems](err); ok {
		for _, p := range problems {
			findings = append(findings, lint.Finding{Level: lint.Error, Problem: p})
		}
		return findings, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	findings, err = lint.Tree(ws, buildsys.Recipe)
	return findings, len(ws.Packages), err
}

// findingJSON is one finding of lint --json.
type findingJSON struct {
	Level   lint.Level `json:"level"`
	File    string     `json:"file"`
	Line    int        `json:"line"`
	Message string     `json:"message"`
	Hint    string     `json:"hint"`
}

func jsonFindings(findings []lint.Finding) []findingJSON {
	out := []findingJSON{}
	for _, f := range findings {
		out = append(out, findingJSON{f.Level, f.File, f.Line, f.Msg, f.Hint})
	}
	return out
}
