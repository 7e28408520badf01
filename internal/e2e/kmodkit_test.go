// kmodkit_test: the kmod kit is packed when the kernel changes and not when userland does.

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// kernelSpec returns the spec of a kernel with an archive for the kmod kit, in an RPM of the given
// name, with the given text in it.
func kernelSpec(rpm, text string) string {
	return fmt.Sprintf(`Name: %%{_cross_os}kernel
Version: 1.0
Release: 1
Summary: A kernel with an archive
License: MIT
%%description
%%{summary}.
%%package -n %%{_cross_os}%[1]s
Summary: What kmod kits are made of
%%description -n %%{_cross_os}%[1]s
%%{summary}.
%%prep
%%build
%%install
r=%%{buildroot}%%{_cross_rootdir}/usr/share
mkdir -p $r kernel-devel
echo %[2]s >kernel-devel/config
tar -cJf $r/kernel-devel.tar.xz kernel-devel
%%files
%%files -n %%{_cross_os}%[1]s
%%{_cross_rootdir}/usr/share/kernel-devel.tar.xz
`, rpm, text)
}

// TestKmodKit builds an image whose kernel is a package of its own, and changes one package after
// the other. Without that package, in TestImageFormats, the image's step packs the kit.
func TestKmodKit(t *testing.T) {
	root := imageTree(t)
	const manifest, tinySpec, spec = "variants/try-raw/Cargo.toml", "packages/tiny/tiny.spec",
		"packages/kernel/kernel.spec"
	read := func(name string) string {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	build := func(packed bool, want string) {
		t.Helper()
		r := buildsys(t, root, nil, "build-variant", "--arch", "x86_64", "try-raw")
		r.must(t, 0)
		if got := strings.Contains(r.stderr, "kmod-kit try-raw started"); got != packed {
			t.Errorf("a step has packed the kmod kit: %v, want %v\n%s", got, packed, r.stderr)
		}
		kit := filepath.Join(strings.TrimSpace(r.stdout), "tiny-try-raw-x86_64-1.2.3-abc-kmod-kit.tar.xz")
		got := tool(t, "tar", "-xJOf", kit, "try-raw-x86_64-kmod-kit-v1.2.3/kernel-devel/config")
		if got != want {
			t.Errorf("the kmod kit has %q, want %q", got, want)
		}
	}
	write(t, root, "packages/kernel/Cargo.toml", "[package]\nname = \"kernel\"\n")
	write(t, root, spec, kernelSpec("kernel-archive", "first"))
	write(t, root, manifest, read(manifest)+"kernel = { path = \"../../packages/kernel\" }\n")
	tiny := strings.ReplaceAll(read(tinySpec), "kernel-archive", "notes")
	write(t, root, tinySpec, tiny)
	build(true, "first\n")
	write(t, root, tinySpec, strings.Replace(tiny, "seq 100000", "seq 99999", 1))
	build(false, "first\n")
	if err := os.RemoveAll(filepath.Join(root, "build")); err != nil {
		t.Fatal(err)
	}
	build(false, "first\n") // as in a fresh clone
	write(t, root, spec, kernelSpec("kernel-archive", "second"))
	build(true, "second\n")
	reproducible(t, root, "x86_64", "try-raw")
	why := buildsys(t, root, nil, "why", "--arch", "x86_64", "kmod-kit/try-raw")
	if why.must(t, 0); why.stdout != "kmod-kit try-raw is up to date\n" {
		t.Errorf("why: %q", why.stdout)
	}
	// A guess that is wrong: it looks as if this package had an archive, but another one makes it.
	write(t, root, spec, kernelSpec("kernel-notes", "third")+"%changelog\n# no archive\n")
	write(t, root, tinySpec, strings.NewReplacer("%{_cross_os}notes", "%{_cross_os}kernel-archive",
		"include/config.h", "config").Replace(tiny))
	build(true, "tiny\n")
	// And one that is right for one of two.
	write(t, root, spec, kernelSpec("kernel-one-archive", "fourth"))
	r := buildsys(t, root, nil, "build-variant", "--arch", "x86_64", "try-raw")
	r.must(t, 3, "the RPMs of variant try-raw have archives of several kernels")
}
