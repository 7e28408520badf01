// accept: checks that RPMs can be those of the step that they are for, wherever they come from.

package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"buildsys/internal/builddir"
	"buildsys/internal/cache"
	"buildsys/internal/manifest"
	"buildsys/internal/plan"
	"buildsys/internal/rpm"
)

// The tags of an RPM's header that are compared with its file and its step
// (rpm/include/rpm/rpmtag.h).
const (
	tagName      = 1000
	tagVersion   = 1001
	tagRelease   = 1002
	tagSummary   = 1004
	tagLicense   = 1014
	tagGroup     = 1016
	tagURL       = 1020
	tagArch      = 1022
	tagSourceRPM = 1044
)

// rpmCheck refuses RPMs that a step cannot have made: of another architecture, in another place,
// with a file name that does not match the header, or in the name of another package of the tree.
// Whoever installs RPMs goes by their headers, so a package could replace another one with them.
type rpmCheck struct {
	arch     string
	packages map[string]bool // of the tree
	// own is true for RPMs of a tree's own Dockerfile. Such a recipe may cross-compile without telling
	// rpmbuild, and its RPMs then say the architecture of the machine that built them.
	own bool
}

func newRPMCheck(p plan.Plan) rpmCheck { return rpmCheck{p.Arch, p.Packages, p.Own} }

// entry checks a result of a remote cache. Its step is "package/bash x86_64".
func (c rpmCheck) entry(e cache.Entry, open func(cache.File) (*os.File, error)) error {
	step, arch, _ := strings.Cut(e.Step, " ")
	kind, name, _ := strings.Cut(step, "/")
	for _, f := range e.Files {
		if !hasRPMs(plan.Kind(kind)) || !strings.HasSuffix(f.Name, ".rpm") {
			continue
		}
		file, err := open(f)
		if err != nil {
			return err
		}
		err = rpmCheck{arch, c.packages, c.own}.file(plan.Kind(kind), name, f.Name, file)
		_ = file.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return nil
}

// outputs checks what a build has left in dir. It has the error of package executor for outputs.
func (c rpmCheck) outputs(ctx context.Context, s plan.Step, dir string) error {
	if !hasRPMs(s.Kind) {
		return nil
	}
	return filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(at, ".rpm") {
			return err
		}
		file, err := os.Open(at)
		if err != nil {
			return &builddir.HostError{Step: s.ID, Doing: "read the outputs", Err: err}
		}
		defer file.Close()
		rel, _ := filepath.Rel(dir, at)
		if err := c.file(s.Kind, s.Name, filepath.ToSlash(rel), file); err != nil {
			return &builddir.OutputError{Step: s.ID, Path: filepath.ToSlash(rel), Reason: err.Error()}
		}
		return nil
	})
}

func hasRPMs(k plan.Kind) bool { return k == plan.Package || k == plan.Kit }

// file checks one RPM of a package or of a kit.
func (c rpmCheck) file(kind plan.Kind, step, name string, file *os.File) error {
	dir, pkg := ".", step
	if kind == plan.Kit { // Packages/<package>/<file>
		pkg = path.Base(path.Dir(name))
		dir = "Packages/" + pkg
	}
	if path.Dir(name) != dir {
		return fmt.Errorf("it does not lie where the RPMs of a %s belong", kind)
	}
	h, err := rpm.Read(file, append(slices.Clone(inventoried), tagArch, tagSourceRPM)...)
	if err != nil {
		return err
	}
	if err := c.plain(h); err != nil {
		return err
	}
	return c.header(h, path.Base(name), pkg)
}

// inventoried are the tags that the inventory of an image has, one line for each RPM.
var inventoried = []int{
	tagName, tagVersion, tagRelease, tagSummary, tagLicense, tagGroup, tagURL,
}

// plain refuses line breaks and tabs where the recipes expect none: an RPM could add others to the
// inventory of an image, or take them out of the sight of scanners.
func (c rpmCheck) plain(h rpm.Header) error {
	for _, tag := range inventoried {
		if !c.own && slices.ContainsFunc(h[tag], func(value string) bool {
			return strings.ContainsFunc(value, unicode.IsControl)
		}) {
			return fmt.Errorf("tag %d of its header has control characters: %.100q", tag, h[tag])
		}
	}
	return nil
}

// header checks an RPM of a package.
func (c rpmCheck) header(h rpm.Header, file, pkg string) error {
	first := func(tag int) string {
		if values := h[tag]; len(values) > 0 {
			return values[0]
		}
		return ""
	}
	name := first(tagName)
	if want := fmt.Sprintf("%s-%s-%s.%s.rpm", name, first(tagVersion), first(tagRelease),
		first(tagArch)); file != want {
		return fmt.Errorf("it contains the RPM %s", want)
	}
	if a := first(tagArch); a != c.arch && a != "noarch" &&
		!(c.own && slices.Contains(manifest.Architectures(), a)) {
		return fmt.Errorf("it is for %s, not for %s", a, c.arch)
	}
	source := first(tagSourceRPM) // NAME-VERSION-RELEASE.src.rpm
	for range 2 {
		source = source[:max(0, strings.LastIndexByte(source, '-'))]
	}
	if source == "" {
		return errors.New("it does not say which spec it was built from")
	}
	return c.names(name, source, pkg)
}

// names refuses an RPM in the name of another package than pkg. The name of a spec is usually that
// of its package after a prefix, which the tree gives to all of them, but need not be: the spec of
// kernel-5.10 may be called kernel. So only names of others are refused.
func (c rpmCheck) names(name, source, pkg string) error {
	if c.other(source, pkg) != "" {
		return fmt.Errorf("it was built from the spec of %q, not from that of %s", source, pkg)
	}
	prefix, own := strings.CutSuffix(source, pkg)
	part := name == source || strings.HasPrefix(name, source+"-")
	other := ""
	if rest, prefixed := strings.CutPrefix(name, prefix); own && prefixed && rest != pkg &&
		c.packages[rest] {
		other = rest
	} else if !part {
		other = c.other(name, pkg)
	}
	if other != "" {
		return fmt.Errorf("it has the name of the package %s, and comes from %s", other, pkg)
	}
	return nil
}

// other returns the package that a name means, with any prefix, if that is another one than pkg.
func (c rpmCheck) other(name, pkg string) string {
	for rest, more := name, true; more; _, rest, more = strings.Cut(rest, "-") {
		if rest == pkg {
			return ""
		}
		if c.packages[rest] {
			return rest
		}
	}
	return ""
}
