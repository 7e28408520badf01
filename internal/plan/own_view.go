// own_view: what one step sees of a tree whose own Dockerfile has the whole tree as its context.
// The Dockerfile names some paths itself, and mounts everything where its commands look for more.
// If steps saw everything, each edit would rebuild all. So a step sees what is named:
// docs/own-dockerfile.md has the rules.

package plan

import (
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"buildsys/internal/confined"
	"buildsys/internal/dockerfile"
	"buildsys/internal/graph"
	"buildsys/internal/workspace"
)

// view composes the context of one step.
type view struct {
	own     *own
	pkg     *workspace.Package // nil for an image
	variant *workspace.Variant // nil for a package
	args    map[string]string
	files   map[string]File
	made    map[string]bool // directories that exist even if empty
	seen    map[string]bool // mount and path of what was mentioned
	rpmsAt  string          // where the RPMs of packages are
}

func (o *own) newView(args map[string]string) *view {
	return &view{own: o, args: args, files: map[string]File{}, made: map[string]bool{},
		seen: map[string]bool{}, rpmsAt: treeRPMs[0]}
}

// context returns the composed context, with the RPMs of the given steps.
func (v *view) context(rpms graph.Set) Context {
	files := slices.Collect(maps.Values(v.files))
	sortFiles(files)
	made, ignore := slices.Sorted(maps.Keys(v.made)), v.own.ignore.Patterns
	return Context{Files: files, RPMs: rpms, RPMsAt: v.rpmsAt, Made: made, Ignore: ignore}
}

// compose shows what a target needs.
func (v *view) compose(needs dockerfile.Needs) error {
	v.findRPMs(needs)
	for _, p := range needs.Copies {
		if err := v.copied(p); err != nil {
			return err
		}
	}
	for _, p := range needs.Mounts {
		if err := v.show(p.Name); err != nil {
			return err
		}
		if _, file := v.files[p.Name]; !file {
			v.made[p.Name] = true
		}
	}
	for _, t := range needs.Trees {
		if err := v.mentioned(t.Paths, t.Whole, t.Target); err != nil {
			return err
		}
	}
	for _, p := range needs.Points {
		v.point(p)
	}
	return nil
}

// findRPMs finds out where the commands look for the RPMs of packages.
func (v *view) findRPMs(needs dockerfile.Needs) {
	for _, at := range treeRPMs {
		named := func(p string) bool { return within(p, at) }
		if slices.ContainsFunc(needs.Trees, func(t dockerfile.Tree) bool {
			return slices.ContainsFunc(t.Paths, named)
		}) {
			v.rpmsAt = at
			break
		}
	}
	v.made[v.rpmsAt] = true
}

// copied shows what a COPY takes. If that is nothing, the build would fail there, so it records a
// lack.
func (v *view) copied(p dockerfile.Path) error {
	at := line(ownName, p.Line)
	if p.Name == "roles/"+v.own.m.r.Files.Repo+".root.json" && len(v.own.m.r.Files.RootJSON) > 0 {
		v.add(File{Name: p.Name, Data: v.own.m.r.Files.RootJSON, Mode: 0o644})
		return nil
	}
	names := []string{p.Name}
	if strings.ContainsAny(p.Name, "*?[") {
		var err error
		if names, err = confined.Glob(v.own.m.ws.FS, p.Name); err != nil {
			return &RequestError{What: ownWhat, Why: at + err.Error()}
		}
	}
	before := len(v.files)
	for _, name := range names {
		if err := v.show(name); err != nil {
			return err
		}
	}
	_, err := fs.Lstat(v.own.m.ws.FS, p.Name)
	switch {
	case len(v.files) > before || v.shown(p.Name) || within(p.Name, v.rpmsAt):
	case err == nil && v.own.ignore.Matches(p.Name):
		v.own.m.lack("%sthe recipe copies %s, which %s excludes", at, p.Name,
			dockerfile.IgnoreName)
	case err == nil && v.own.m.secrets.hidesAny(p.Name):
		v.own.m.lack("%sthe recipe copies %s, which no build sees because it may hold keys or logins, "+
			"or belongs to another checkout", at, p.Name)
	case err != nil && strings.HasPrefix(p.Name, "roles/"):
		v.own.m.lack("%sthe recipe copies %s, which the tree does not have: %s", at, p.Name,
			rootJSONHint)
	case err != nil:
		v.own.m.lack("%sthe recipe copies %s, which the tree does not have", at, p.Name)
	default: // an empty directory
		v.made[p.Name] = true
	}
	return nil
}

// rootJSONHint is what to do if a build needs root metadata and there are none.
const rootJSONHint = "set PUBLISH_REPO_ROOT_JSON to the root metadata of the update repository " +
	"(root.json), or PUBLISH_REPO to a repository that has one below roles/"

