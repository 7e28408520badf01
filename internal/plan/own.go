// own: the recipe of a tree with its own Dockerfile, which was not written for buildsys. It is
// built as its own tool would build it: with the arguments it declares, the tree as its context,
// and its outputs in /output.

package plan

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"buildsys/internal/confined"
	"buildsys/internal/dockerfile"
	"buildsys/internal/graph"
	"buildsys/internal/manifest"
	"buildsys/internal/workspace"
)

const (
	ownName = "Dockerfile"
	ownWhat = "the tree's own Dockerfile" // in errors
	// useInside is the hint for an own Dockerfile that cannot be used.
	useInside = "rename the Dockerfile to use the recipe inside buildsys"
)

// own is a tree's own Dockerfile, with what is known of it and of the tree so far.
type own struct {
	m       *maker
	file    *dockerfile.File
	ignore  *dockerfile.Ignore
	parts   map[Kind][]byte   // what each target needs of file
	files   map[string][]File // path -> files of the tree at or below it
	scripts map[string]script // by mount, path and variant
}

// openOwn reads the tree's Dockerfile and .dockerignore.
func openOwn(m *maker) (*own, error) {
	o := &own{
		m: m, ignore: &dockerfile.Ignore{}, parts: map[Kind][]byte{}, files: map[string][]File{},
		scripts: map[string]script{},
	}
	var err error
	if o.file, err = dockerfile.Parse(ownName, m.ours.Own); err != nil {
		return nil, &RequestError{What: ownWhat, Why: err.Error()}
	}
	text, err := confined.ReadIn(m.ws.FS, dockerfile.IgnoreName, manifest.MaxSize)
	if err == nil {
		o.ignore, err = dockerfile.ParseIgnore(text)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &RequestError{What: ownWhat, Why: err.Error()}
	}
	return o, nil
}

func (o *own) packageStep(pkg *workspace.Package, needs graph.Set) (Step, error) {
	args, err := o.m.packageArgs(pkg)
	if err != nil {
		return Step{}, err
	}
	hideVariant(args)
	o.addArgs(args, strings.Fields(args["PACKAGE_FEATURES"]))
	sees := o.newView(args)
	sees.pkg = pkg
	s := o.m.newPackageStep(pkg, needs)
	if s.Solve, err = o.solve(Package, pkg.Name, sees, needs); err != nil {
		return Step{}, err
	}
	tree := s.Solve.Contexts[TreeContext]
	if slices.Contains(tree.Made, cargoTop) { // the recipe mounts it
		if err := o.addCrates(sees, &s, &tree); err != nil {
			return Step{}, err
		}
	}
	tree.Dirs = append(o.m.modulesDirs(pkg, pkg.Dir), o.m.vendorDirs(pkg, sourcesTop)...)
	s.Solve.Contexts[TreeContext] = tree
	return s, nil
}

// addCrates adds the crates that first-party code needs to what a package sees.
func (o *own) addCrates(sees *view, s *Step, tree *Context) error {
	if !o.m.uses(sees.pkg).cargo {
		return nil
	}
	var locks []string
	for _, f := range tree.Files {
		if within(f.Name, sourcesTop) && path.Base(f.Name) == lockName && f.Link == "" {
			locks = append(locks, f.Name)
		}
	}
	need, config, dirs, err := o.m.crateFiles(sees.pkg, locks)
	if err != nil {
		return err
	}
	s.Crates = need
	config, tree.Derived = below(cargoTop, config, dirs)
	tree.Files = append(slices.DeleteFunc(tree.Files, func(f File) bool {
		return slices.ContainsFunc(config, func(c File) bool { return c.Name == f.Name })
	}), config...)
	sortFiles(tree.Files)
	return nil
}

// imageStep returns a step without Layout: only the Dockerfile knows where partitions are, so their
// images are not checked.
func (o *own) imageStep(v *workspace.Variant, packages graph.Set) (s Step, err error) {
	if o.m.r.Identity.Dev {
		return Step{}, o.m.refuseDev(v)
	}
	sees := o.newView(o.imageArgs(v))
	sees.variant = v
	s = o.m.newImageStep(Variant, v)
	s.Uses = packages
	s.Solve, err = o.solve(Variant, v.Name, sees, packages)
	s.Solve.Inside = filepath.Base(s.Out)
	return s, err
}

