// twoliter: the recipe of trees written for Twoliter. Its packages are built as Twoliter builds
// them: with the RPM macros of the SDK, and first-party code and crates where their specs look for
// them. What else there is to do is the same as in our own recipe.

package plan

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"buildsys/internal/confined"
	"buildsys/internal/graph"
	"buildsys/internal/manifest"
	"buildsys/internal/workspace"
)

// twoliter is the recipe of trees written for Twoliter.
type twoliter struct {
	*native
	whole  []File // all of sources/, once it is asked for; names are relative to it
	crates []File // all of .cargo/, likewise
}

func newTwoliter(m *maker) *twoliter {
	t := &twoliter{native: newNative(m)}
	t.labels = "bottlerocket" // programs of the OS look for partitions by their labels
	return t
}

func (t *twoliter) packageStep(pkg *workspace.Package, needs graph.Set) (Step, error) {
	s, err := t.native.packageStep(pkg, needs)
	if err != nil {
		return Step{}, err
	}
	t.addIdentity(s.Solve.Args)
	t.checkVariant(pkg)
	c := s.Solve.Contexts
	if c["sources"], err = t.sources(pkg, c["sources"]); err != nil {
		return Step{}, err
	}
	if c["cargo"], s.Crates, err = t.cargo(pkg, c["sources"].Files); err != nil {
		return Step{}, err
	}
	c["beside"], err = t.beside(pkg)
	return s, err
}

// addIdentity adds what tells one commit from another. It is constant, so that packages of two
// commits are the same, unless the request names a commit.
func (t *twoliter) addIdentity(args map[string]string) {
	commit := t.m.r.Commit
	args["BUILD_ID"], args["BUILD_ID_TIMESTAMP"] = commit.ID, commit.Seconds
	if commit == (Commit{}) {
		args["BUILD_ID"], args["BUILD_ID_TIMESTAMP"] = noCommit.ID, noCommit.Seconds
	}
	if t.m.ws.Generation == manifest.TwoliterKits { // before kits, releases of RPMs had no dist
		args["DIST"] = "." + args["BUILD_ID_TIMESTAMP"] + "." +
			strings.TrimSuffix(args["BUILD_ID"], "-dirty") + ".br1"
	}
}

// sources returns the first-party code that a package sees: that of its groups, or all.
func (t *twoliter) sources(pkg *workspace.Package, groups Context) (Context, error) {
	if !t.m.uses(pkg).whole {
		return groups, nil
	}
	if t.whole == nil {
		files, err := t.treeFiles(sourcesTop)
		if err != nil {
			return Context{}, err
		}
		t.whole = files
	}
	groups.Files = t.whole
	groups.Shared = len(groups.Dirs)+len(groups.Top) == 0
	return groups, nil
}

// cargo returns the crates that a package sees: those that somebody put into .cargo/, or else those
// that have to be fetched for it.
func (t *twoliter) cargo(pkg *workspace.Package, sources []File) (Context, []Crates, error) {
	if !t.m.uses(pkg).cargo {
		return Context{}, nil, nil
	}
	if t.crates == nil {
		files, err := t.treeFiles(cargoTop)
		if err != nil {
			return Context{}, nil, err
		}
		t.crates = files
	}
	var locks []string
	for _, f := range sources {
		if path.Base(f.Name) == lockName && f.Link == "" {
			locks = append(locks, sourcesTop+"/"+f.Name)
		}
	}
	need, config, dirs, err := t.m.crateFiles(pkg, locks)
	if err != nil || len(need) == 0 {
		return Context{Files: t.crates, Shared: true}, nil, err
	}
	files := slices.DeleteFunc(slices.Clone(t.crates), func(f File) bool {
		return slices.ContainsFunc(config, func(c File) bool { return c.Name == f.Name })
	})
	files = append(files, config...)
	sortFiles(files)
	return Context{Files: files, Derived: dirs}, need, nil
}

