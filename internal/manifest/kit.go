// kit: kits/<name>/Cargo.toml.

package manifest

// Kit is one kits/<name>/Cargo.toml: a set of packages that other trees can use.
type Kit struct {
	Name      string // kit-name, or the crate's name
	Crate     string // [package] name
	File      string // the manifest, slash path relative to the root, for messages
	Vendor    string // the maker's name, not an address
	BuildDeps []Dependency
	NameLine  int // where the name is given
}

// ParseKit reads a kit's manifest. file is its path relative to the root, for messages only. If
// there are problems, the kit holds what could be read.
func ParseKit(file string, data []byte, rules Rules) (*Kit, Problems) {
	k := &Kit{File: file}
	doc, root := open(file, data, rules)
	if root == nil {
		return k, doc.problems
	}
	crate := root.crate("build-kit")
	k.Crate, k.Name, k.NameLine = crate.name, crate.name, crate.nameLine
	switch t := crate.metadata; {
	case t != nil:
		k.readBuildKit(t)
	case root.vals["package"] != nil:
		doc.problems.add(file, 0, "write [package.metadata.build-kit] and in it vendor = \"NAME\"",
			"[package.metadata.build-kit] is missing")
	}
	if k.Name != "" && !(ValidName(k.Name) && ValidIdentifier(k.Name)) {
		doc.problems.add(file, k.NameLine, "use a-z, 0-9, '_' and '-'", "%s cannot be the name of a kit",
			quote(k.Name))
	}
	k.BuildDeps = root.dependencies("build-dependencies")
	for _, d := range root.dependencies("dependencies") {
		doc.problems.add(file, d.Line, "move it to [build-dependencies]",
			"dependency %s in [dependencies] has no effect: a kit holds the packages that its "+
				"[build-dependencies] lead to", quote(d.Key))
	}
	root.finish()
	return k, doc.problems.Sorted()
}

func (k *Kit) readBuildKit(t *table) {
	if name, ok := t.str("kit-name"); ok {
		k.Name, k.NameLine = name, t.line("kit-name")
		if name == "" {
			t.fault("kit-name", nameHint, "\"kit-name\"%s is empty", t.in())
		}
	}
	vendor, ok := t.str("vendor")
	switch {
	case !t.has("vendor"):
		t.fault("", "write vendor = \"NAME\", the maker of the kit, as in [vendor.NAME] of the "+
			"Twoliter.toml of trees that use it", "\"vendor\" is missing%s", t.in())
	case ok && !matches(identifierRule, vendor):
		t.fault("vendor", identifierHint, "%s cannot be the name of a vendor", quote(vendor))
	default:
		k.Vendor = vendor
	}
	t.accept("included-packages") // in Twoliter's own test kit; nothing reads it
	t.finish()
}
