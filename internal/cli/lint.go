// lint: compares the tree's specs with its manifests.

package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"buildsys"
	"buildsys/internal/build"
	"buildsys/internal/errkind"
	"buildsys/internal/git"
	"buildsys/internal/lint"
	"buildsys/internal/manifest"
	"buildsys/internal/safetext"
	"buildsys/internal/workspace"
)

// lintOptions is what a lint is about and what is done about it.
type lintOptions struct {
	names []string
	json  bool
	sarif bool
	fix   bool
}

func newLintCommand(a *app) *cobra.Command {
	var o lintOptions
	cmd := &cobra.Command{
		Use:   "lint [NAME...]",
		Short: "Compare spec files with manifests",
		Long: `Compares every spec with its manifest, without a build or an engine. It finds
needs that are not declared, with the line to add; declared dependencies,
sources and files that nothing uses; sources that are nowhere; included-packages
that no RPM provides; RPMs that two packages of an image make; patches that are
applied and do not exist; line ends of Windows; in trees written for buildsys
files outside the sysroot and owners that no package makes. In a foreign tree
it also lists what the tree's own program ignores, such as unknown keys; with
--strict these are errors, as they are in trees written for buildsys.

With names it looks at these packages, the packages of these kits, and these
variants with all packages in them. Inside packages/NAME/ it looks at that
package.

Each finding is one line, FILE:LINE: WHAT IS WRONG; WHAT TO DO. Warnings begin
with "warning:". The exit status is 2 if there is an error, and 0 if there are
only warnings. Both branches of every %if are read. What only rpm can expand is
skipped, and what depends on it is at most a warning.

With --fix it writes the lines that findings say to add, and line ends, where
that is exact and changes nothing else, shows the changes, and then what is
left. Files behind symbolic links stay as they are.

A build makes the same comparison before it starts its first container, for what
it is going to build, and ends with status 2 if that cannot succeed.

With --json it prints {"format": 1, "kind": "lint", "findings": [{"level": "error"
or "warning", "file", "line", "message", "hint", "check", "certain"}...]}; line is 0 for
a file as a whole; an error is certain if no build can succeed with it.`,
		RunE: func(cmd *cobra.Command, names []string) error {
			if o.json && o.sarif {
				return errkind.Usagef("--json and --sarif are mutually exclusive")
			}
			a.keepsNothing = true
			c, _, err := a.resolve()
			if err != nil {
				return err
			}
			here, ok := workspace.Here(c.Root, a.sys.Dir)
			if o.names = names; len(names) == 0 && ok {
				o.names = []string{here.String()}
			}
			return a.lint(cmd.Context(), c, o)
		},
	}
	cmd.Flags().BoolVar(&o.json, "json", false, "write the findings as JSON")
	cmd.Flags().BoolVar(&o.sarif, "sarif", false, "write the findings in SARIF 2.1.0, for services "+
		"that show them beside the code")
	cmd.Flags().BoolVar(&o.fix, "fix", false, "write what findings say to write, where it is exact")
	return cmd
}

