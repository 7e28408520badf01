// load: reads the manifests of packages and variants.

package workspace

import (
	"io/fs"
	"path"
	"runtime"
	"sync"
	"sync/atomic"

	"buildsys/internal/confined"
	"buildsys/internal/manifest"
)

// release reads Release.toml.
func (l *loader) release() manifest.Release {
	if !l.exists(releaseFile) {
		l.tolerate(releaseFile, 0, "create it with version = \"0.1.0\"", "is missing")
		return manifest.Release{}
	}
	data, ok := l.read(releaseFile)
	if !ok {
		return manifest.Release{}
	}
	release, problems := manifest.ParseRelease(releaseFile, data, l.rules)
	l.problems = append(l.problems, problems...)
	return release
}

// loadAll reads the packages and variants in the named directories in parallel: the system calls
// and the TOML decoding here take most of the time of planning, and no manifest depends on another
// yet.
func (l *loader) loadAll(root string, names, variants []string) {
	packages, problems := make([]*Package, len(names)), make([]manifest.Problems, len(names))
	var group sync.WaitGroup
	more := l.part()
	more.variants = l.variants
	group.Go(func() { // first, because the manifest of a variant may be the largest file
		for _, name := range variants {
			more.loadVariant(name)
		}
	})
	var next atomic.Int64
	for range runtime.GOMAXPROCS(0) { // few goroutines, because the stack of a decoder has to grow
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(names); i = int(next.Add(1)) - 1 {
				one := l.part()
				packages[i] = one.loadPackage(root, names[i])
				problems[i] = one.problems
			}
		})
	}
	group.Wait()
	for i, name := range names {
		if packages[i] != nil {
			l.packages[name] = packages[i]
		}
		l.problems = append(l.problems, problems[i]...)
	}
	l.problems = append(l.problems, more.problems...)
}

// loadPackage reads one package. It returns nil if the directory has no manifest. It lists the
// directory only once: with thousands of packages, system calls dominate.
func (l *loader) loadPackage(root, name string) *Package {
	p := &Package{Dir: path.Join(packagesDir, name)}
	entries, err := confined.ReadDir(l.tree, p.Dir)
	if err != nil {
		l.problem(p.Dir, 0, "", "cannot be read: %v", why(err))
		return nil
	}
	at := find(entries, manifestFile)
	if at == nil {
		if specs := specs(entries); len(specs) > 0 {
			l.tolerate(p.Dir, 0, "", "has %s, but no %s", specs[0], manifestFile)
		}
		return nil
	}
	file := path.Join(p.Dir, manifestFile)
	data, ok := l.readKind(file, at.Type())
	if !ok {
		return p
	}
	parsed, problems := manifest.ParsePackage(file, data, l.rules)
	p.Package = *parsed
	l.problems = append(l.problems, problems...)
	l.checkName(p, name)
	l.checkSpec(p, name, entries)
	l.checkGroups(p)
	files, bad := packageFiles(root, l.tree, p, entries, l.foreign)
	for _, b := range bad {
		b.Warning = b.Warning && l.rules.Lenient
		l.problems = append(l.problems, b)
	}
	p.files = files
	return p
}

// loadVariant reads one variant, if the directory has a manifest.
func (l *loader) loadVariant(name string) {
	v := &Variant{Dir: path.Join(variantsDir, name)}
	file := path.Join(v.Dir, manifestFile)
	if !l.exists(file) {
		return
	}
	l.variants[name] = v
	data, ok := l.read(file)
	if !ok {
		return
	}
	parsed, problems := manifest.ParseVariant(file, data, l.rules)
	v.Variant = *parsed
	l.problems = append(l.problems, problems...)
	if v.ImageFormat == "vmdk" {
		l.loadTemplate(v)
	}
}

// loadTemplate reads the template that an appliance is made from.
func (l *loader) loadTemplate(v *Variant) {
	name := path.Join(v.Dir, TemplateName)
	if !l.exists(name) {
		l.problem(v.File, 0, "write "+name+": the virtual machine that the image is for, in OVF",
			"image-format \"vmdk\" makes an appliance, but there is no %s", name)
		return
	}
	v.Template, _ = l.readTemplate(name)
}

// readTemplate reads a template, which in a foreign tree may be a link to one shared by several
// variants.
func (l *loader) readTemplate(name string) (data []byte, ok bool) {
	if info, err := fs.Stat(l.tree, name); err == nil && l.foreign {
		return l.readKind(name, info.Mode())
	}
	return l.read(name)
}
