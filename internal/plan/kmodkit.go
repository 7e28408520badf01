// kmodkit: the step that packs the kmod kit of a variant apart from its image, from the kernel
// alone, so that a change of anything else packs none.

package plan

import (
	"bytes"
	"path"
	"slices"
	"strings"

	"buildsys/internal/graph"
	"buildsys/internal/workspace"
)

// kernels says which packages of a variant seem to be its kernel.
type kernels struct {
	is func(name string) bool
	// rpms are what the names of their RPMs begin with, as patterns without the OS prefix.
	rpms []string
	// toolchain is the directory of the SDK image with the compiler for the kit, or empty.
	toolchain string
}

func (n *native) kmodKitStep(v *workspace.Variant, packages graph.Set) (Step, bool) {
	return n.kmodKit(v, packages, kernels{rpms: []string{"kernel*"},
		is: func(name string) bool { return strings.HasPrefix(name, "kernel") }})
}

// kmodKitStep goes by what the variant includes, as its RPMs may be those of a kit, which has
// several kernels.
func (t *twoliter) kmodKitStep(v *workspace.Variant, packages graph.Set) (Step, bool) {
	var included []string
	for _, name := range v.IncludedPackages {
		if strings.HasPrefix(name, "kernel-") {
			included = append(included, name)
		}
	}
	if slices.Contains(featureWords(v), "no-external-kmod-development") {
		return Step{}, false
	}
	return t.kmodKit(v, packages, kernels{rpms: included, toolchain: "/toolchain",
		is: func(name string) bool { return slices.Contains(included, name) }})
}

// kmodKit returns the step for the packages that seem to make the archive of a kernel; ok is false
// if there are none. Which RPMs a package makes only its build tells: the image's step compares,
// and packs the kit itself if these were others than its own.
func (n *native) kmodKit(v *workspace.Variant, packages graph.Set, k kernels) (s Step, ok bool) {
	m := n.m
	if !hasPart(m.ours.Dockerfile, KmodKit) {
		return Step{}, false
	}
	rpms := m.kernelRPMs(packages, k)
	if rpms.RPMs.Empty() && len(rpms.Derived) == 0 {
		return Step{}, false
	}
	s = newStep(KmodKit, v.Name, m.dir().KmodKit(v.Name))
	s.Uses = rpms.RPMs
	s.Solve = Solve{
		Name:       v.Name + " " + m.r.Arch,
		Dockerfile: section(m.ours.Dockerfile, string(KmodKit)),
		Target:     string(KmodKit),
		Args: map[string]string{"SDK": m.r.SDK, "ARCH": m.r.Arch, "VARIANT": v.Name,
			"VERSION_ID": m.r.Identity.Version, "KERNELS": strings.Join(k.rpms, " ")},
		Contexts: map[string]Context{
			"recipe": {Files: recipeFiles(m.ours, string(KmodKit), m.r.Arch)},
			"rpms":   rpms,
		},
	}
	if k.toolchain != "" {
		s.Solve.Args["TOOLCHAIN_DIR"] = k.toolchain
	}
	return s, true
}

// kernelRPMs returns the context with the RPMs of those of the packages, and of those of external
// kits, that seem to make the archive of a kernel.
func (m *maker) kernelRPMs(packages graph.Set, k kernels) Context {
	var steps []int
	for i := range packages.All() {
		name := m.plan.Steps[i].Name
		if k.is(name) && bytes.Contains(m.uses(m.ws.Packages[name]).spec, []byte("archive")) {
			steps = append(steps, i)
		}
	}
	c := Context{RPMs: graph.SetOf(steps...)}
	kits := map[string]bool{}
	for _, d := range m.externals.beside(packages) {
		if k.is(path.Base(d.Name)) {
			c.Derived = append(c.Derived, d)
			kits[path.Dir(d.Name)] = true
		}
	}
	for _, f := range m.externals.files {
		if kits[path.Dir(f.Name)] {
			c.Files = append(c.Files, f)
		}
	}
	return c
}

// addKmodKit adds what the step of the kmod kit made to the step of the image.
func (n *native) addKmodKit(s *Step) {
	m := n.m
	if !hasPart(m.ours.Dockerfile, KmodKit) {
		return // the step packs the kit
	}
	c := Context{}
	if m.kmodKit >= 0 {
		kit := m.plan.Steps[m.kmodKit]
		c.Top = []*Dir{{Name: kit.Name, Host: kit.Out, Step: m.kmodKit}}
		s.Uses = s.Uses.Union(graph.SetOf(m.kmodKit))
	}
	s.Solve.Contexts[string(KmodKit)] = c
}
