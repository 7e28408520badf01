// upstream: a package for sources of others, by what their archive says.

package scaffold

import (
	"cmp"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
	"buildsys/internal/survey"
	"buildsys/internal/workspace"
)

// Upstream is an archive of sources, and where a package has it from.
type Upstream struct {
	*survey.Source
	File        string // its name in the build
	URL, SHA512 string // if it is fetched
	Data        []byte // else: it becomes a file of the package
}

// Place is what a package for sources of others has to know about the tree.
type Place struct {
	*workspace.Workspace
	Root     string
	Provider Provider
}

// Provider returns who provides something: the package of the tree, and the name of the RPM without
// the prefix of the OS. It is not ok if nobody does.
type Provider func(kind survey.Kind, name string) (pkg, rpm string, ok bool)

// upstreamPackage is such a package while it is written.
type upstreamPackage struct {
	*Skeleton
	tree    Place
	from    Upstream
	foreign bool
	needs   []string // RPMs without the prefix, to build
	runs    []string // those needed at run time
	deps    []string // packages
	todo    []string // comments about what is missing
	unsure  []string
}

// FromUpstream returns a package for sources of others, and what a person has to look at.
func FromUpstream(tree Place, name string, from Upstream) (*Skeleton, []string, error) {
	n, err := newSkeleton(tree.Root, "packages", name)
	if err != nil {
		return nil, nil, err
	}
	if !validVersion.MatchString(from.Version) {
		return nil, nil, errkind.Usagef("the version of %s is not known, neither by its name nor by "+
			"what is in it: give the archive a name like %s-1.2.3.tar.gz", from.File, name)
	}
	for _, text := range append([]string{from.Top, from.File}, from.Commands...) {
		if !plainName.MatchString(text) {
			return nil, nil, errkind.Usagef("%q in %q cannot stand in a spec: letters, digits and . _ + - "+
				"/ can", survey.Line(text), survey.Line(from.File))
		}
	}
	p := &upstreamPackage{Skeleton: n, tree: tree, from: from, foreign: tree.Foreign(),
		unsure: slices.Clone(from.Unsure)}
	p.resolveNeeds()
	p.checkTools()
	if err := p.addManifest(); err != nil {
		return nil, nil, err
	}
	p.add(name+".spec", "%s", p.spec())
	if from.Data != nil {
		p.add(from.File, "%s", from.Data)
	}
	p.notes = append(p.notes, "buildsys build-package "+name)
	return n, p.unsure, nil
}

// plainName matches names of files that stand in a spec as they are.
var plainName = regexp.MustCompile(`^[A-Za-z0-9._+/@~-]+$`)

var validVersion = regexp.MustCompile(`^[0-9][0-9A-Za-z._+~]{0,63}$`)

// resolveNeeds finds the packages of the tree that the sources need.
func (p *upstreamPackage) resolveNeeds() {
	if p.from.System != survey.Go {
		p.needLibc()
	}
	var without []string
	for _, need := range p.from.Needs {
		pkg, rpm, ok := p.tree.Provider(need.Kind, need.Name)
		switch {
		case ok:
			p.need(pkg, rpm)
		case need.Optional:
			without = append(without, need.Name)
		default:
			text := fmt.Sprintf("BuildRequires of what provides %s, the %s that %s needs", need.Name,
				kindNames[need.Kind], need.From)
			p.todo = append(p.todo, text)
			p.unsure = append(p.unsure, "no package of the tree is known to provide "+need.Name+
				", the "+kindNames[need.Kind]+" that "+need.From+" needs")
		}
	}
	if len(without) > 0 {
		p.todo = append(p.todo, "optional, and not in the tree: "+strings.Join(without, ", "))
	}
}

var kindNames = map[survey.Kind]string{survey.PkgConfig: "pkg-config module",
	survey.Package: "CMake package", survey.Library: "library"}

// needLibc adds the libc of the tree, and the headers of the kernel where they are included.
func (p *upstreamPackage) needLibc() {
	for _, libc := range []string{"musl", "glibc"} {
		if p.tree.Packages[libc] != nil {
			p.need(libc, libc+"-devel")
			break
		}
	}
	if p.from.Kernel && p.tree.Packages["linux-headers"] != nil {
		p.needs = append(p.needs, "linux-headers-devel")
		p.deps = append(p.deps, "linux-headers")
	}
}

// need adds a package with headers, and its main RPM at run time.
func (p *upstreamPackage) need(pkg, rpm string) {
	if slices.Contains(p.needs, rpm) {
		return
	}
	p.needs, p.deps = append(p.needs, rpm), append(p.deps, pkg)
	if main, ok := strings.CutSuffix(rpm, "-devel"); ok && !p.foreign {
		p.runs = append(p.runs, main)
	}
}

// tools are the Debian packages that build systems need of the SDK.
var tools = map[survey.System][]string{survey.Meson: {"meson"}, survey.CMake: {"cmake"},
	survey.Cargo: {"cargo"}}

