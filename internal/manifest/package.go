// package: packages/<name>/Cargo.toml.

package manifest

import (
	"path"
	"strings"
)

// ParsePackage reads a package's manifest. file is its path relative to the root, for messages
// only. If there are problems, the package holds what could be read, enough to check the rest of
// the tree against it. Warnings do not affect the result.
func ParsePackage(file string, data []byte, rules Rules) (*Package, Problems) {
	p := &Package{File: file}
	doc, root := open(file, data, rules)
	if root == nil {
		return p, doc.problems
	}
	crate := root.crate("build-package")
	p.Crate, p.CargoFiles = crate.name, crate.cargoFiles
	p.Name, p.NameLine = crate.name, crate.nameLine
	if t := crate.metadata; t != nil {
		p.readBuildPackage(t)
	}
	if p.Name != "" && !ValidName(p.Name) {
		doc.problems.add(file, p.NameLine, nameHint, "%s cannot be the name of a package", quote(p.Name))
	}
	p.BuildDeps, p.Deps = root.dependencies("build-dependencies"), root.dependencies("dependencies")
	root.finish()
	return p, doc.problems.Sorted()
}

func (p *Package) readBuildPackage(t *table) {
	if name, ok := t.str("package-name"); ok {
		p.Name, p.NameLine = name, t.line("package-name")
		if name == "" {
			t.fault("package-name", nameHint, "\"package-name\"%s is empty", t.in())
		}
	}
	p.SourceGroups, p.GroupLines = t.strings("source-groups", groupProblem)
	p.ReleasesURL, _ = t.str("releases-url")
	if msg, hint := urlProblem(p.ReleasesURL); p.ReleasesURL != "" && msg != "" {
		t.tolerate("releases-url", hint, "\"releases-url\" %s %s", quote(p.ReleasesURL), msg)
	}
	const conditional = "put the variant parts into sub-packages, and require them with " +
		"(a if b) on the features of an image"
	t.removed(TwoliterKits, "variant-sensitive", conditional)
	t.removed(TwoliterKits, "package-features", conditional)
	p.VariantSensitive = t.variantSensitive()
	p.PackageFeatures, _ = t.strings("package-features", featureProblem)
	p.ExternalFiles = t.externalFiles()
	t.finish()
}

// variantSensitive reads a key that is a boolean or names a part of a variant's name.
func (t *table) variantSensitive() string {
	const key = "variant-sensitive"
	if b, ok := t.vals[key].(bool); ok {
		t.accept(key)
		if b {
			return "variant"
		}
		return ""
	}
	words := []string{"platform", "runtime", "family", "flavor"}
	if _, ok := t.vals[key].(string); !ok && t.has(key) {
		t.accept(key)
		t.fault(key, "", "%q%s must be true, false or one of %s, not %s", key, t.in(), orList(words),
			typeName(t.vals[key]))
		return ""
	}
	return t.choice(key, "", words...)
}

// externalFiles reads [[…external-files]] and checks the entries against each other.
func (t *table) externalFiles() []ExternalFile {
	var files []ExternalFile
	entries := t.tables("external-files")
	if len(entries) > maxExternal {
		t.fault("external-files", "", "there are more than %d external files", maxExternal)
		return nil
	}
	names := make([]namedFile, len(entries)) // for each is compared with each
	for i, entry := range entries {
		f := entry.externalFile()
		names[i] = namedFile{f.Name(), f.BundleName()}
		for j, earlier := range files {
			switch {
			case f.URL != "" && f.URL == earlier.URL && f.SHA512 != earlier.SHA512:
				entry.fault("url", "", "%s has a different sha512 on line %d", quote(f.URL), earlier.Line)
			case names[i].own != "" && names[i].own == names[j].own && !f.again(earlier):
				entry.fault("url", "give one of them another name with \"path\"",
					"external file %s has the same name as the one on line %d", quote(f.Name()),
					earlier.Line)
			}
			if name := names[i].shared(names[j]); name != "" {
				entry.fault("bundle-modules", "set \"bundle-output-path\"",
					"the modules of the archive are bundled into %s, which the external file on line %d "+
						"has as well", quote(name), earlier.Line)
			}
		}
		files = append(files, f)
	}
	return files
}

func (t *table) externalFile() ExternalFile {
	f := ExternalFile{Line: t.line("url"), ForceUpstream: t.boolean("force-upstream")}
	var named, hashed bool
	f.URL, named = t.str("url")
	f.SHA512, hashed = t.str("sha512")
	f.Path, _ = t.str("path")
	if !t.has("url") {
		t.fault("", "", "\"url\" is missing%s", t.in())
	}
	if !t.has("sha512") {
		t.fault("", "add the output of sha512sum", "\"sha512\" is missing%s", t.in())
	}
	if msg, hint := hashProblem(f.SHA512); hashed && msg != "" {
		t.fault("sha512", hint, "sha512 %s %s", quote(f.SHA512), msg)
	}
	if named {
		t.checkSource(f)
	}
	if t.has("path") && !matches(fileRule, f.Path) {
		t.fault("path", fileHint, "path %s cannot be the name of an external file", quote(f.Path))
		f.Path = ""
	}
	t.bundle(&f)
	t.finish()
	return f
}

// checkSource checks the URL and the file name.
func (t *table) checkSource(f ExternalFile) {
	if local, ok := strings.CutPrefix(f.URL, "file://"); ok && t.doc.rules.Lenient &&
		matches(fileRule, path.Base(local)) {
		t.tolerate("url", "", "url %s is a file of one machine: only a lookaside cache can provide it",
			quote(f.URL))
		return
	}
	if msg, hint := urlProblem(f.URL); msg != "" {
		t.fault("url", hint, "url %s %s", quote(f.URL), msg)
		return
	}
	if name := f.Name(); !t.has("path") && !matches(fileRule, name) {
		t.fault("url", "name the file with \"path\"",
			"url %s ends in %s, which cannot be the name of a file", quote(f.URL), quote(name))
	}
}
