// rules: how strictly manifests are judged, and which keys each generation of trees knew.

package manifest

// Generation is the program, and the form of it, that a tree was written for. Each knew other keys;
// buildsys knows them all.
type Generation int

// The generations, oldest first after Native.
const (
	Native Generation = iota // buildsys: every key of every generation
	// InTree has tools/buildsys in the tree, with grub-features (Bottlerocket up to 1.10).
	InTree
	// InTreeFeatures has tools/buildsys in the tree, with image-features (Bottlerocket 1.11 to
	// 1.14).
	InTreeFeatures
	// Twoliter has Twoliter.toml, and all packages of the OS in the tree (Bottlerocket 1.15 to
	// 1.20).
	Twoliter
	TwoliterKits // Twoliter.toml with kits (Bottlerocket from 1.21)
)

// String describes the trees of a generation, for messages: "a tree " + g.String().
func (g Generation) String() string {
	switch g {
	case InTree:
		return "with a tools/buildsys that has no image-features"
	case InTreeFeatures:
		return "with a tools/buildsys that has image-features"
	case Twoliter:
		return "with a Twoliter.toml"
	case TwoliterKits:
		return "with kits"
	}
	return "for this buildsys"
}

// Rules determine how a manifest is judged. The zero value is for trees written for buildsys:
// strict, with all keys.
type Rules struct {
	Generation Generation
	// Lenient makes warnings of what Bottlerocket and Twoliter ignored: keys they did not know, and
	// values they did not check.
	Lenient bool
	// WholeTree means that a variant without [build-dependencies] is made of all packages, as in
	// the oldest trees.
	WholeTree bool
}

// tolerate reports what Bottlerocket and Twoliter ignored: an error, or a warning if rules are
// lenient.
func (t *table) tolerate(key, hint, format string, args ...any) {
	t.fault(key, hint, format, args...)
	t.doc.problems[len(t.doc.problems)-1].Warning = t.doc.rules.Lenient
}

// removed reports a key, or a value of one, that no longer exists in the tree's generation.
func (t *table) removed(since Generation, key, hint string) {
	if g := t.doc.rules.Generation; g >= since && t.has(key) {
		t.fault(key, hint, "%q%s was removed: a tree %v cannot have it", key, t.in(), g)
	}
}
