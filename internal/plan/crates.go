// crates: the crates that first-party code needs, as a vendor directory in what a build sees. Which
// they are, and their checksums, is in a Cargo.lock that the build sees too, so they are no inputs
// of their own.

package plan

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"buildsys/internal/confined"
	"buildsys/internal/crates"
	"buildsys/internal/safetext"
	"buildsys/internal/workspace"
)

// cargoConfig is the name of cargo's configuration below .cargo. cargo takes the paths in it as
// relative to the directory that has .cargo.
const (
	cargoConfig = "config.toml"
	vendorTop   = "vendor"
)

// cargoSources is the configuration that replaces the public registry by the vendor directory.
const cargoSources = `[source.crates-io]
replace-with = "vendored-sources"

[source.vendored-sources]
directory = ".cargo/vendor"
`

// Needs is what the first-party code of a package needs from elsewhere.
type Needs struct {
	Sums   []GoSums // of its Go modules that have no vendor/
	Crates []Crates
}

// FirstParty returns what the first-party code of a package needs. warn is called for what has to
// be got in another way.
func FirstParty(ws *workspace.Workspace, pkg *workspace.Package, warn func(string)) (Needs, error) {
	var n Needs
	modules, err := goModules(ws, pkg)
	if err != nil {
		return n, err
	}
	for _, m := range modules {
		n.Sums = append(n.Sums, m.GoSums)
	}
	lock, names, err := crateLocks(ws, pkg)
	for _, o := range lock.Others {
		warn(elsewhere(o, names))
	}
	if len(lock.Crates) > 0 {
		n.Crates = []Crates{{Of: strings.Join(names, ", "), List: lock.Crates}}
	}
	return n, err
}

// elsewhere is the warning about a package that is not of the public registry.
func elsewhere(o crates.Other, locks []string) string {
	return fmt.Sprintf("%s: %s %s comes from %s, which buildsys does not fetch: put all crates into "+
		"%s/%s with cargo vendor", strings.Join(locks, ", "), safetext.Line(o.Name),
		safetext.Line(o.Version), safetext.Line(o.Source), cargoTop, vendorTop)
}

// crateLocks returns what the Cargo.lock files below sources/ name that a package with cargo in its
// spec sees, and their names. They are none if the tree itself has crates in .cargo/.
func crateLocks(ws *workspace.Workspace, pkg *workspace.Package) (crates.Lock, []string, error) {
	u := usesOf(ws, pkg)
	if !u.cargo || ownCrates(ws) {
		return crates.Lock{}, nil, nil
	}
	files, err := ws.TreeFiles(sourcesTop, func(dir string) bool {
		return skipGoDir(dir) || path.Base(dir) == "node_modules"
	})
	if err != nil {
		return crates.Lock{}, nil, err
	}
	var locks []crates.Lock
	var names []string
	for _, f := range files {
		if path.Base(f.Name) != "Cargo.lock" || f.Link != "" || !u.source(f.Name) {
			continue
		}
		text, err := confined.ReadIn(ws.FS, f.Name, crates.MaxLock)
		if err != nil {
			return crates.Lock{}, nil, &RequestError{What: "package " + pkg.Name, Why: err.Error()}
		}
		lock, err := crates.ParseLock(f.Name, text)
		if err != nil {
			return crates.Lock{}, nil, &RequestError{What: "package " + pkg.Name, Why: err.Error()}
		}
		locks, names = append(locks, lock), append(names, f.Name)
	}
	all, err := crates.Merge(locks...)
	if err != nil {
		return all, names, &RequestError{What: "package " + pkg.Name, Why: err.Error()}
	}
	return all, names, nil
}

// ownCrates reports whether somebody has put crates into the tree's .cargo/, as "cargo fetch" and
// "cargo vendor" do. They are then used as they are.
func ownCrates(ws *workspace.Workspace) bool {
	for _, name := range []string{"registry", vendorTop} {
		if entries, err := fs.ReadDir(ws.FS, cargoTop+"/"+name); err == nil && len(entries) > 0 {
			return true
		}
	}
	return false
}

// crateFiles returns what a package needs of crates: the fetches of its step, cargo's
// configuration, and the crates, under names below .cargo/. There is none if cargo is not used.
func (m *maker) crateFiles(pkg *workspace.Package) (need []Crates, config []File, dirs []*Dir,
	err error) {
	lock, names, err := crateLocks(m.ws, pkg)
	if err != nil || len(lock.Crates)+len(lock.Others) == 0 {
		return nil, nil, nil, err
	}
	for _, o := range lock.Others {
		m.warn("%s", elsewhere(o, names))
	}
	old, text, err := m.oldCargoConfig()
	if err != nil {
		return nil, nil, nil, err
	}
	if strings.Contains(text, "[source") {
		m.warn("%s has sources of its own, so buildsys adds no crates to %s", old, cargoTop)
		return nil, nil, nil, nil
	}
	config = []File{{Name: old, Data: []byte(text + cargoSources), Mode: 0o644}}
	for _, c := range lock.Crates {
		dirs = append(dirs, &Dir{Name: vendorTop + "/" + c.String(), Host: m.r.Sources.Crate(c)})
	}
	return []Crates{{Of: strings.Join(names, ", "), List: lock.Crates}}, config, dirs, nil
}

// oldCargoConfig returns the name below .cargo/ and the text of the configuration that cargo would
// read there.
func (m *maker) oldCargoConfig() (name, text string, err error) {
	for _, name := range []string{"config", cargoConfig} {
		data, err := confined.ReadIn(m.ws.FS, cargoTop+"/"+name, crates.MaxLock)
		if err == nil {
			return name, strings.TrimRight(string(data), "\n") + "\n\n", nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return name, "", &RequestError{What: "the tree", Why: fmt.Sprintf("%s/%s: %v", cargoTop, name,
				err)}
		}
	}
	return cargoConfig, "", nil
}

// below returns files and directories under names below a directory.
func below(top string, files []File, dirs []*Dir) ([]File, []*Dir) {
	files, dirs = slices.Clone(files), slices.Clone(dirs)
	for i := range files {
		files[i].Name = top + "/" + files[i].Name
	}
	for i, d := range dirs {
		dirs[i] = &Dir{Name: top + "/" + d.Name, Host: d.Host, Step: d.Step}
	}
	return files, dirs
}
