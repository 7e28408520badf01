// accept: checks that RPMs from a remote cache can be those of the step that they are for.

package build

import (
	"fmt"
	"os"
	"path"
	"strings"

	"buildsys/internal/cache"
	"buildsys/internal/plan"
	"buildsys/internal/rpm"
)

// The tags of an RPM's header that are compared with its entry (rpm/include/rpm/rpmtag.h).
const (
	tagName      = 1000
	tagVersion   = 1001
	tagRelease   = 1002
	tagArch      = 1022
	tagSourceRPM = 1044
)

// acceptRPMs refuses RPMs that the step of an entry cannot have made: of another architecture, of
// another package (by the source RPM that they name), or with a file name that does not match the
// header.
func acceptRPMs(e cache.Entry, open func(cache.File) (*os.File, error)) error {
	step, arch, _ := strings.Cut(e.Step, " ")
	kind, pkg, _ := strings.Cut(step, "/")
	if kind != string(plan.Package) && kind != string(plan.Kit) {
		return nil
	}
	for _, f := range e.Files {
		if !strings.HasSuffix(f.Name, ".rpm") {
			continue
		}
		file, err := open(f)
		if err != nil {
			return err
		}
		h, err := rpm.Read(file, tagName, tagVersion, tagRelease, tagArch, tagSourceRPM)
		_ = file.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		if kind == string(plan.Kit) { // Packages/<package>/<file>
			pkg = path.Base(path.Dir(f.Name))
		}
		if err := acceptRPM(h, path.Base(f.Name), pkg, arch); err != nil {
			return err
		}
	}
	return nil
}

func acceptRPM(h rpm.Header, file, pkg, arch string) error {
	first := func(tag int) string {
		if values := h[tag]; len(values) > 0 {
			return values[0]
		}
		return ""
	}
	if want := fmt.Sprintf("%s-%s-%s.%s.rpm", first(tagName), first(tagVersion), first(tagRelease),
		first(tagArch)); file != want {
		return fmt.Errorf("the file %s contains the RPM %s", file, want)
	}
	if a := first(tagArch); a != arch && a != "noarch" {
		return fmt.Errorf("%s is for %s, not for %s", file, a, arch)
	}
	// NAME-VERSION-RELEASE.src.rpm, where NAME is the package's name after the prefix that the tree
	// gives to all of them.
	source := first(tagSourceRPM)
	for range 2 {
		source = source[:max(0, strings.LastIndexByte(source, '-'))]
	}
	if source != pkg && !strings.HasSuffix(source, "-"+pkg) {
		return fmt.Errorf("%s was built from the spec of %q, not from that of %s", file, source, pkg)
	}
	return nil
}
