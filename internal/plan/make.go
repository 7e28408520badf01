// make: plans the ordered steps of a request.

package plan

import (
	"fmt"
	"slices"

	"buildsys/internal/builddir"
	"buildsys/internal/graph"
	"buildsys/internal/workspace"
)

// Make plans a request. Each step follows those it depends on; equal inputs give equal plans. The
// error is a *RequestError if the tree does not have what is requested, and a *SkippedError if the
// variant does not support the architecture.
func Make(ws *workspace.Workspace, ours *workspace.Recipe, r Request) (Plan, error) {
	m := &maker{ws: ws, ours: ours, r: r, graph: ws.Graph(), plan: Plan{Arch: r.Arch,
		Variant: r.Variant, Packages: map[string]bool{}, Own: ours.Own != nil}, used: map[string]uses{},
		secrets: newSecrets(ws.FS), kmodKit: -1}
	for name := range ws.Packages {
		m.plan.Packages[name] = true
	}
	if err := m.addAll(); err != nil {
		return Plan{}, err
	}
	m.plan.Warnings = append(m.plan.Warnings, m.secrets.warnings()...)
	return m.plan, nil
}

// maker holds the state of one call of Make that is independent of the recipe.
type maker struct {
	ws        *workspace.Workspace
	ours      *workspace.Recipe
	r         Request
	graph     *graph.Graph
	variant   *workspace.Variant // nil if the request names none
	recipe    recipe
	plan      Plan
	modules   map[string]int // package -> index of the step that bundles its Go modules
	vendors   map[string]int // package -> index of the step that vendors those of its own code
	first     int            // index of the first package step
	kmodKit   int            // index of the step that packs the kmod kit, or -1
	externals externals
	used      map[string]uses // by package
	secrets   *secrets
}

// addAll adds the steps of the request to the plan.
func (m *maker) addAll() error {
	err := m.findVariant()
	if err != nil {
		return err
	}
	if m.recipe, err = m.openRecipe(); err != nil {
		return err
	}
	if m.r.Repack != nil {
		return m.addRepack()
	}
	wanted, err := m.wanted()
	if err != nil {
		return err
	}
	order := m.graph.Order(wanted)
	m.plan.Steps = make([]Step, 0, len(order)+2)
	if err := m.addPackages(order); err != nil {
		return err
	}
	all := graph.Range(m.first, len(m.plan.Steps))
	for _, kit := range m.r.Kits {
		if err := m.add(m.recipe.kitStep(kit, m.contents(kit, order))); err != nil {
			return err
		}
	}
	if m.r.Image { // the variant's closure has all packages
		return m.addImage(all)
	}
	return nil
}

// addImage adds the step of the variant's image, and before it that of its kmod kit, which images
// for now do not have.
func (m *maker) addImage(packages graph.Set) error {
	if kit, ok := m.recipe.kmodKitStep(m.variant, packages); ok && !m.r.Identity.Dev {
		m.kmodKit = len(m.plan.Steps)
		m.put(kit)
	}
	return m.add(m.recipe.imageStep(m.variant, packages))
}

// findVariant sets the variant of the request. It refuses an image if the variant does not support
// the architecture.
func (m *maker) findVariant() error {
	if m.r.Variant == "" {
		return nil
	}
	v := m.ws.Variants[m.r.Variant]
	if v == nil {
		return unknown("variant", m.r.Variant, m.ws.VariantNames())
	}
	if (m.r.Image || m.r.Repack != nil) && len(v.SupportedArches) > 0 &&
		!slices.Contains(v.SupportedArches, m.r.Arch) {
		return &SkippedError{Variant: v.Name, Arch: m.r.Arch, Supported: v.SupportedArches,
			File: v.File}
	}
	if m.r.Image || m.r.Repack != nil {
		if err := m.checkImage(v); err != nil {
			return err
		}
	}
	m.variant = v
	return nil
}

// wanted returns the packages to build: those requested with all they wait for, or the whole
// closure of the image.
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
			err.Hint = "it is a variant: build-variant " + name + " builds its image"
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

// variantClosure starts from the variant's dependencies, not from included-packages, which may name
// sub-packages.
func (m *maker) variantClosure() []string {
	return workspace.Packages(m.graph.Closure(slices.Concat(m.variant.BuildRequires,
		m.variant.Requires)...))
}

// addPackages adds the steps of packages, in the given order, and before them the steps of their Go
// modules.
func (m *maker) addPackages(order []string) error {
	if err := m.addModules(order); err != nil {
		return err
	}
	// Needs returns positions in the list, which must be indexes of steps: leave room for the steps of
	// modules, which come first.
	m.first = len(m.plan.Steps)
	needs := m.graph.Needs(slices.Concat(make([]string, m.first), order))[m.first:]
	m.externals = m.newExternals(order)
	for i, name := range order {
		if err := m.add(m.recipe.packageStep(m.ws.Packages[name], needs[i])); err != nil {
			return err
		}
	}
	return nil
}

// addRepack adds the only step of a plan that repacks: it builds nothing that the earlier image
// has.
func (m *maker) addRepack() error {
	if m.variant == nil {
		return &RequestError{What: "the image to repack", Why: "no variant is named"}
	}
	return m.add(m.recipe.repackStep(m.variant, *m.r.Repack))
}

// add adds a step that a recipe returned, unless err is set.
func (m *maker) add(s Step, err error) error {
	if err == nil {
		m.put(s)
	}
	return err
}

// put adds a step. The steps that it uses are in the plan already.
func (m *maker) put(s Step) {
	s.Waits = s.Uses.Direct(func(i int) graph.Set { return m.plan.Steps[i].Uses })
	m.plan.Steps = append(m.plan.Steps, s)
}

// dir returns the build directory of the request.
func (m *maker) dir() builddir.Dir { return builddir.Dir{Root: m.r.BuildDir, Arch: m.r.Arch} }

// warn records a warning about the recipe, once.
func (m *maker) warn(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(m.plan.Warnings, text) {
		m.plan.Warnings = append(m.plan.Warnings, text)
	}
}

// lack records something that the recipe needs and the tree does not have, once.
func (m *maker) lack(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(m.plan.Lacks, text) {
		m.plan.Lacks = append(m.plan.Lacks, text)
	}
}
