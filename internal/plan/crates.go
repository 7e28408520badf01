// crates: the crates that first-party code needs, as vendor directories in what a build sees. Which
// they are, and their checksums or commits, is in a Cargo.lock that the build sees too, so they are
// no inputs of their own. Crates of git repositories are changed on the way (crates.GitCrate); who
// changes how changes the name gitTop, which is in the configuration and so in keys.

package plan

import (
	"errors"
	"fmt"
	"io/fs"
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
	gitTop      = "vendor-git" // has a directory for each commit
)

// cargoSources is the configuration that replaces the public registry by the vendor directory.
const cargoSources = `[source.crates-io]
replace-with = "vendored-sources"

[source.vendored-sources]
directory = ".cargo/vendor"
`

// sourcesOf is the configuration that replaces the places of a lock by vendor directories. cargo
// wants each place once, and those directories to exist. Repositories have a directory each:
// two may have a crate of one name and version, and the registry that too.
func sourcesOf(lock crates.Lock) string {
	var parts []string
	if len(lock.Crates) > 0 {
		parts = append(parts, cargoSources)
	}
	seen := map[string]bool{}
	for _, c := range lock.Git {
		at, by := c.From, gitTop+"-"+c.From.Commit
		if !seen[at.ID()] {
			parts = append(parts, at.Config(by))
		}
		if !seen[by] {
			parts = append(parts, fmt.Sprintf("[source.%s]\ndirectory = \"%s/%s\"\n", by, cargoTop,
				gitDir(at)))
		}
		seen[at.ID()], seen[by] = true, true
	}
	return strings.Join(parts, "\n")
}

// gitDir is the directory below .cargo/ with the crates of a repository.
func gitDir(at crates.Git) string { return gitTop + "/" + at.Commit }

// Needs is what the first-party code of a package needs from elsewhere.
type Needs struct {
	Sums   []GoSums // of its Go modules that have no vendor/
	Crates []Crates
}

// FirstParty returns what the first-party code of a package needs. warn is called for what has to
// be got in another way.
func FirstParty(ws *workspace.Workspace, pkg *workspace.Package, warn func(string)) (Needs, error) {
	var n Needs
	modules, err := goModules(ws, pkg, findIn(ws.FS))
	if err != nil {
		return n, err
	}
	for _, m := range modules {
		n.Sums = append(n.Sums, m.GoSums)
	}
	names, err := seenLocks(ws, pkg)
	if err != nil {
		return n, err
	}
	lock, err := crateLocks(ws, pkg, names)
	elsewhere(lock.Others, names, warn)
	if len(lock.Crates)+len(lock.Git) > 0 {
		n.Crates = []Crates{{Of: strings.Join(names, ", "), List: lock.Crates, Git: lock.Git}}
	}
	return n, err
}

// elsewhere calls warn once for each place, other than the public registry and git, that packages
// of Cargo.lock files come from.
func elsewhere(others []crates.Other, locks []string, warn func(string)) {
	var sources []string
	from := map[string][]string{}
	for _, o := range others {
		if from[o.Source] == nil {
			sources = append(sources, o.Source)
		}
		from[o.Source] = append(from[o.Source], safetext.Line(o.Name+" "+o.Version))
	}
	for _, source := range sources {
		what, more := from[source][0]+" comes", len(from[source])-1
		if more > 0 {
			what = fmt.Sprintf("%s and %d more come", from[source][0], more)
		}
		warn(fmt.Sprintf("%s: %s from %s, which buildsys does not fetch: put all crates into %s/%s with "+
			"cargo vendor", strings.Join(locks, ", "), what, safetext.Line(source), cargoTop, vendorTop))
	}
}

// lockName is the name of the files that name crates with their checksums.
const lockName = "Cargo.lock"

// seenLocks returns the names of the Cargo.lock files below sources/ that a package sees if cargo
// is in its spec.
func seenLocks(ws *workspace.Workspace, pkg *workspace.Package) ([]string, error) {
	u := usesOf(ws, pkg)
	if !u.cargo {
		return nil, nil
	}
	found, err := named(ws.FS, sourcesTop, lockName)
	if err != nil {
		return nil, &RequestError{What: "package " + pkg.Name, Why: err.Error()}
	}
	return slices.DeleteFunc(found, func(name string) bool { return !u.source(name) }), nil
}

// crateLocks returns what some Cargo.lock files name: nothing if the tree itself has crates in
// .cargo/.
func crateLocks(ws *workspace.Workspace, pkg *workspace.Package, names []string) (crates.Lock,
	error) {
	if len(names) == 0 || ownCrates(ws) {
		return crates.Lock{}, nil
	}
	var locks []crates.Lock
	for _, name := range names {
		text, err := confined.ReadIn(ws.FS, name, crates.MaxLock)
		if err != nil {
			return crates.Lock{}, &RequestError{What: "package " + pkg.Name, Why: err.Error()}
		}
		lock, err := crates.ParseLock(name, text)
		if err != nil {
			return crates.Lock{}, &RequestError{What: "package " + pkg.Name, Why: err.Error()}
		}
		locks = append(locks, lock)
	}
	all, err := crates.Merge(locks...)
	if err != nil {
		return all, &RequestError{What: "package " + pkg.Name, Why: err.Error()}
	}
	return all, nil
}

// ownCrates reports whether somebody has put crates into the tree's .cargo/, as "cargo fetch" and
// "cargo vendor" do. They are then used as they are.
func ownCrates(ws *workspace.Workspace) bool {
	for _, name := range []string{"registry", vendorTop} {
		if entries, err := confined.ReadDir(ws.FS, cargoTop+"/"+name); err == nil && len(entries) > 0 {
			return true
		}
	}
	return false
}

// crateFiles returns what a package needs of the crates that the named Cargo.lock files name: the
// fetches of its step, cargo's configuration, and the crates, under names below .cargo/.
func (m *maker) crateFiles(pkg *workspace.Package, names []string) (need []Crates, config []File,
	dirs []*Dir, err error) {
	lock, err := crateLocks(m.ws, pkg, names)
	elsewhere(lock.Others, names, func(text string) { m.warn("%s", text) })
	if err != nil || len(lock.Crates)+len(lock.Git) == 0 {
		return nil, nil, nil, err
	}
	old, text, err := m.oldCargoConfig()
	if err != nil {
		return nil, nil, nil, err
	}
	if strings.Contains(text, "[source") {
		m.warn("%s has sources of its own, so buildsys adds no crates to %s", old, cargoTop)
		return nil, nil, nil, nil
	}
	config = []File{{Name: old, Data: []byte(text + sourcesOf(lock)), Mode: 0o644}}
	for _, c := range lock.Crates {
		dirs = append(dirs, &Dir{Name: vendorTop + "/" + c.String(), Host: m.r.Sources.Crate(c)})
	}
	for _, c := range lock.Git {
		dirs = append(dirs, &Dir{Name: gitDir(c.From) + "/" + c.String(), Host: m.r.Sources.GitCrate(c)})
	}
	need = []Crates{{Of: strings.Join(names, ", "), List: lock.Crates, Git: lock.Git}}
	return need, config, distinct(dirs), nil
}

// distinct drops directories with a name that another one has: a crate may be named by two
// sources of one commit.
func distinct(dirs []*Dir) []*Dir {
	seen := map[string]bool{}
	return slices.DeleteFunc(dirs, func(d *Dir) bool {
		again := seen[d.Name]
		seen[d.Name] = true
		return again
	})
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