func (a *app) lint(ctx context.Context, c build.Config, o lintOptions) error {
	findings, packages, err := lintFindings(ctx, c, o.names)
	if err == nil && o.fix {
		findings, packages, err = a.fixFindings(ctx, c, o, findings)
	}
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
	switch {
	case o.sarif:
		err = a.printSARIF(c, findings)
	case o.json:
		err = a.printJSON("lint", map[string]any{"findings": jsonFindings(findings)})
	default:
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

// printSARIF writes findings for services, which know files by their paths in the checkout.
func (a *app) printSARIF(c build.Config, findings []lint.Finding) error {
	var text bytes.Buffer
	err := lint.WriteSARIF(&text, findings, inCheckout(c.Root), thisVersion().Version)
	if err == nil {
		_, err = a.sys.Stdout.Write(safetext.JSON(text.Bytes()))
	}
	return err
}

// inCheckout returns the directory of a tree in its checkout, with a slash at the end, or "".
func inCheckout(root string) string {
	if top, err := git.Find(root); err == nil {
		if rel := workspace.Below(top.Top(), root); rel != "" && rel != "." {
			return rel + "/"
		}
	}
	return ""
}

// mostFixes is how often the tree is looked at again: a mended mistake may have hidden another.
const mostFixes = 5

// fixFindings writes the exact fixes of findings, and returns what is left.
func (a *app) fixFindings(ctx context.Context, c build.Config, o lintOptions,
	findings []lint.Finding) (
	[]lint.Finding, int, error) {
	out := a.sys.Stdout
	if o.json || o.sarif {
		out = a.sys.Stderr
	}
	for range mostFixes {
		diffs, err := lint.Write(c.Root, findings)
		for _, text := range diffs {
			fmt.Fprint(out, text)
		}
		if err != nil {
			return nil, 0, errkind.BadUsage(err)
		}
		if len(diffs) == 0 {
			break
		}
		if findings, _, err = lintFindings(ctx, c, o.names); err != nil {
			return nil, 0, err
		}
	}
	return lintFindings(ctx, c, o.names)
}

// lintFindings checks what is named, or the tree. Specs can be compared only with valid manifests,
// so in a tree with mistakes in manifests these are the only findings.
func lintFindings(ctx context.Context, c build.Config, names []string) (findings []lint.Finding,
	packages int, err error) {
	ws, err := workspace.Load(c.Root, c.Strictness)
	if problems, ok := errors.AsType[manifest.Problems](err); ok {
		for _, p := range problems {
			findings = append(findings, lint.Finding{Level: lint.Error, Check: lint.CheckInvalidInTree,
				Problem: p})
		}
		return findings, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	steps, err := lintSteps(ws, names)
	if err != nil {
		return nil, 0, err
	}
	findings, err = lint.Tree(ctx, ws, buildsys.Recipe)
	findings = slices.DeleteFunc(findings, func(f lint.Finding) bool { return !steps[f.Of] })
	for step := range steps {
		if strings.HasPrefix(step, "package/") {
			packages++
		}
	}
	return findings, packages, err
}

// lintSteps returns the steps that names are about: packages, the packages of kits, variants with
// all packages in them. Without names it returns those of the tree, and "" for the rest of it.
func lintSteps(ws *workspace.Workspace, names []string) (map[string]bool, error) {
	steps := map[string]bool{}
	add := func(kind workspace.Kind, names ...string) {
		for _, name := range names {
			steps[workspace.Target{Kind: kind, Name: name}.String()] = true
		}
	}
	if len(names) == 0 {
		steps[""] = true
		add(workspace.PackageKind, ws.PackageNames()...)
		add(workspace.VariantKind, ws.VariantNames()...)
		add(workspace.KitKind, ws.KitNames()...)
	}
	for _, text := range names {
		t, err := ws.Find(text)
		if err != nil {
			return nil, err
		}
		add(t.Kind, t.Name)
		switch t.Kind {
		case workspace.KitKind:
			add(workspace.PackageKind, ws.KitContents(t.Name)...)
		case workspace.VariantKind:
			v := ws.Variants[t.Name]
			closure := ws.Graph().Closure(slices.Concat(v.BuildRequires, v.Requires)...)
			add(workspace.PackageKind, workspace.Packages(closure)...)
		}
	}
	return steps, nil
}

// findingJSON is one finding of lint --json.
type findingJSON struct {
	Level   lint.Level `json:"level"`
	File    string     `json:"file"`
	Line    int        `json:"line"`
	Message string     `json:"message"`
	Hint    string     `json:"hint"`
	Check   lint.Check `json:"check"`
	Certain bool       `json:"certain"`
}

func jsonFindings(findings []lint.Finding) []findingJSON {
	out := []findingJSON{}
	for _, f := range findings {
		out = append(out, findingJSON{f.Level, f.File, f.Line, f.Msg, f.Hint, f.Check,
			f.Certain()})
	}
	return out
}