// checkTools looks whether the SDK has what the build system needs. Only a tree's own list tells.
func (p *upstreamPackage) checkTools() {
	need := tools[p.from.System]
	if p.from.System == survey.Autotools && !p.from.Prepared {
		need = []string{"autoconf", "automake", "libtool"}
		p.unsure = append(p.unsure, "there is no configure, only what it is made of: use an archive of "+
			"a release, or run autoreconf -fi before it")
	}
	list, err := confined.Path{Root: p.tree.Root, Name: "sdk/packages.list"}.Read(maxFile)
	if err != nil || p.foreign {
		return
	}
	for _, tool := range need {
		if !regexp.MustCompile(`(?m)^` + tool + `(\s|$)`).Match(list) {
			p.unsure = append(p.unsure, "the SDK of this tree has no "+tool+
				": add it to sdk/packages.list, and run buildsys sdk lock")
		}
	}
}

func (p *upstreamPackage) addManifest() error {
	text := p.crateText() + "\n[package.metadata.build-package]\n"
	if p.crate != p.name {
		text += fmt.Sprintf("package-name = %q\n", p.name)
	}
	if p.from.URL != "" {
		if at := releases(p.from.URL); at != "" {
			text += fmt.Sprintf("releases-url = %q\n", at)
		}
		text += fmt.Sprintf("\n[[package.metadata.build-package.external-files]]\nurl = %q\n", p.from.URL)
		if path.Base(urlPath(p.from.URL)) != p.from.File {
			text += fmt.Sprintf("path = %q\n", p.from.File)
		}
		text += fmt.Sprintf("sha512 = %q\n", p.from.SHA512)
		text += p.bundle()
	}
	if len(p.deps) > 0 {
		text += "\n[build-dependencies]\n"
		for _, dep := range slices.Compact(slices.Sorted(slices.Values(p.deps))) {
			text += p.tree.Entry("packages/"+p.name, p.tree.Packages[dep]) + "\n"
		}
	}
	p.add("Cargo.toml", "%s", text)
	// A manifest that cannot be read would make the whole tree unusable.
	_, problems := manifest.ParsePackage("packages/"+p.name+"/Cargo.toml", []byte(text),
		manifest.Rules{Lenient: true})
	return problems.Err()
}

// bundle returns the keys for the modules that the sources need.
func (p *upstreamPackage) bundle() (text string) {
	kind := map[survey.System]string{survey.Go: "go", survey.Cargo: "rust"}[p.from.System]
	if !p.from.Modules || kind == "" {
		return ""
	}
	text = fmt.Sprintf("bundle-modules = [%q]\n", kind)
	if strings.Contains(p.from.Top, "/") || p.from.Top == "." {
		text += fmt.Sprintf("bundle-root-path = %q\n", p.from.Top)
	}
	if !strings.Contains(p.from.File, ".t") || strings.HasSuffix(p.from.File, ".tar.bz2") {
		text += fmt.Sprintf("bundle-output-path = %q\n", p.bundleName())
	}
	return text
}

func (p *upstreamPackage) bundleName() string {
	if !strings.Contains(p.from.File, ".t") || strings.HasSuffix(p.from.File, ".tar.bz2") {
		return "bundled-" + p.name + "-" + p.from.Version + ".tar.gz"
	}
	return "bundled-" + p.from.File
}

func urlPath(raw string) string {
	if u, err := url.Parse(raw); err == nil {
		return u.EscapedPath()
	}
	return ""
}

// releases returns the page that most likely lists the releases of what a URL is of.
func releases(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return ""
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	if u.Host == "github.com" && len(parts) > 2 {
		return "https://github.com/" + parts[0] + "/" + parts[1] + "/releases"
	}
	u.RawQuery, u.Fragment = "", ""
	u.Path, u.RawPath = path.Dir(u.Path), ""
	return strings.TrimSuffix(u.String(), "/") + "/"
}

// versioned replaces the version in a text by the macro.
func (p *upstreamPackage) versioned(text string) string {
	return strings.ReplaceAll(survey.Line(text), p.from.Version, "%{version}")
}

// source returns the value of Source0.
func (p *upstreamPackage) source() string {
	if p.from.URL != "" && path.Base(urlPath(p.from.URL)) == p.from.File {
		return p.versioned(p.from.URL)
	}
	return p.versioned(p.from.File)
}

// isBundled reports whether there is an archive of modules beside the sources.
func (p *upstreamPackage) isBundled() bool { return p.from.Modules && p.from.URL != "" }

// summary returns what the package is, in a line.
func (p *upstreamPackage) summary() string {
	if p.from.Summary == "" {
		p.unsure = append(p.unsure, "what it is, is not known: write the Summary")
	}
	return cmp.Or(p.from.Summary, p.name)
}
