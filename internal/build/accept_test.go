// Tests of the check of RPMs: what a step that was taken over, or a cache, could pass off.

package build

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/builddir"
	"buildsys/internal/buildtest"
	"buildsys/internal/buildtest/fakerpm"
	"buildsys/internal/cache"
	"buildsys/internal/plan"
)

// forged is an RPM that could be in the outputs of the package kernel-5.10, or of a kit.
type forged struct {
	file               string // "" for the one of the header
	name, arch, source string
	more               []any // pairs of tags and values
	kit, own           bool
	want               string // in the error; "" if it is accepted
}

// version is the version and release of all RPMs here.
const version = "1.0-1"

var forgeries = map[string]forged{
	"its own":                {name: "os-kernel-5.10", source: "os-kernel-5.10"},
	"its spec's short name":  {name: "os-kernel", source: "os-kernel"},
	"a part":                 {name: "os-kernel-devel", source: "os-kernel"},
	"a part for debuggers":   {name: "os-kernel-5.10-debuginfo", source: "os-kernel-5.10"},
	"a part of another name": {name: "perf", source: "os-kernel-5.10"},
	"without a prefix":       {name: "kernel-5.10", source: "kernel-5.10"},
	"for any architecture":   {name: "os-kernel", arch: "noarch", source: "os-kernel"},
	"of a kit":               {name: "os-kernel", source: "os-kernel", kit: true},
	"another architecture": {name: "os-kernel", arch: "aarch64", source: "os-kernel",
		want: "is for aarch64"},
	"another architecture by an own Dockerfile": {name: "os-kernel", arch: "aarch64",
		source: "os-kernel", own: true},
	"no architecture of a tree": {name: "os-kernel", arch: "s390x", source: "os-kernel", own: true,
		want: "is for s390x"},
	"another package by an own Dockerfile": {name: "os-bash", source: "os-kernel", own: true,
		want: "the name of the package bash"},
	"another file name": {file: "os-bash-1.0-1.x86_64.rpm", name: "os-kernel", source: "os-kernel",
		want: "contains the RPM os-kernel-1.0-1.x86_64.rpm"},
	"another header": {file: "os-kernel-1.0-1.x86_64.rpm", name: "os-bash", source: "os-kernel",
		want: "contains the RPM os-bash"},
	"in a directory": {file: "d/os-kernel-1.0-1.x86_64.rpm", name: "os-kernel", source: "os-kernel",
		want: "does not lie where"},
	"another spec": {name: "os-bash", source: "os-bash", want: "the spec of \"os-bash\""},
	"another spec's part": {name: "os-bash-doc", source: "os-bash",
		want: "the spec of \"os-bash\""},
	"no spec": {name: "os-kernel", want: "which spec"},
	"another package's name": {name: "os-bash", source: "os-kernel-5.10",
		want: "the name of the package bash"},
	"and with a short name": {name: "os-bash", source: "os-kernel",
		want: "the name of the package bash"},
	"and with no prefix": {name: "bash", source: "os-kernel",
		want: "the name of the package bash"},
	"and with a spec of none": {name: "os-bash", source: "x", want: "the name of the package bash"},
	"a longer name": {name: "os-linux-headers", source: "os-linux-headers",
		want: "the spec of"},
	"another one of a kit": {name: "os-bash", source: "os-kernel", kit: true,
		want: "the name of the package bash"},
	"elsewhere in a kit": {file: "os-kernel-1.0-1.x86_64.rpm", name: "os-kernel", source: "os-kernel",
		kit: true, want: "does not lie where"},
	"two names": {name: "os-kernel", source: "os-kernel", more: []any{1000, "os-bash"},
		want: "tag 1000 is there twice"},
	"a line of its own in an inventory": {name: "os-kernel", source: "os-kernel",
		more: []any{1004, "x\nos-bash\t9.0"}, want: "tag 1004 of its header has control characters"},
	"an inventory that is not ours": {name: "os-kernel", source: "os-kernel", own: true,
		more: []any{1004, "x\ty"}},
	"what is no RPM": {name: "", want: "it is not an RPM"},
}

// Outputs of builds and results of caches pass the same check.
func TestForgedRPMsAreRefusedWhereverTheyComeFrom(t *testing.T) {
	packages := map[string]bool{"kernel-5.10": true, "bash": true, "linux-headers": true}
	for name, f := range forgeries {
		t.Run(name, func(t *testing.T) {
			check := newRPMCheck(plan.Plan{Arch: "x86_64", Packages: packages, Own: f.own})
			f.arch = cmp.Or(f.arch, "x86_64")
			dir, step := t.TempDir(), plan.Step{ID: "package/kernel-5.10", Kind: plan.Package,
				Name: "kernel-5.10"}
			file := cmp.Or(f.file, f.name+"-"+version+"."+f.arch+".rpm")
			if f.kit {
				step = plan.Step{ID: "kit/core", Kind: plan.Kit, Name: "core"}
				if f.file == "" {
					file = "Packages/kernel-5.10/" + file
				}
			}
			buildtest.Must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755))
			data := fakerpm.Header(f.name+"-"+version+"."+f.arch+".rpm", f.source, f.more...)
			if f.name == "" {
				data = []byte("nothing")
			}
			buildtest.Must(t, os.WriteFile(filepath.Join(dir, file), data, 0o644))
			errs := map[string]error{"build": check.outputs(t.Context(), step, dir)}
			e := cache.Entry{Step: step.ID + " x86_64", Files: []cache.File{{Name: file}}}
			errs["cache"] = check.entry(e, func(f cache.File) (*os.File, error) {
				return os.Open(filepath.Join(dir, f.Name))
			})
			for from, err := range errs {
				if (f.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), f.want) {
					t.Errorf("%s: %v; want %q", from, err, f.want)
				}
			}
			if bad, ok := errors.AsType[*builddir.OutputError](errs["build"]); f.want != "" &&
				(!ok || bad.Path != file) {
				t.Errorf("%v does not name %s", errs["build"], file)
			}
		})
	}
}
