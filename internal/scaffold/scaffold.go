// Package scaffold writes new trees, and new directories of a tree in the style of the existing
// ones: the manifest, spec and files of a package, or the manifest of a variant. It changes no
// existing file.
// Package cli calls it for the commands below "new", and for the names that a shell completes.
package scaffold

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/lint"
	"buildsys/internal/manifest"
	"buildsys/internal/workspace"
)

// Skeleton is a directory of a tree that does not exist yet.
type Skeleton struct {
	root   string // of the tree
	parent string // "packages" or "variants"
	name   string
	crate  string // the name without the characters that cargo forbids
	files  []file
	notes  []string // what is left to do for the user
}

type file struct{ name, text string }

// notInCrates replaces what names of packages may contain and names of crates may not.
var notInCrates = strings.NewReplacer(".", "_", "+", "_")

// Package returns a package for the tree at root that builds as it is.
func Package(root, name string) (*Skeleton, error) {
	n, err := newSkeleton(root, "packages", name)
	if err == nil {
		n.addPackage()
	}
	return n, err
}

// Variant returns a copy of the variant from with another name, and with the named packages in its
// image beside those of the other. Without from it is a copy of the only variant of the tree; where
// there is none, it has the named packages.
func Variant(root, name string, packages []string, from string) (*Skeleton, error) {
	platform, rest, _ := strings.Cut(name, "-")
	if manifest.ValidName(name) && (platform == "" || strings.HasPrefix(rest+"-", "-")) {
		return nil, errkind.Usagef("%q is not a variant's name: platform-runtime, "+
			"optionally followed by -version and -flavor", name)
	}
	n, err := newSkeleton(root, "variants", name)
	if err != nil {
		return nil, err
	}
	others := ManifestsBelow(root, "variants")
	if from == "" && len(others) == 1 {
		from = others[0]
	}
	if from == "" && len(packages) > 0 && len(others) == 0 {
		return n, n.addVariant(packages)
	}
	return n, n.copyVariant(from, packages)
}

func newSkeleton(root, parent, name string) (*Skeleton, error) {
	if !manifest.ValidName(name) {
		return nil, errkind.Usagef("%q cannot be a name: use a-z, 0-9, '.', '_', '+' and '-', "+
			"and begin with a letter or digit", name)
	}
	dir := filepath.Join(root, parent, name)
	if _, err := os.Lstat(dir); err == nil {
		return nil, errkind.Usagef("%s already exists", dir)
	}
	n := &Skeleton{root: root, parent: parent, name: name, crate: notInCrates.Replace(name)}
	return n, nil
}

func (n *Skeleton) add(name, format string, args ...any) {
	n.files = append(n.files, file{name, fmt.Sprintf(format, args...)})
}

// crateText returns the beginning of a manifest, which cargo reads. It adds the files of a crate to
// the skeleton if the neighbours have them.
func (n *Skeleton) crateText() string {
	kind := strings.TrimSuffix(n.parent, "s")
	script, shared, own := n.neighbours()
	var b strings.Builder
	fmt.Fprintf(&b, "[package]\nname = %q\nversion = \"0.1.0\"\nedition = \"2021\"\npublish = false\n",
		n.crate)
	if script != "" {
		fmt.Fprintf(&b, "build = %q\n", script)
	}
	switch {
	case shared != "":
		fmt.Fprintf(&b, "\n[lib]\npath = %q\n", shared)
	case script != "" || own != "":
		own = cmp.Or(own, "lib.rs")
		fmt.Fprintf(&b, "\n[lib]\npath = %q\n", own)
		n.add(own, "// not used\n")
	}
	if script == "build.rs" {
		n.add(script, buildScript, kind)
	}
	return b.String()
}

const buildScript = `use std::process::{exit, Command};

fn main() -> Result<(), std::io::Error> {
    let ret = Command::new("buildsys").arg("build-%s").status()?;
    if !ret.success() {
        exit(1);
    }
    Ok(())
}
`

// neighbours returns what the neighbouring manifests name for cargo: the build script, and the file
// of the library, which either all share or each has for itself.
func (n *Skeleton) neighbours() (script, shared, own string) {
	for _, other := range ManifestsBelow(n.root, n.parent) {
		for _, file := range n.cargoFiles(other) {
			switch {
			case path.Base(file) == "build.rs":
				script = file
			case strings.HasPrefix(file, "../"):
				shared = file
			default:
				own = file
			}
		}
	}
	return script, shared, own
}