func (*own) kmodKitStep(*workspace.Variant, graph.Set) (Step, bool) { return Step{}, false }

func (*own) repackStep(v *workspace.Variant, _ RepackSource) (Step, error) {
	return Step{}, &RequestError{What: "variant " + v.Name, Why: "images of " + ownWhat +
		" cannot be repacked: only the Dockerfile knows their partition layout"}
}

func (*own) kitStep(kit string, _ graph.Set) (Step, error) {
	return Step{}, &RequestError{What: "kit " + kit, Why: ownWhat + " cannot make kits",
		Hint: useInside}
}

// solve returns the build of a target that sees the RPMs of the given steps and what it needs of
// the tree.
func (o *own) solve(kind Kind, name string, sees *view, rpms graph.Set) (Solve, error) {
	needs, err := o.needs(kind, sees.args)
	if err != nil {
		return Solve{}, err
	}
	if o.parts[kind] == nil {
		if o.parts[kind], err = o.file.Only(string(kind)); err != nil {
			return Solve{}, err
		}
	}
	s := Solve{Name: name + " " + o.m.r.Arch, Dockerfile: o.parts[kind], Target: string(kind)}
	o.give(&s, needs.Args, sees.args)
	s.Images = o.images(needs.Images)
	if err := sees.compose(needs); err != nil {
		return Solve{}, err
	}
	s.Contexts = map[string]Context{TreeContext: sees.context(rpms)}
	return s, nil
}

// needs returns what a target needs when it gets args.
func (o *own) needs(kind Kind, args map[string]string) (dockerfile.Needs, error) {
	if o.m.r.SDK == "" { // planning goes on; a build does not
		o.m.lack("no SDK image is known: set BUILDSYS_SDK_IMAGE")
		args["SDK"] = "unknown"
	}
	needs, err := o.file.Needs(string(kind), args)
	if err != nil {
		return needs, &RequestError{What: ownWhat, Why: err.Error(), Hint: useInside}
	}
	return needs, refuseSockets(needs.Args)
}

// give sets those of args that the target declares.
func (o *own) give(s *Solve, declared []dockerfile.Arg, args map[string]string) {
	s.Args = map[string]string{"SDK": o.m.r.SDK}
	for _, arg := range declared {
		value, given := args[arg.Name]
		switch {
		case given:
			s.Args[arg.Name] = value
		case arg.Name == "NOCACHE":
			s.KeyArg = arg.Name
		case !arg.Default && !knownArg(arg.Name):
			o.m.warn("%s:%d: ARG %s has no default, and buildsys has no value for it: it stays empty",
				ownName, arg.Line, arg.Name)
		}
	}
}

// images returns the references of the needed images other than the SDK.
func (o *own) images(needed []dockerfile.Image) (refs []string) {
	for _, image := range needed {
		if strings.HasPrefix(image.Ref, "-") && o.m.r.Toolchain == "" {
			o.m.lack("%sthe recipe starts from a toolchain image that nothing names: set "+
				"BUILDSYS_TOOLCHAIN to its name, without the architecture at its end",
				line(ownName, image.Line))
		}
		if image.Ref != o.m.r.SDK {
			refs = append(refs, image.Ref)
		}
	}
	return refs
}

// refuseSockets refuses recipes of a later generation, whose builds get no context.
func refuseSockets(args []dockerfile.Arg) error {
	for _, arg := range args {
		if arg.Name == "BYPASS_SOCKET" || arg.Name == "OUTPUT_SOCKET" {
			return &RequestError{What: ownWhat,
				Why: line(ownName, arg.Line) + "ARG " + arg.Name + ": it exchanges inputs and " +
					"outputs with a helper of Twoliter over sockets on the engine's machine, " +
					"which a build here does not have",
				Hint: useInside}
		}
	}
	return nil
}