// treeFiles returns the files of a top-level directory of the tree, with names relative to it.
func (t *twoliter) treeFiles(top string) ([]File, error) {
	found, err := t.m.ws.TreeFiles(top, func(dir string) bool {
		return t.m.secrets.hidesDir(dir) || top == sourcesTop && path.Base(dir) == "target"
	})
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(f workspace.File) bool { return cargoLock(f.Name) })
	files := t.m.secrets.visible(found, ".")
	for i := range files {
		files[i].Name = strings.TrimPrefix(files[i].Name, top+"/")
	}
	return files, nil
}

// The files that trees from before kits have beside first-party code, where rpmbuild works.
const (
	licensesFile = "Licenses.toml"
	licensesTop  = "licenses"
	rootJSONFile = "root.json"
)

// beside returns the files that the spec expects beside first-party code.
func (t *twoliter) beside(pkg *workspace.Package) (Context, error) {
	spec := t.m.uses(pkg).spec
	var files []File
	if bytes.Contains(spec, []byte(licensesFile)) {
		for _, at := range []string{licensesFile, licensesTop} {
			found, err := t.m.ws.TreeFiles(at, t.m.secrets.hidesDir)
			if err != nil {
				return Context{}, err
			}
			files = append(files, t.m.secrets.visible(found, ".")...)
		}
	}
	if bytes.Contains(spec, []byte("_cross_repo_root_json")) {
		root, err := t.rootJSON(pkg)
		if err != nil {
			return Context{}, err
		}
		files = append(files, root...)
	}
	sortFiles(files)
	return Context{Files: files}, nil
}

// rootJSON returns the root metadata of the update repository. The package would silently lack them
// if they are not there, so that is recorded as a lack.
func (t *twoliter) rootJSON(pkg *workspace.Package) ([]File, error) {
	data := t.m.r.Files.RootJSON
	if len(data) == 0 {
		var err error
		if data, err = t.treeRootJSON("package " + pkg.Name); err != nil {
			return nil, err
		}
	}
	if data == nil {
		t.m.lack("%s/%s.spec: it packs %s, which the tree does not have: %s", pkg.Dir, pkg.Name,
			t.rootJSONPath(), rootJSONHint)
		return nil, nil
	}
	return []File{{Name: rootJSONFile, Data: data, Mode: 0o644}}, nil
}

// rootJSONPath returns where Twoliter looks for the root metadata in a tree.
func (t *twoliter) rootJSONPath() string { return "roles/" + t.m.r.Files.Repo + ".root.json" }

// treeRootJSON returns the root metadata that the tree has for what, nil if it has none.
func (t *twoliter) treeRootJSON(what string) ([]byte, error) {
	data, err := confined.ReadIn(t.m.ws.FS, t.rootJSONPath(), manifest.MaxSize)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, &RequestError{What: what, Why: err.Error()}
	}
	return data, nil
}

// asksVariant finds where a spec asks for the variant: for a part of its name, or for the whole.
var asksVariant = regexp.MustCompile(
	`%\{with(?:out)? [a-z0-9_]+_(platform|runtime|family|flavor)\}|` +
		`%\{?[?!]*_cross_variant(?:_(platform|runtime|family|flavor))?\b`)

// checkVariant warns of a package whose spec asks for the variant without declaring it: in these
// builds it gets the answers of no variant.
func (t *twoliter) checkVariant(pkg *workspace.Package) {
	if t.m.ws.Generation != manifest.Twoliter || pkg.VariantSensitive == "variant" {
		return
	}
	for _, m := range asksVariant.FindAllSubmatch(t.m.uses(pkg).spec, -1) {
		part := string(bytes.Join(m[1:], nil))
		sensitive := `"` + part + `"`
		switch part {
		case "":
			sensitive = "true"
		case pkg.VariantSensitive:
			continue
		}
		t.m.warn("%s/%s.spec: %s depends on the variant, and the package is built without one: "+
			"write variant-sensitive = %s into %s", pkg.Dir, pkg.Name, m[0], sensitive, pkg.File)
	}
}