// ManifestsBelow returns the names of the directories below parent that have a manifest, sorted.
func ManifestsBelow(root, parent string) []string {
	files, err := confined.Glob(os.DirFS(filepath.Join(root, parent)), "*/Cargo.toml")
	if err != nil { // only for a malformed pattern
		return nil
	}
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = path.Dir(f)
	}
	return names
}

// maxFile is far above the size of a manifest, a build script or a template.
const maxFile = 1 << 20

// file reads a file of the tree.
func (n *Skeleton) file(parts ...string) ([]byte, error) {
	return confined.Path{Root: n.root, Name: filepath.Join(parts...)}.Read(maxFile)
}

// read reads the manifest of a package or a variant.
func (n *Skeleton) read(parent, name string) ([]byte, error) {
	data, err := n.file(parent, name, "Cargo.toml")
	if err != nil {
		return nil, errkind.Usagef("no %s %q; %s", strings.TrimSuffix(parent, "s"), name,
			manifest.NameHint(name, ManifestsBelow(n.root, parent)))
	}
	return data, nil
}

// cargoFiles returns the files that a neighbour has for cargo. Other commands report errors in its
// manifest.
func (n *Skeleton) cargoFiles(name string) []string {
	data, err := n.read(n.parent, name)
	if err != nil {
		return nil
	}
	// ParsePackage also reads what manifests of variants have in common with those of packages.
	p, _ := manifest.ParsePackage("", data, manifest.Rules{Lenient: true})
	return p.CargoFiles
}

func (n *Skeleton) addPackage() {
	text := n.crateText() + "\n[package.metadata.build-package]\n"
	if n.crate != n.name {
		text += fmt.Sprintf("package-name = %q\n", n.name)
	}
	n.add("Cargo.toml", "%s%s", text, `
# Sources are fetched by their sha512, and named in the spec:
# [[package.metadata.build-package.external-files]]
# url = "https://example.com/`+n.name+`-0.1.0.tar.gz"
# sha512 = "…"

# RPM BuildRequires: NAME = { path = "../NAME" }
[build-dependencies]

# RPM Requires
[dependencies]
`)
	n.add(n.name+".spec", "%s", strings.ReplaceAll(skeletonSpec, "NAME", n.name))
	n.add(n.name+".conf", "# Settings of %s\n", n.name)
	n.notes = append(n.notes, "buildsys build-package "+n.name)
}

const skeletonSpec = `Name: %{_cross_os}NAME
Version: 0.1.0
Release: 1%{?dist}
Summary: What NAME is, in a line
License: Apache-2.0
Source0: NAME.conf

%dnl BuildRequires: %{_cross_os}OTHER-devel

%description
%{summary}.

%prep

%build

%install
install -d %{buildroot}%{_cross_datadir}/NAME
install -p -m 0644 %{S:0} %{buildroot}%{_cross_datadir}/NAME/

%files
%dir %{_cross_datadir}/NAME
%{_cross_datadir}/NAME/NAME.conf
`

// addVariant adds the manifest of a variant with the packages in its image.
func (n *Skeleton) addVariant(packages []string) error {
	packages = slices.Clone(packages)
	slices.Sort(packages)
	packages = slices.Compact(packages)
	var included, needs bytes.Buffer
	for _, name := range packages {
		data, err := n.read("packages", name)
		if err != nil {
			return err
		}
		p, _ := manifest.ParsePackage("", data, manifest.Rules{Lenient: true})
		fmt.Fprintf(&included, "    %q,\n", name)
		fmt.Fprintf(&needs, "%s = { path = %q }\n", cmp.Or(p.Crate, notInCrates.Replace(name)),
			"../../packages/"+name)
	}
	text := n.crateText()
	n.add("Cargo.toml", "%s\n[package.metadata.build-variant]\nincluded-packages = "+
		"[\n%s]\n\n[build-dependencies]\n%s", text, &included, &needs)
	n.variantNotes()
	return nil
}

