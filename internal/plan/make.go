// make: from a workspace and a request to the ordered steps.

package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"buildsys/internal/builddir"
	"buildsys/internal/errkind"
	"buildsys/internal/graph"
	"buildsys/internal/manifest"
	"buildsys/internal/workspace"
)

// Request says what to plan.
type Request struct {
	Arch     string        // "x86_64" or "aarch64"
	Packages []string      // packages to build, each after what it needs
	Kits     []string      // kits to make the repositories of
	Image    bool          // build the image of Variant, and everything in it
	Repack   *RepackSource // make the image of Variant from an earlier one, and build nothing else
	// variant of the image, and the one that variant-sensitive packages are built for
	Variant    string
	SDK        string // reference of the image that steps run in
	Version    string // of the image: "1.2.3"
	BuildID    string // of the image
	Name       string // short name of the OS
	PrettyName string
	BuildDir   string // host directory for outputs
	// SourcePath says where on the host an external file will be once it is fetched.
	SourcePath func(manifest.ExternalFile) string
	// Overrides are files to put into the image in place of those of packages, by the names that
	// rpm2img knows them by.
	Overrides []File
	// Signing finds the keys for images with uefi-secure-boot; it is only called for those. The plan
	// shows its error.
	Signing func() (SigningKeys, error)
	// ExternalKits are the kits of others, in the order of Twoliter.lock: all packages and images see
	// them.
	ExternalKits []ExternalKit
	// ModulesPath says where on the host the Go module proxy of an archive will be once it is fetched.
	ModulesPath func(manifest.ExternalFile) string

	// Only of trees with a recipe of their own:
	// reference of an image without its architecture, for what goes into images from there
	Toolchain string
	Repo      string // update repository whose root metadata is built in: roles/REPO.root.json
	RootJSON  string // host file in place of that; empty for none
}

// RequestError says that the tree is fine but cannot give what was asked.
type RequestError struct {
	What string // "package bsh"
	Why  string
	Hint string // what to do; may be empty
}

