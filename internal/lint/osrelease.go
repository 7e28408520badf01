// osrelease: whether an image says which system it is.

package lint

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"strings"

	"buildsys/internal/confined"
	"buildsys/internal/workspace"
)

// osRelease is the file that the recipe of images completes, so that none can be made without it.
const osRelease = "/usr/lib/os-release"

// wantsOSRelease reports whether the recipe of images is known to want that file: the one inside
// buildsys does, and so does a tree's own whose tool speaks of it. Foreign trees have others.
func wantsOSRelease(ws *workspace.Workspace) bool {
	if ws.Foreign() {
		return false
	}
	if _, err := fs.Lstat(ws.FS, "Dockerfile"); errors.Is(err, fs.ErrNotExist) {
		return true
	}
	tool, err := confined.ReadIn(ws.FS, "tools/image/rpm2img", maxFile)
	return err == nil && bytes.Contains(tool, []byte(osRelease))
}

// checkOSRelease reports a variant no package of which can install /usr/lib/os-release: its image
// cannot be made. It is silent where that cannot be known.
func (l *linter) checkOSRelease(name string, closure []string) {
	v := l.ws.Variants[name]
	if !l.identified || l.others || len(v.IncludedPackages) == 0 {
		return
	}
	for _, pkg := range workspace.Packages(closure) {
		if l.mayInstall(pkg, osRelease) {
			return
		}
	}
	line := v.IncludedLines[0]
	var have []string
	for _, pkg := range l.ws.PackageNames() {
		if l.specs[pkg].mentions(path.Base(osRelease)) {
			have = append(have, pkg)
		}
	}
	hint := "add a package that installs it, as the package release of a tree by \"buildsys init\""
	if len(have) > 0 {
		hint = "include " + packages(have) + ", and add " + l.entries(v.Dir, have) +
			" to [build-dependencies]"
	}
	l.find(subject{CheckOSRelease, "variant/" + name}, Error, v.File, line, hint,
		"no package of the variant installs %s, without which no image is made", osRelease)
}

// mayInstall reports whether an RPM of a package installs a file of the image, or whether that
// cannot be known.
func (l *linter) mayInstall(pkg, file string) bool {
	spec := l.specs[pkg]
	if spec.Uncertain || spec.Included || spec.mentions(path.Base(file)) {
		return true
	}
	root := known(l.base.expand("%{_cross_sysroot}"))
	if len(root) != 1 {
		return true
	}
	for _, f := range spec.Installed {
		if f.unknown || !f.dir && covers(f.Path, root[0]+file) {
			return true
		}
	}
	return false
}

// covers reports whether a line of %files, which may be a pattern, names a file or a directory that
// the file is in.
func covers(pattern, file string) bool {
	if pattern == "" {
		return false
	}
	for at := file; at != "/"; at = path.Dir(at) {
		if match, err := path.Match(strings.TrimSuffix(pattern, "/"), at); match || err != nil {
			return true
		}
	}
	return false
}