// shown reports whether anything at or below a path is shown.
func (v *view) shown(at string) bool {
	for name := range v.files {
		if within(name, at) {
			return true
		}
	}
	return at == "."
}

func within(name, dir string) bool {
	return dir == "." || name == dir || strings.HasPrefix(name, dir+"/")
}

// The top-level directories of which a step may see only a part.
const (
	packagesTop = "packages"
	variantsTop = "variants"
	sourcesTop  = "sources"
	cargoTop    = ".cargo"
	buildTop    = "build"
)

// show shows what is at or below a path, as far as the step may see it.
func (v *view) show(at string) error {
	top, _, _ := strings.Cut(at, "/")
	switch {
	case at == ".":
		return v.showRoot()
	// Outputs are no inputs. RPMs are, but come as outputs of steps.
	case top == buildTop || top == ".git":
		return nil
	case at == packagesTop || v.pkg != nil && within(at, v.pkg.Dir):
		v.showPackage(at)
		return nil
	case at == variantsTop:
		if v.pkg == nil {
			return v.walk(v.variant.Dir, nil)
		}
		return nil
	case v.pkg != nil && top == sourcesTop:
		return v.walk(at, v.own.m.uses(v.pkg).source)
	case v.pkg != nil && top == cargoTop && !v.own.m.uses(v.pkg).cargo:
		return nil
	}
	return v.walk(at, nil)
}

// showRoot shows the whole tree, to a step that asked for all of it.
func (v *view) showRoot() error {
	entries, err := confined.ReadDir(v.own.m.ws.FS, ".")
	if err != nil {
		return &RequestError{What: "the tree", Why: err.Error()}
	}
	for _, e := range entries {
		if err := v.show(e.Name()); err != nil {
			return err
		}
	}
	return nil
}

// showPackage shows the step's own package, with its sources beside the spec, where they used to be
// downloaded.
func (v *view) showPackage(at string) {
	if v.pkg == nil {
		return
	}
	own := v.own.m.secrets.visible(v.own.m.ws.Files(v.pkg), v.pkg.Dir)
	for _, external := range v.pkg.ExternalFiles {
		own = append(own, externalFile(v.own.m.r, external))
	}
	for _, f := range own {
		if f.Name = v.pkg.Dir + "/" + f.Name; within(f.Name, at) && !v.own.ignore.Matches(f.Name) {
			v.add(f)
		}
	}
}

func (v *view) add(f File) { v.files[f.Name] = f }

// walk shows the files of the tree at or below a path for which only returns true; nil means all.
func (v *view) walk(at string, only func(name string) bool) error {
	found, err := v.own.treeFiles(at)
	if err != nil {
		return err
	}
	for _, f := range found {
		if _, there := v.files[f.Name]; there || only != nil && !only(f.Name) {
			continue
		}
		v.add(f)
		if f.Link != "" {
			if err := v.follow(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxHops bounds the symlinks that one path leads through, as Linux does.
const maxHops = 40

// follow shows the target of a symlink, if it is in the tree and does not contain the link.
func (v *view) follow(link File) error {
	rest := strings.Split(path.Join(path.Dir(link.Name), link.Link), "/")
	if path.IsAbs(link.Link) || rest[0] == ".." {
		return nil
	}
	at := "."
	for hops := 0; len(rest) > 0; {
		next := path.Join(at, rest[0])
		rest = rest[1:]
		to, err := fs.ReadLink(v.own.m.ws.FS, next)
		if err != nil {
			at = next
			continue
		}
		if hops++; hops > maxHops || path.IsAbs(to) {
			return nil
		}
		v.add(File{Name: next, Link: to, Mode: 0o777})
		rest = append(strings.Split(path.Join(path.Dir(next), to), "/"), rest...)
		if at = "."; rest[0] == ".." {
			return nil
		}
	}
	if top, _, _ := strings.Cut(at, "/"); within(link.Name, at) || top == buildTop || top == ".git" {
		return nil
	}
	return v.walk(at, nil)
}

// treeFiles returns the files of the tree at or below a path that .dockerignore does not exclude.
func (o *own) treeFiles(at string) ([]File, error) {
	if files, ok := o.files[at]; ok {
		return files, nil
	}
	found, err := o.m.ws.TreeFiles(at, func(dir string) bool {
		return o.m.secrets.hidesDir(dir) || path.Base(dir) == "target" && o.ignore.Matches(dir+"/x")
	})
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(file workspace.File) bool {
		return o.ignore.Matches(file.Name) || cargoLock(file.Name)
	})
	files := o.m.secrets.visible(found, ".")
	o.files[at] = files
	return files, nil
}