// crateName matches the line of a manifest with the name of the crate.
var crateName = regexp.MustCompile(`(?m)^name\s*=\s*"[^"]*"`)

// copyVariant adds the files of a copy of a variant with another name and more packages.
func (n *Skeleton) copyVariant(from string, packages []string) error {
	if from == "" {
		return errkind.Usagef("name a variant to copy with --from; %s",
			manifest.NameHint("", ManifestsBelow(n.root, "variants")))
	}
	data, err := n.read("variants", from)
	if err != nil {
		return err
	}
	at := crateName.FindIndex(data)
	if at == nil {
		return errkind.Usagef("variants/%s/Cargo.toml has no name of a crate to replace", from)
	}
	text := string(slices.Concat(data[:at[0]], fmt.Appendf(nil, "name = %q", n.crate), data[at[1]:]))
	for _, name := range packages {
		if text, err = n.include(text, name); err != nil {
			return err
		}
	}
	n.add("Cargo.toml", "%s", text)
	for _, name := range append(n.cargoFiles(from), workspace.TemplateName) {
		if text, err := n.file("variants", from, name); err == nil && filepath.IsLocal(name) {
			n.add(name, "%s", text)
		}
	}
	n.variantNotes()
	return nil
}

// includedList matches the beginning of the list of an image's packages.
var includedList = regexp.MustCompile(`(?m)^included-packages\s*=\s*\[[ \t]*(\r?\n)?`)

// include returns the manifest of a variant with one more package. One that is there already is
// left as it is.
func (n *Skeleton) include(text, name string) (string, error) {
	data, err := n.read("packages", name)
	if err != nil {
		return "", err
	}
	p, _ := manifest.ParsePackage("", data, manifest.Rules{Lenient: true})
	crate := cmp.Or(p.Crate, notInCrates.Replace(name))
	// Other commands report what is wrong with it.
	before, _ := manifest.ParseVariant("", []byte(text), manifest.Rules{Lenient: true})
	if !slices.Contains(before.IncludedPackages, name) {
		at := includedList.FindStringSubmatchIndex(text)
		if at == nil {
			return "", errkind.Usagef("the manifest to copy has no included-packages to add %q to", name)
		}
		line := fmt.Sprintf("%q, ", name)
		if at[2] >= 0 {
			line = fmt.Sprintf("    %q,\n", name)
		}
		text = text[:at[1]] + line + text[at[1]:]
	}
	needed := func(d manifest.Dependency) bool { return path.Base(d.Path) == name }
	if slices.ContainsFunc(before.BuildDeps, needed) {
		return text, nil
	}
	return lint.Fix{Table: "build-dependencies",
		Line: fmt.Sprintf("%s = { path = %q }", crate, "../../packages/"+name)}.Apply(text)
}

func (n *Skeleton) variantNotes() {
	if data, err := n.file("variants", "Cargo.toml"); err == nil &&
		bytes.Contains(data, []byte("[workspace]")) {
		n.notes = append(n.notes, fmt.Sprintf("add %q to the members in variants/Cargo.toml, for cargo",
			n.name))
	}
	n.notes = append(n.notes, "buildsys build-variant "+n.name, "buildsys boot "+n.name+
		" (leave with Ctrl-A X)")
}

// Write creates the whole directory or nothing. It returns its files and what to do next.
func (n *Skeleton) Write() (files []string, next string, err error) {
	parent, err := confined.Path{Root: n.root, Name: n.parent}.MakeDir()
	if err != nil {
		return nil, "", errkind.BadEnvironment(err)
	}
	defer parent.Close()
	tmp := ".new-" + rand.Text() // names that start with a dot are no packages
	if err := parent.Mkdir(tmp, 0o755); err != nil {
		return nil, "", errkind.BadEnvironment(err)
	}
	defer parent.RemoveAll(tmp)
	for _, f := range n.files {
		err = errors.Join(err, parent.WriteFile(path.Join(tmp, f.name), []byte(f.text), 0o644))
	}
	if err == nil {
		err = parent.Rename(tmp, n.name)
	}
	for _, f := range n.files {
		files = append(files, filepath.Join(n.root, n.parent, n.name, f.name))
	}
	return files, strings.Join(n.notes, "; "), errkind.BadEnvironment(err)
}
