// kit: the step that makes a kit's repository of its packages' RPMs, and the kits of others that packages and images see.

package plan

import (
	"path"
	"slices"

	"buildsys/internal/workspace"
)

// kitTools are the files of the recipe that the kit target uses.
var kitTools = []string{"imghelper", "rpm2kit", "vary", "vary-readdir.c"}

// kitPackages returns the packages to build for the kits of the request: what is in them, and what that needs.
func (m *maker) kitPackages() ([]string, error) {
	var names []string
	for _, kit := range m.r.Kits {
		if m.ws.Kits[kit] == nil {
			return nil, unknown("kit", kit, m.ws.KitNames())
		}
		if m.foreign != nil {
			return nil, &RequestError{What: "kit " + kit, Why: "the tree has a recipe of its own, " + foreignName + ", which is not told of kits", Hint: useOwn}
		}
		contents := m.ws.KitContents(kit)
		if len(contents) == 0 {
			return nil, &RequestError{What: "kit " + kit, Why: "there is no package in it", Hint: "list some in [build-dependencies] in " + m.ws.Kits[kit].File}
		}
		names = append(names, contents...)
		names = append(names, workspace.Packages(m.graph.BuildClosure(contents...))...)
	}
	return names, nil
}

// addKit adds the step of one kit. order has the packages of the plan, whose steps are there already.
func (m *maker) addKit(kit string, order []string) {
	contents := m.ws.KitContents(kit)
	var places []int
	for i, name := range order {
		if _, in := slices.BinarySearch(contents, name); in {
			places = append(places, i)
		}
	}
	var recipe []File
	for _, tool := range kitTools {
		recipe = append(recipe, toolFile(m.recipe, tool)...)
	}
	m.plan.Steps = append(m.plan.Steps, Step{
		ID:   string(Kit) + "/" + kit,
		Kind: Kit,
		Name: kit,
		Deps: m.stepsOf(places),
		Out:  m.dir().Kit(kit),
		Solve: Solve{
			Name:       kit + " " + m.r.Arch,
			Dockerfile: section(m.recipe.Dockerfile, string(Kit)),
			Target:     string(Kit),
			Args:       map[string]string{"SDK": m.r.SDK, "ARCH": m.r.Arch, "KIT": kit},
			Contexts: map[string]Context{
				"recipe": {Files: recipe},
				"rpms":   {Dirs: m.rpmDirs(places)},
			},
		},
	})
}

// ExternalKit is a kit of others, unpacked on this machine.
type ExternalKit struct {
	Name    string
	Vendor  string
	Version string
	// Digest is that of the image it is from: what it holds follows from that.
	Digest string
	Dirs   []KitPackage // sorted by Name
}

// KitPackage is the directory with the RPMs of one package of a kit.
type KitPackage struct {
	Name string
	Dir  string   // on this machine
	RPMs []string // file names, sorted
}

// externalContext is what a step sees of the kits of others, beside the RPMs of the named packages of the tree: a file for
// each kit that says which it is, and the directories of its RPMs. Nothing may be there twice: a package of the tree takes
// the place of that of a kit, and of two kits with the same RPM the one that Twoliter.lock has first is taken.
func (m *maker) externalContext(own []*Dir) (files []File, dirs []*Dir) {
	if len(m.r.ExternalKits) == 0 {
		return nil, nil
	}
	taken := map[string]bool{}
	for _, d := range own {
		taken[d.Name] = true
	}
	seen := map[string]bool{}
	for _, kit := range m.r.ExternalKits {
		at := path.Join("kits", kit.Vendor, kit.Name)
		files = append(files, File{Name: at + "/kit", Data: []byte(kit.Version + " " + kit.Digest + "\n"), Mode: 0o644})
		for _, p := range kit.Dirs {
			again := slices.ContainsFunc(p.RPMs, func(rpm string) bool { return seen[rpm] })
			for _, rpm := range p.RPMs {
				seen[rpm] = true
			}
			if !again && !taken[p.Name] {
				dirs = append(dirs, &Dir{Name: at + "/" + p.Name, Host: p.Dir})
			}
		}
	}
	sortFiles(files)
	return files, dirs
}