func (e *RequestError) Error() string {
	text := e.What + ": " + e.Why
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// ErrorKind returns errkind.Usage.
func (*RequestError) ErrorKind() errkind.Kind { return errkind.Usage }

// SkippedError says that a variant is not made for the architecture asked for. Nothing is wrong and
// nothing was built: a caller that goes over all variants and architectures goes on.
type SkippedError struct {
	Variant   string
	Arch      string
	Supported []string // the variant's supported-arches
	File      string   // its manifest
}

func (e *SkippedError) Error() string {
	return fmt.Sprintf("skipped: variant %s is not for %s; its supported-arches are %s (%s)",
		e.Variant, e.Arch, strings.Join(e.Supported, ", "), e.File)
}

// ErrorKind returns errkind.Skipped.
func (*SkippedError) ErrorKind() errkind.Kind { return errkind.Skipped }

// Make plans a request. Steps come in an order in which each follows those it depends on; equal
// inputs give equal plans. The error is a *RequestError when the tree does not have what is asked
// for, and a *SkippedError when the image is not for the architecture.
func Make(ws *workspace.Workspace, recipe *workspace.Recipe, r Request) (Plan, error) {
	m := maker{ws: ws, recipe: recipe, r: r, graph: ws.Graph()}
	if r.Variant != "" {
		if m.variant = ws.Variants[r.Variant]; m.variant == nil {
			return Plan{}, unknown("variant", r.Variant, ws.VariantNames())
		}
	}
	if v := m.variant; v != nil && (r.Image || r.Repack != nil) && len(v.SupportedArches) > 0 &&
		!slices.Contains(v.SupportedArches, r.Arch) {
		return Plan{}, &SkippedError{Variant: v.Name, Arch: r.Arch, Supported: v.SupportedArches,
			File: v.File}
	}
	m.plan.Arch = r.Arch
	if recipe.Foreign != nil {
		if err := m.openForeign(); err != nil {
			return Plan{}, err
		}
	}
	if r.Repack != nil {
		return m.plan, m.addRepack()
	}
	wanted, err := m.wanted()
	if err != nil {
		return Plan{}, err
	}
	order := m.graph.Order(wanted)
	m.plan.Steps = make([]Step, 0, len(order)+1)
	m.packagePart = section(recipe.Dockerfile, string(Package))
	m.recipeFiles = recipeFiles(recipe, string(Package), r.Arch)
	m.addModules(order)
	// Positions in this order are indexes of steps: those of modules come first and are no packages.
	m.first = len(m.plan.Steps)
	needs := m.graph.Needs(slices.Concat(make([]string, m.first), order))[m.first:]
	m.externals = m.newExternals(order)
	for i, name := range order {
		if err := m.addPackage(name, needs[i]); err != nil {
			return Plan{}, err
		}
	}
	m.all = graph.Range(m.first, len(m.plan.Steps))
	for _, kit := range r.Kits {
		m.addKit(kit, order)
	}
	if r.Image {
		if err := m.addVariant(); err != nil {
			return Plan{}, err
		}
	}
	return m.plan, nil
}

// maker holds what one Make works with.
type maker struct {
	ws      *workspace.Workspace
	recipe  *workspace.Recipe
	r       Request
	graph   *graph.Graph
	variant *workspace.Variant // nil when none is named
	plan    Plan
	modules map[string]int // index of the step that bundles a package's modules
	// packagePart and recipeFiles are the parts of the Dockerfile and of the recipe that every
	// package's step sees; they share them.
	packagePart []byte
	recipeFiles []File
	foreign     *foreign  // the tree's own recipe; nil when ours is used
	first       int       // index of the first package's step
	all         graph.Set // the steps of all packages
	externals   externals
}

// wanted returns the packages to build: those asked for and all they wait for, or the image's whole
// closure.
func (m *maker) wanted() ([]string, error) {
	if m.r.Image {
		return m.variantClosure(), nil
	}
	for _, name := range m.r.Packages {
		if m.ws.Packages[name] != nil {
			continue
		}
		err := unknown("package", name, m.ws.PackageNames())
		if m.ws.Variants[name] != nil {
			err.Hint = "it is a variant: say --variant " + name
		}
		return nil, err
	}
	names, err := m.kitPackages()
	if err != nil {
		return nil, err
	}
	names = append(names, m.r.Packages...)
	names = append(names, workspace.Packages(m.graph.BuildClosure(m.r.Packages...))...)
	slices.Sort(names)
	return slices.Compact(names), nil
}

// variantClosure starts from the variant's dependencies, not from included-packages: those may be
// names of sub-packages.
func (m *maker) variantClosure() []string {
	return workspace.Packages(m.graph.Closure(slices.Concat(m.variant.BuildRequires,
		m.variant.Requires)...))
}

func unknown(what, name string, known []string) *RequestError {
	return &RequestError{What: fmt.Sprintf("%s %q", what, name), Why: "there is none of this name",
		Hint: manifest.NameHint(name, known)}
}

// add adds a step that uses the given ones, which are there already.
func (m *maker) add(s Step, uses graph.Set) {
	s.Uses = uses
	s.Waits = uses.Direct(func(i int) graph.Set { return m.plan.Steps[i].Uses })
	m.plan.Steps = append(m.plan.Steps, s)
}

// addPackage adds the step of one package. needs are the steps of the packages it waits for.
func (m *maker) addPackage(name string, needs graph.Set) error {
	if m.foreign != nil {
		return m.addForeignPackage(name, needs)
	}
	pkg := m.ws.Packages[name]
	args, err := m.packageArgs(pkg)
	if err != nil {
		return err
	}
	sources, err := m.ws.SourceGroupFiles(pkg)
	if err != nil {
		return err
	}
	files := contextFiles(m.ws.Files(pkg))
	for _, external := range once(pkg.ExternalFiles) {
		files = append(files, externalFile(m.r, external))
	}
	sortFiles(files)
	own, uses := Context{Files: files}, needs
	if step, ok := m.modules[name]; ok {
		own.Top = []*Dir{{Name: name, Host: m.plan.Steps[step].Out, Step: step}}
		uses = uses.Union(graph.SetOf(step))
	}
	m.add(Step{
		ID:    string(Package) + "/" + name,
		Kind:  Package,
		Name:  name,
		Fetch: pkg.ExternalFiles,
		Out:   m.rpmDir(name),
		Solve: Solve{
			Name:       name + " " + m.r.Arch,
			Dockerfile: m.packagePart,
			Target:     string(Package),
			Args:       args,
			Contexts: map[string]Context{
				"recipe":  {Files: m.recipeFiles, Shared: true},
				"package": own,
				"sources": {Files: contextFiles(sources)},
				"rpms":    m.rpmsContext(needs),
			},
		},
	}, uses)
	return nil
}

// packageArgs are the build arguments of a package. Only a variant-sensitive one learns of the
// variant, and only the part it is sensitive to, so that all others are the same in every variant.
func (m *maker) packageArgs(pkg *workspace.Package) (map[string]string, error) {
	args := m.commonArgs()
	args["PACKAGE"] = pkg.Name
	if err := m.addPackageFeatures(pkg, args); err != nil {
		return nil, err
	}
	if pkg.VariantSensitive == "" {
		return args, nil
	}
	if m.variant == nil {
		return nil, &RequestError{
			What: "package " + pkg.Name,
			Why:  "it is variant-sensitive (" + pkg.File + ") and no variant is named",
			Hint: "name one with --variant or BUILDSYS_VARIANT",
		}
	}
	all := m.variantArgs()
	if pkg.VariantSensitive == "variant" {
		maps.Copy(args, all)
		return args, nil
	}
	key := "VARIANT_" + strings.ToUpper(pkg.VariantSensitive)
	args[key] = all[key]
	return args, nil
}

func (m *maker) commonArgs() map[string]string {
	return map[string]string{"SDK": m.r.SDK, "ARCH": m.r.Arch, "GOARCH": goArch(m.r.Arch)}
}

// goArch is what the go command calls an architecture.
func goArch(arch string) string {
	if arch == "aarch64" {
		return "arm64"
	}
	return "amd64"
}

// variantArgs are the variant's name and its parts.
func (m *maker) variantArgs() map[string]string {
	return map[string]string{
		"VARIANT":          m.variant.Name,
		"VARIANT_PLATFORM": m.variant.Platform(),
		"VARIANT_RUNTIME":  m.variant.Runtime(),
		"VARIANT_FAMILY":   m.variant.Family(),
		"VARIANT_FLAVOR":   m.variant.Flavor(),
	}
}

// dir is the build directory, for the places of outputs.
func (m *maker) dir() builddir.Dir { return builddir.Dir{Root: m.r.BuildDir, Arch: m.r.Arch} }

func (m *maker) rpmDir(pkg string) string { return m.dir().RPMs(pkg) }

// rpmsContext is what a step sees of the RPMs of packages, given by their steps, and of the kits of
// others.
func (m *maker) rpmsContext(packages graph.Set) Context {
	return Context{RPMs: packages, Files: m.externals.files, Derived: m.externals.beside(packages)}
}
