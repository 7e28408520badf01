// uses: what a package uses of first-party code, for the recipes of trees whose builds had all of
// sources/ and .cargo/ at hand, for specs to take what they want.

package plan

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"buildsys/internal/confined"
	"buildsys/internal/workspace"
)

// uses is what the spec of a package uses of first-party code, and what else of it matters here.
type uses struct {
	source func(name string) bool // reports whether it sees a file below sources/
	whole  bool                   // it sees all of sources/
	cargo  bool
	spec   []byte
}

// maxSpec bounds a spec. The largest of distributions, of kernels and TeX, are below a megabyte.
const maxSpec = 16 << 20

// uses returns what a package uses of first-party code.
func (m *maker) uses(pkg *workspace.Package) uses {
	u, ok := m.used[pkg.Name]
	if !ok {
		u = usesOf(m.ws, pkg)
		m.used[pkg.Name] = u
	}
	return u
}

// usesOf returns what a package uses of sources/: its source groups. But cargo reads the manifests
// of all members of a workspace to build one of them, so a spec that names the manifest of the
// workspace sees all of sources/.
func usesOf(ws *workspace.Workspace, pkg *workspace.Package) uses {
	spec, err := confined.ReadIn(ws.FS, pkg.Dir+"/"+pkg.Name+".spec", maxSpec)
	// Without a spec nothing is built, and the loader has reported it. One that cannot be read may
	// name anything.
	unread := err != nil && !errors.Is(err, fs.ErrNotExist)
	whole := unread || bytes.Contains(spec, []byte(sourcesTop+"/Cargo.toml"))
	return uses{
		whole: whole, cargo: unread || bytes.Contains(spec, []byte("cargo")), spec: spec,
		source: func(name string) bool {
			return whole || slices.ContainsFunc(pkg.SourceGroups,
				func(group string) bool { return within(name, sourcesTop+"/"+group) })
		},
	}
}

// cargoLock reports whether a file is a working file of cargo, whose contents are no input of a
// build.
func cargoLock(name string) bool {
	base, ok := strings.CutPrefix(name, cargoTop+"/")
	return ok && (strings.HasPrefix(base, ".package-cache") ||
		strings.HasPrefix(base, ".global-cache") || strings.HasPrefix(base, "bin/") ||
		base == ".crates.toml" || base == ".crates2.json")
}
