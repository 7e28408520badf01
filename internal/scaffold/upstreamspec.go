// upstreamspec: the spec of a package for sources of others, by their build system.

package scaffold

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"buildsys/internal/survey"
)

// spec returns the text of the spec.
func (p *upstreamPackage) spec() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("Name: %%{_cross_os}%s", p.name)
	line("Version: %s", p.from.Version)
	line("Release: 1%%{?dist}")
	line("Summary: %s", p.summary())
	if p.from.Licence == "" {
		line("# TODO: the SPDX identifier of the licence")
		line("License: LicenseRef-unknown")
	} else {
		line("License: %s", p.from.Licence)
	}
	line("Source0: %s", p.source())
	if p.isBundled() {
		line("Source1: %s", p.versioned(p.bundleName()))
	}
	line("")
	for _, rpm := range slices.Compact(slices.Sorted(slices.Values(p.needs))) {
		line("BuildRequires: %%{_cross_os}%s", rpm)
	}
	for _, rpm := range slices.Compact(slices.Sorted(slices.Values(p.runs))) {
		line("Requires: %%{_cross_os}%s", rpm)
	}
	for _, text := range p.todo {
		line("# TODO: %s", survey.Line(text))
	}
	line("\n%%description\n%%{summary}.\n")
	if p.split() {
		line("%%package devel\nSummary: Files for development using %s\nRequires: %%{name}\n", p.name)
		line("%%description devel\n%%{summary}.\n")
	}
	line("%%prep\n%s\n", p.prep())
	build, install := p.commands()
	line("%%build\n%s\n", build)
	line("%%install\n%s\n%s", install, p.lists())
	line("%s", p.files())
	return strings.TrimRight(strings.ReplaceAll(b.String(), "\n\n\n", "\n\n"), "\n") + "\n"
}

// split reports whether there is an RPM of what others build with.
func (p *upstreamPackage) split() bool { return p.from.Library && p.from.System != survey.Go }

func (p *upstreamPackage) prep() string {
	top := p.versioned(p.from.Top)
	switch {
	case p.from.Top == ".":
		return "%autosetup -c -p1"
	case p.isBundled():
		return fmt.Sprintf("%%setup -n %s -q\n%%setup -T -D -n %[1]s -b 1 -q", top)
	}
	return fmt.Sprintf("%%autosetup -n %s -p1", top)
}

// commands returns what builds and installs the sources.
func (p *upstreamPackage) commands() (build, install string) {
	make, install := "%make_build", "%make_install"
	switch p.from.System {
	case survey.Autotools:
		build = "%cross_configure\n" + make
		if p.from.Handmade {
			build = "%set_cross_build_flags\n./configure --prefix=/usr\n" + make
		}
		if !p.from.Prepared {
			build = "autoreconf -fi\n" + build
		}
	case survey.CMake:
		if p.foreign {
			return "%{cross_cmake} .\n" + make, install
		}
		return nativeCMake, "DESTDIR=%{buildroot}%{_cross_rootdir} cmake --install build"
	case survey.Meson:
		if p.foreign {
			return "%cross_meson\n%cross_meson_build", "%cross_meson_install"
		}
		return nativeMeson, "DESTDIR=%{buildroot}%{_cross_rootdir} " +
			"meson install -C build --no-rebuild"
	case survey.Go:
		return p.goCommands()
	case survey.Cargo:
		p.unsure = append(p.unsure, "how the SDK cross-compiles with cargo is not known: look at the "+
			"spec")
		return "cargo build --release --offline --locked", "install -d %{buildroot}%{_cross_bindir}\n" +
			"find target/release -maxdepth 1 -type f -executable " +
			"-exec install -p -m 0755 -t %{buildroot}%{_cross_bindir} {} +"
	case survey.Make:
		flags := ` CC="${CC}" AR="${AR}" RANLIB="${RANLIB}" CFLAGS="${CFLAGS}" LDFLAGS="${LDFLAGS}"`
		p.unsure = append(p.unsure, "it is built by make alone, and which variables its Makefile heeds "+
			"is not known: look at the spec")
		return "%set_cross_build_flags\n" + make + flags,
			"%set_cross_build_flags\n" + install + flags + " PREFIX=/usr prefix=/usr"
	default:
		return "# TODO: build it", "# TODO: install it below the build root\nexit 1"
	}
	return build, install
}

