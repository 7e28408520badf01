// graph: the dependencies between the packages and kits of a tree.

package workspace

import "buildsys/internal/graph"

// Graph returns the packages and kits with both kinds of their dependencies.
func (w *Workspace) Graph() *graph.Graph {
	g := graph.New()
	for _, name := range w.PackageNames() {
		g.AddNode(name)
		for _, dep := range w.Packages[name].BuildRequires {
			g.AddBuild(name, dep)
		}
		for _, dep := range w.Packages[name].Requires {
			g.AddRuntime(name, dep)
		}
	}
	w.addKits(g)
	return g
}
