// foreign: the steps of a tree whose Dockerfile was not written for buildsys. It is built as the
// tool of its time would have done: with the arguments that it declares, the tree for its context,
// and its outputs in /output.

package plan

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"buildsys/internal/builddir"
	"buildsys/internal/dockerfile"
	"buildsys/internal/graph"
)

const foreignName = "Dockerfile"

// foreign is such a Dockerfile, and what was found out of it and of the tree so far.
type foreign struct {
	file    *dockerfile.File
	ignore  *dockerfile.Ignore
	parts   map[Kind][]byte   // of the Dockerfile
	files   map[string][]File // by the path in the tree that they are at and below
	scripts map[string]script // by mount and path
	uses    map[string]uses   // by package
}

// openForeign reads the tree's Dockerfile and .dockerignore.
func (m *maker) openForeign() error {
	f := &foreign{
		ignore: &dockerfile.Ignore{}, parts: map[Kind][]byte{}, files: map[string][]File{},
		scripts: map[string]script{}, uses: map[string]uses{},
	}
	var err error
	if f.file, err = dockerfile.Parse(foreignName, m.recipe.Foreign); err != nil {
		return &RequestError{What: "the tree's own recipe", Why: err.Error()}
	}
	text, err := fs.ReadFile(m.ws.FS, dockerfile.IgnoreName)
	if err == nil {
		f.ignore, err = dockerfile.ParseIgnore(text)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &RequestError{What: "the tree's own recipe", Why: err.Error()}
	}
	m.foreign = f
	return nil
}

// useOwn is what to do about a foreign recipe that cannot be used.
const useOwn = "rename the Dockerfile, and buildsys uses the recipe inside it"

// foreignSolve is the build of a target, but for its context, with those of the arguments that it
// declares.
func (m *maker) foreignSolve(kind Kind, name string, args map[string]string) (Solve,
	dockerfile.Needs, error) {
	f := m.foreign
	if m.r.SDK == "" { // which is no reason not to plan
		m.lack("no SDK image is known to build with: name one with BUILDSYS_SDK_IMAGE")
		args["SDK"] = "unknown"
	}
	needs, err := f.file.Needs(string(kind), args)
	if err != nil {
		return Solve{}, needs, &RequestError{What: "the tree's own recipe", Why: err.Error(),
			Hint: useOwn}
	}
	if err := refuseSockets(needs.Args); err != nil {
		return Solve{}, needs, err
	}
	if f.parts[kind] == nil {
		if f.parts[kind], err = f.file.Only(string(kind)); err != nil {
			return Solve{}, needs, err
		}
	}
	s := Solve{Name: name + " " + m.r.Arch, Dockerfile: f.parts[kind], Target: string(kind),
		Args: map[string]string{"SDK": m.r.SDK}}
	for _, arg := range needs.Args {
		value, given := args[arg.Name]
		switch {
		case given:
			s.Args[arg.Name] = value
		case arg.Name == "NOCACHE":
			s.KeyArg = arg.Name
		case !arg.Default && !knownArg(arg.Name):
			m.warn("%s:%d: ARG %s has no default, and buildsys knows no value for it: it is empty",
				foreignName, arg.Line, arg.Name)
		}
	}
	for _, image := range needs.Images {
		if strings.HasPrefix(image.Ref, "-") && m.r.Toolchain == "" {
			m.lack("%sthe recipe starts from a toolchain image that nothing names: set BUILDSYS_TOOLCHAIN "+
				"to its name, without the architecture "+
				"at its end", line(foreignName, image.Line))
		}
		if image.Ref != m.r.SDK {
			s.Images = append(s.Images, image.Ref)
		}
	}
	return s, needs, nil
}

// refuseSockets refuses the recipes of a later time, which get no context at all.
func refuseSockets(args []dockerfile.Arg) error {
	for _, arg := range args {
		if arg.Name == "BYPASS_SOCKET" || arg.Name == "OUTPUT_SOCKET" {
			return &RequestError{What: "the tree's own recipe",
				Why: line(foreignName, arg.Line) + "ARG " + arg.Name + ": it takes its inputs from, and " +
					"leaves its outputs with, a helper of twoliter's on the engine's machine, over sockets that " +
					"a build here does not have",
				Hint: useOwn}
		}
	}
	return nil
}

// addForeignPackage is addPackage for such a tree.
func (m *maker) addForeignPackage(name string, needs graph.Set) error {
	pkg := m.ws.Packages[name]
	args, err := m.packageArgs(pkg)
	if err != nil {
		return err
	}
	hideVariant(args)
	m.addForeignArgs(args, strings.Fields(args["PACKAGE_FEATURES"]))
	solve, wants, err := m.foreignSolve(Package, name, args)
	if err != nil {
		return err
	}
	v := m.newView(args)
	v.pkg = pkg
	if err := v.compose(wants); err != nil {
		return err
	}
	tree, uses := v.context(needs), needs
	if step, ok := m.modules[name]; ok {
		tree.Dirs = []*Dir{{Name: pkg.Dir, Host: m.plan.Steps[step].Out, Step: step}}
		uses = uses.Union(graph.SetOf(step))
	}
	solve.Contexts = map[string]Context{TreeContext: tree}
	m.add(Step{
		ID:    string(Package) + "/" + name,
		Kind:  Package,
		Name:  name,
		Fetch: pkg.ExternalFiles,
		Out:   m.rpmDir(name),
		Solve: solve,
	}, uses)
	return nil
}

// addForeignVariant is addVariant for such a tree. Its images have no Layout: where their
// partitions are is the recipe's own business, and so nobody here can say whether they are right.
func (m *maker) addForeignVariant() error {
	v := m.variant
	args := m.foreignImageArgs()
	solve, wants, err := m.foreignSolve(Variant, v.Name, args)
	if err != nil {
		return err
	}
	sees := m.newView(args)
	if err := sees.compose(wants); err != nil {
		return err
	}
	tree := sees.context(m.all) // all are in the variant's closure
	solve.Contexts = map[string]Context{TreeContext: tree}
	m.add(Step{
		ID:    string(Variant) + "/" + v.Name,
		Kind:  Variant,
		Name:  v.Name,
		Out:   m.imageDir(v.Name),
		Link:  builddir.Latest,
		Solve: solve,
	}, m.all)
	return nil
}

// Images returns the images that the steps of a plan start from besides the SDK, sorted.
func (p Plan) Images() []string {
	all := map[string]bool{}
	for _, s := range p.Steps {
		for _, ref := range s.Solve.Images {
			all[ref] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}