const nativeCMake = `%set_cross_build_flags
cmake -S . -B build \
  -DCMAKE_SYSTEM_NAME=Linux \
  -DCMAKE_SYSTEM_PROCESSOR=%{_cross_arch} \
  -DCMAKE_BUILD_TYPE=None \
  -DCMAKE_INSTALL_PREFIX=/usr \
  -DCMAKE_INSTALL_LIBDIR=lib \
  -DCMAKE_INSTALL_SYSCONFDIR=/etc \
  -DCMAKE_INSTALL_LOCALSTATEDIR=/var \
  -DCMAKE_FIND_ROOT_PATH=%{_cross_sysroot} \
  -DCMAKE_FIND_ROOT_PATH_MODE_PROGRAM=NEVER \
  -DCMAKE_FIND_ROOT_PATH_MODE_LIBRARY=ONLY \
  -DCMAKE_FIND_ROOT_PATH_MODE_INCLUDE=ONLY \
  -DCMAKE_FIND_ROOT_PATH_MODE_PACKAGE=ONLY \
  -DCMAKE_SKIP_RPATH=ON
cmake --build build -- %{?_smp_mflags}`

const nativeMeson = `%set_cross_build_flags
printf -v cc "'%%s', " ${CC}
cat >cross.ini <<EOF
[binaries]
c = [${cc%, }]
ar = '${AR}'
strip = '${STRIP}'
pkg-config = 'pkg-config'
pkgconfig = 'pkg-config'
[properties]
needs_exe_wrapper = true
sys_root = '%{_cross_sysroot}'
pkg_config_libdir = ['%{_cross_pkgconfigdir}', '%{_cross_datadir}/pkgconfig']
[host_machine]
system = 'linux'
cpu_family = '%{_cross_arch}'
cpu = '%{_cross_arch}'
endian = 'little'
EOF
meson setup build --cross-file cross.ini --buildtype plain --wrap-mode nodownload \
  --prefix /usr --libdir lib --libexecdir libexec --sysconfdir /etc --localstatedir /var \
  -Dc_args="${CFLAGS}" -Dc_link_args="${LDFLAGS}"
meson compile -C build`

func (p *upstreamPackage) goCommands() (build, install string) {
	flags := "%{cross_go_ldflags}"
	if p.foreign {
		flags = `-ldflags="${GOLDFLAGS}"`
	}
	programs := p.programs()
	if len(programs) == 0 {
		return "# TODO: build it", "# TODO: install it below the build root\nexit 1"
	}
	if p.from.Modules && !p.isBundled() {
		p.unsure = append(p.unsure, "it needs Go modules, which are bundled only for an archive with "+
			"a URL")
	}
	build = "%set_cross_go_flags\n"
	for i, dir := range p.from.Commands {
		build += fmt.Sprintf("go build %s -o bin/%s %s\n", flags, programs[i], survey.Line(dir))
	}
	return strings.TrimSuffix(build, "\n"), "install -d %{buildroot}%{_cross_bindir}\n" +
		"install -p -m 0755 -t %{buildroot}%{_cross_bindir} bin/*"
}

// programs returns the names of the programs of a Go module.
func (p *upstreamPackage) programs() (names []string) {
	for _, dir := range p.from.Commands {
		name := path.Base(dir)
		if dir == "." {
			name = p.name
		}
		names = append(names, survey.Line(name))
	}
	return names
}

// lists returns what writes the lists of installed files.
func (p *upstreamPackage) lists() string {
	if p.from.System == survey.Go {
		return ""
	}
	text := `rm -rf %{buildroot}%{_cross_mandir} %{buildroot}%{_cross_infodir} \
  %{buildroot}%{_cross_docdir} %{buildroot}%{_cross_localedir}
# TODO: name the files in the files sections instead, so that no version brings others unseen.
(cd %{buildroot} && find . ! -type d ! -name '*.la' | sed 's/^[.]//' | sort) >files
`
	if p.split() {
		text += `grep -E '/include/|[.](so|a|h)$|/pkgconfig/|/cmake/|/aclocal/' files >files-devel || :
grep -vxF -f files-devel files >files-main || :
`
	}
	return text
}

func (p *upstreamPackage) files() string {
	text := ""
	var licences []string
	for _, file := range p.from.LicenceFiles {
		if plainName.MatchString(file) {
			licences = append(licences, file)
		}
	}
	if len(licences) > 0 {
		text = "%license " + strings.Join(licences, " ") + "\n"
	}
	if p.foreign {
		text += "%{_cross_attribution_file}\n"
	}
	switch {
	case p.from.System == survey.Go:
		for _, name := range p.programs() {
			text += "%{_cross_bindir}/" + name + "\n"
		}
		return "%files\n" + strings.TrimSuffix(text, "\n")
	case p.split():
		return "%files -f files-main\n" + text + "\n%files devel -f files-devel"
	}
	return "%files -f files\n" + strings.TrimSuffix(text, "\n")
}
