// watched: the places in a tree whose files decide what a plan makes.

package build

import (
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"buildsys/internal/confined"
	"buildsys/internal/plan"
	"buildsys/internal/watch"
	"buildsys/internal/workspace"
)

// Ignored reports whether the name of a file says that no build reads it.
func Ignored(name string) bool { return workspace.Ignored(name) || name == "target" }

// wholeBelow are the directories of a tree of which each directory is watched whole: new files
// there count as well.
var wholeBelow = []string{"packages", "variants", "kits", "sources", "tools", devDir}

// Places returns what of the tree has to be watched: the directories of the files in the keys of
// the steps, those of the manifests, and the sources that are worked on. Settings, and what names
// the SDK image, were read before.
func (p Prepared) Places() []watch.Place {
	// By directory; nil is all. What is below these two is read into what steps see.
	names := map[string]map[string]bool{"macros": nil, "roles": nil}
	add := func(file string) {
		parts := strings.Split(file, "/")
		if slices.Contains(wholeBelow, parts[0]) && len(parts) > 2 {
			names[parts[0]+"/"+parts[1]] = nil
			return
		}
		dir, base := path.Split(file)
		dir = path.Clean(dir)
		if all, ok := names[dir]; ok && all == nil {
			return
		}
		if names[dir] == nil {
			names[dir] = map[string]bool{}
		}
		names[dir][base] = true
	}
	for _, file := range []string{"Release.toml", "Twoliter.toml", "Twoliter.lock", "Dockerfile"} {
		add(file)
	}
	seen := map[string]bool{} // steps may share thousands of files
	for _, step := range p.plan.Steps {
		p.addStep(step, add)
		for _, c := range step.Solve.Contexts {
			for _, f := range c.Files {
				if f.Host != "" && !seen[f.Host] {
					seen[f.Host] = true
					p.addFile(f.Host, add)
				}
			}
		}
	}
	var places []watch.Place
	for _, dir := range slices.Sorted(maps.Keys(names)) {
		places = append(places, watch.Place{Dir: dir, Names: slices.Sorted(maps.Keys(names[dir]))})
	}
	return places
}

// addStep adds what is read for a step besides the files that it sees.
func (p Prepared) addStep(step plan.Step, add func(file string)) {
	switch step.Kind {
	case plan.Package:
		add("packages/" + step.Name + "/" + "Cargo.toml")
		if t, err := os.Lstat(filepath.Join(p.s.c.Root, devDir, step.Name)); err == nil && t.IsDir() {
			add(devDir + "/" + step.Name + "/.")
		}
	case plan.Variant, plan.DevImage:
		add("variants/" + step.Name + "/" + "Cargo.toml")
	}
}

// addFile adds a file of this machine if it is one of the tree that nobody has built. Of a link,
// which trees for other programs may have, both ends count.
func (p Prepared) addFile(host string, add func(file string)) {
	in, ok := confined.In(p.s.c.Root, host)
	if !ok || strings.HasPrefix(in.Name, "build"+string(filepath.Separator)) {
		return
	}
	add(filepath.ToSlash(in.Name))
	if to, err := filepath.EvalSymlinks(host); err == nil && to != host {
		if in, ok := confined.In(p.s.c.Root, to); ok {
			add(filepath.ToSlash(in.Name))
		}
	}
}
