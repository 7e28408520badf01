// graph: shows which packages need which, as text or as a drawing.

package cli

import (
	"bufio"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"buildsys/internal/build"
	"buildsys/internal/errkind"
	"buildsys/internal/graph"
	"buildsys/internal/workspace"
)

// graphFormats lists the values of --format.
var graphFormats = []struct {
	name   string
	render func(graph.View, io.Writer) error
}{
	{"text", graph.View.Tree},
	{"order", graph.View.Order},
	{"dot", graph.View.DOT},
	{"json", graph.View.JSON},
	{"svg", graph.View.SVG},
}

func newGraphCommand(a *app) *cobra.Command {
	var format string
	var reverse bool
	cmd := &cobra.Command{
		Use:   "graph [NAME...]",
		Short: "Show which package needs which",
		Long: `Shows the named packages and everything they need, or with --reverse everything
that needs them, up to the variants. Without a name it shows the package of the
directory packages/NAME/, else the variant of the directory or of the settings,
else all variants. With --variant it shows only what is in that variant.

In text, ├─ leads to a need of the build and ├╌ to one of run time; (*) marks a
package whose own needs appear further up.

  --format order    what can be built at once: one line for each level
  --format svg      a drawing; a need stands to the left of who has it
  --format dot      for Graphviz; needs of run time are dashed
  --format json     {"format": 1, "kind": "graph", "title", "reverse",
                    "roots": [NAME...], "nodes": [{"name", "level",
                    "build": [NAME...], "runtime": [NAME...]}...]}
                    A variant is named variant/NAME, a kit kit/NAME. With --reverse,
                    "build" and "runtime" name those that need the node. Later
                    versions only add keys.`,
		RunE: func(_ *cobra.Command, names []string) error {
			a.keepsNothing = true
			c, _, err := a.resolve()
			if err != nil {
				return err
			}
			only := ""
			if a.flags.Changed("variant") {
				only = c.Variant
			}
			return a.showGraph(c, graphRequest{names: names, only: only, format: format, reverse: reverse})
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text, order, dot, json or svg")
	cmd.Flags().BoolVar(&reverse, "reverse", false, "show who needs the packages")
	return cmd
}

type graphRequest struct {
	names   []string
	only    string // variant that limits the graph; empty for no limit
	format  string
	reverse bool
}

func (a *app) showGraph(c build.Config, r graphRequest) error {
	render, err := graphRenderer(r.format)
	if err != nil {
		return err
	}
	ws, err := workspace.Load(c.Root, c.Strictness)
	if err != nil {
		return err
	}
	g, err := variantGraph(ws, r.only)
	if err != nil {
		return err
	}
	roots, err := a.graphRoots(c, ws, g, r)
	if err != nil {
		return err
	}
	title := strings.Join(roots, ", ")
	if r.reverse {
		title = "who needs " + title
	}
	out := bufio.NewWriter(a.sys.Stdout)
	if err := render(graph.NewView(g, title, roots, r.reverse), out); err != nil {
		return err
	}
	return out.Flush()
}

func graphRenderer(format string) (func(graph.View, io.Writer) error, error) {
	var known []string
	for _, f := range graphFormats {
		if f.name == format {
			return f.render, nil
		}
		known = append(known, f.name)
	}
	return nil, errkind.Usagef("unknown --format %q: use %s", format, strings.Join(known, ", "))
}

// variantNode returns the name of a variant's node in a graph, which no package can have.
func variantNode(name string) string { return "variant/" + name }

// variantGraph returns the packages of the tree and above them its variants. If only is set, it
// returns that variant and what it reaches.
func variantGraph(ws *workspace.Workspace, only string) (*graph.Graph, error) {
	if only != "" && ws.Variants[only] == nil {
		return nil, noSuch("variant", only, ws.VariantNames())
	}
	g := ws.Graph()
	for _, name := range ws.VariantNames() {
		g.AddNode(variantNode(name))
		for _, dep := range ws.Variants[name].BuildRequires {
			g.AddBuild(variantNode(name), dep)
		}
		for _, dep := range ws.Variants[name].Requires {
			g.AddRuntime(variantNode(name), dep)
		}
	}
	if only == "" {
		return g, nil
	}
	part := graph.New()
	for _, name := range g.Closure(variantNode(only)) {
		part.AddNode(name)
		for _, to := range g.Build(name) {
			part.AddBuild(name, to)
		}
		for _, to := range g.Runtime(name) {
			part.AddRuntime(name, to)
		}
	}
	return part, nil
}

// graphRoots returns the nodes that the graph is about: those of the arguments, the directory or
// the settings, or all variants.
func (a *app) graphRoots(c build.Config, ws *workspace.Workspace, g *graph.Graph,
	r graphRequest) ([]string, error) {
	here, ok := workspace.Here(c.Root, a.sys.Dir)
	switch {
	case len(r.names) > 0:
	case ok && r.only == "" && here.Kind != workspace.VariantKind:
		r.names = []string{here.String()}
	case r.reverse:
		return nil, errkind.Usagef("no package named: name one, or run inside packages/NAME/")
	case here.Kind == workspace.VariantKind:
		return variantRoots(ws, r.only, here.Name, c.Variant)
	default:
		return variantRoots(ws, r.only, c.Variant)
	}
	var roots []string
	for _, name := range r.names {
		t, err := ws.Find(name)
		if err != nil {
			return nil, err
		}
		node := graphNode(t)
		if !g.Has(node) {
			return nil, errkind.Usagef("%s %q is not in variant %s; omit --variant to see who needs it",
				t.Kind, t.Name, r.only)
		}
		roots = append(roots, node)
	}
	return slices.Compact(slices.Sorted(slices.Values(roots))), nil
}

// graphNode returns the name of a target's node in a graph.
func graphNode(t workspace.Target) string {
	switch t.Kind {
	case workspace.KitKind:
		return workspace.KitNode(t.Name)
	case workspace.VariantKind:
		return variantNode(t.Name)
	}
	return t.Name
}

// variantRoots returns the first nonempty candidate, or all variants of the tree if there is none.
func variantRoots(ws *workspace.Workspace, candidates ...string) ([]string, error) {
	for _, name := range candidates {
		switch {
		case name == "":
		case ws.Variants[name] == nil:
			return nil, noSuch("variant", name, ws.VariantNames())
		default:
			return []string{variantNode(name)}, nil
		}
	}
	var all []string
	for _, name := range ws.VariantNames() {
		all = append(all, variantNode(name))
	}
	if len(all) == 0 { // a tree of kits, or only of packages
		for _, name := range ws.KitNames() {
			all = append(all, workspace.KitNode(name))
		}
	}
	if len(all) == 0 {
		return ws.PackageNames(), nil
	}
	return all, nil
}
