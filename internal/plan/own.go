// own: the recipe of a tree with its own Dockerfile, one that was not written for buildsys. It is
// built as the tool of its time would have done: with the arguments that it declares, the tree for
// its context, and its outputs in /output.

package plan

import (
	"errors"
	"io/fs"
	"strings"

	"buildsys/internal/dockerfile"
	"buildsys/internal/graph"
	"buildsys/internal/workspace"
)

const (
	ownName = "Dockerfile"
	ownWhat = "the tree's own Dockerfile" // for errors
	// useInside is what to do about one that cannot be used.
	useInside = "rename the Dockerfile, and buildsys uses the recipe inside it"
)

// own is such a Dockerfile, and what was found out of it and of the tree so far.
type own struct {
	m       *maker
	file    *dockerfile.File
	ignore  *dockerfile.Ignore
	parts   map[Kind][]byte   // of the Dockerfile
	files   map[string][]File // by the path in the tree that they are at and below
	scripts map[string]script // by mount and path
	uses    map[string]uses   // by package
}

// openOwn reads the tree's Dockerfile and .dockerignore.
func openOwn(m *maker) (*own, error) {
	o := &own{
		m: m, ignore: &dockerfile.Ignore{}, parts: map[Kind][]byte{}, files: map[string][]File{},
		scripts: map[string]script{}, uses: map[string]uses{},
	}
	var err error
	if o.file, err = dockerfile.Parse(ownName, m.ours.Own); err != nil {
		return nil, &RequestError{What: ownWhat, Why: err.Error()}
	}
	text, err := fs.ReadFile(m.ws.FS, dockerfile.IgnoreName)
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
	tree.Dirs = o.m.modulesDirs(pkg, pkg.Dir)
	s.Solve.Contexts[TreeContext] = tree
	return s, nil
}

// imageStep's images have no Layout: where their partitions are is the Dockerfile's own business,
// and so nobody here can say whether they are right.
func (o *own) imageStep(v *workspace.Variant, packages graph.Set) (s Step, err error) {
	sees := o.newView(o.imageArgs(v))
	sees.variant = v
	s = o.m.newImageStep(Variant, v)
	s.Uses = packages
	s.Solve, err = o.solve(Variant, v.Name, sees, packages)
	return s, err
}

func (*own) repackStep(v *workspace.Variant, _ RepackSource) (Step, error) {
	return Step{}, &RequestError{What: "variant " + v.Name, Why: "images of " + ownWhat +
		" are not repacked: where their parts are is known only to that"}
}

func (*own) kitStep(kit string, _ graph.Set) (Step, error) {
	return Step{}, &RequestError{What: "kit " + kit, Why: ownWhat + " is not told of kits",
		Hint: useInside}
}

// solve returns the build of a target that sees the RPMs of the given steps and what it needs of the
// tree.
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

// needs returns what a target needs when it is given args.
func (o *own) needs(kind Kind, args map[string]string) (dockerfile.Needs, error) {
	if o.m.r.SDK == "" { // which is no reason not to plan
		o.m.lack("no SDK image is known to build with: name one with BUILDSYS_SDK_IMAGE")
		args["SDK"] = "unknown"
	}
	needs, err := o.file.Needs(string(kind), args)
	if err != nil {
		return needs, &RequestError{What: ownWhat, Why: err.Error(), Hint: useInside}
	}
	return needs, refuseSockets(needs.Args)
}

// give gives a build those of the arguments that its target declares.
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
			o.m.warn("%s:%d: ARG %s has no default, and buildsys knows no value for it: it is empty",
				ownName, arg.Line, arg.Name)
		}
	}
}

// images returns the references of the images besides the SDK.
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

// refuseSockets refuses the recipes of a later time, which get no context at all.
func refuseSockets(args []dockerfile.Arg) error {
	for _, arg := range args {
		if arg.Name == "BYPASS_SOCKET" || arg.Name == "OUTPUT_SOCKET" {
			return &RequestError{What: ownWhat,
				Why: line(ownName, arg.Line) + "ARG " + arg.Name + ": it takes its inputs from, and " +
					"leaves its outputs with, a helper of twoliter's on the engine's machine, over sockets that " +
					"a build here does not have",
				Hint: useInside}
		}
	}
	return nil
}
