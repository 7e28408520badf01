// skeleton: a new directory of a tree, in the style of those that the tree has.

package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
	"buildsys/internal/workspace"
)

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// skeleton is a directory of a tree that is about to be made.
type skeleton struct {
	c      config
	parent string // "packages" or "variants"
	name   string
	crate  string // name without what cargo does not allow
	files  []skeletonFile
	notes  []string // what is left to do
}

type skeletonFile struct{ name, text string }

// notInCrates is what names of packages may hold and names of crates may not.
var notInCrates = strings.NewReplacer(".", "_", "+", "_")

func newSkeleton(sys *System, s *settings, parent, name string) (*skeleton, error) {
	c, err := s.resolve(sys)
	if err != nil {
		return nil, err
	}
	if !manifest.ValidName(name) {
		return nil, errkind.Usagef("%q cannot be a name: use a-z, 0-9, '.', '_', '+' and '-', and begin with a letter or digit", name)
	}
	if platform, rest, _ := strings.Cut(name, "-"); parent == "variants" && (platform == "" || strings.HasPrefix(rest+"-", "-")) {
		return nil, errkind.Usagef("%q is not a variant's name: platform-runtime, perhaps followed by -version and -flavor", name)
	}
	if dir := filepath.Join(c.root, parent, name); exists(dir) {
		return nil, errkind.Usagef("%s exists", dir)
	}
	return &skeleton{c: c, parent: parent, name: name, crate: notInCrates.Replace(name)}, nil
}

func (n *skeleton) add(name, format string, args ...any) {
	n.files = append(n.files, skeletonFile{name, fmt.Sprintf(format, args...)})
}

// crateText begins a manifest with what cargo reads, and adds the files of a crate where the others have them.
func (n *skeleton) crateText() string {
	kind := strings.TrimSuffix(n.parent, "s")
	script, shared, own := n.neighbours()
	var b strings.Builder
	fmt.Fprintf(&b, "[package]\nname = %q\nversion = \"0.1.0\"\nedition = \"2021\"\npublish = false\n", n.crate)
	if script != "" {
		fmt.Fprintf(&b, "build = %q\n", script)
	}
	switch {
	case shared != "":
		fmt.Fprintf(&b, "\n[lib]\npath = %q\n", shared)
	case script != "" || own != "":
		own = firstOf(own, "lib.rs")
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

// neighbours says what the manifests beside the new one have for cargo: the build script, and the file of the library, which
// either all share or each has for itself.
func (n *skeleton) neighbours() (script, shared, own string) {
	for _, other := range n.others(n.parent) {
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

// others returns the names of the directories below parent that have a manifest, sorted.
func (n *skeleton) others(parent string) []string {
	return manifestsBelow(n.c.root, parent)
}

func manifestsBelow(root, parent string) []string {
	files, err := filepath.Glob(filepath.Join(root, parent, "*", "Cargo.toml"))
	if err != nil { // only for a pattern that is none
		return nil
	}
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = filepath.Base(filepath.Dir(f))
	}
	return names
}

// read reads the manifest of a neighbour or of a package.
func (n *skeleton) read(parent, name string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(n.c.root, parent, name, "Cargo.toml"))
	if err != nil {
		what := strings.TrimSuffix(parent, "s")
		hint := manifest.NameHint(name, n.others(parent))
		return nil, errkind.Usagef("there is no %s %q%s", what, name, prefixed("; ", hint))
	}
	return data, nil
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

// cargoFiles are the files that a neighbour has for cargo. What is wrong in its manifest is for others to tell.
func (n *skeleton) cargoFiles(name string) []string {
	data, err := n.read(n.parent, name)
	if err != nil {
		return nil
	}
	p, _ := manifest.ParsePackage("", data, manifest.Rules{Lenient: true}) // reads of a variant what all crates have
	return p.CargoFiles
}

func (n *skeleton) addPackage() {
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

# BuildRequires: %%{_cross_os}OTHER-devel

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

// addVariant writes a variant with the packages in its image.
func (n *skeleton) addVariant(packages []string) error {
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
		fmt.Fprintf(&needs, "%s = { path = %q }\n", firstOf(p.Crate, notInCrates.Replace(name)), "../../packages/"+name)
	}
	text := n.crateText()
	n.add("Cargo.toml", "%s\n[package.metadata.build-variant]\nincluded-packages = [\n%s]\n\n[build-dependencies]\n%s", text, &included, &needs)
	n.variantNotes()
	return nil
}

// crateName is the line of a manifest with the name of the crate.
var crateName = regexp.MustCompile(`(?m)^name\s*=\s*"[^"]*"`)

// copyVariant writes a variant that differs from another in nothing but its name.
func (n *skeleton) copyVariant(from string) error {
	if from == "" {
		return errkind.Usagef("name the packages of the image, or with --from a variant to copy")
	}
	data, err := n.read("variants", from)
	if err != nil {
		return err
	}
	at := crateName.FindIndex(data)
	if at == nil {
		return errkind.Usagef("variants/%s/Cargo.toml names no crate", from)
	}
	n.add("Cargo.toml", "%s", slices.Concat(data[:at[0]], fmt.Appendf(nil, "name = %q", n.crate), data[at[1]:]))
	for _, name := range append(n.cargoFiles(from), workspace.TemplateName) {
		if text, err := os.ReadFile(filepath.Join(n.c.root, "variants", from, name)); err == nil && filepath.IsLocal(name) {
			n.add(name, "%s", text)
		}
	}
	n.variantNotes()
	return nil
}

func (n *skeleton) variantNotes() {
	workspaceFile := filepath.Join(n.c.root, "variants", "Cargo.toml")
	if data, err := os.ReadFile(workspaceFile); err == nil && bytes.Contains(data, []byte("[workspace]")) {
		n.notes = append(n.notes, fmt.Sprintf("add %q to the members in variants/Cargo.toml, for cargo", n.name))
	}
	n.notes = append(n.notes, "buildsys build-variant "+n.name)
}

// write makes the directory whole or not at all, prints its files, and says what comes next.
func (n *skeleton) write(sys *System) error {
	parent := filepath.Join(n.c.root, n.parent)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return errkind.BadEnvironment(err)
	}
	tmp, err := os.MkdirTemp(parent, ".new-") // names with a dot are no packages
	if err != nil {
		return errkind.BadEnvironment(err)
	}
	defer os.RemoveAll(tmp)
	err = os.Chmod(tmp, 0o755)
	for _, f := range n.files {
		err = errors.Join(err, os.WriteFile(filepath.Join(tmp, f.name), []byte(f.text), 0o644))
	}
	dir := filepath.Join(parent, n.name)
	if err == nil {
		err = os.Rename(tmp, dir)
	}
	if err != nil {
		return errkind.BadEnvironment(err)
	}
	for _, f := range n.files {
		fmt.Fprintln(sys.Stdout, filepath.Join(dir, f.name))
	}
	fmt.Fprintf(sys.Stderr, "next: %s\n", strings.Join(n.notes, "; "))
	return nil
}
