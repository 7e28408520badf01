// rules: how strictly manifests are judged, and which keys the program knew that a tree was written
// for.

package manifest

// Generation is the program that a tree was written for. Each knew other keys; buildsys knows them
// all.
type Generation int

// The generations, the oldest first but for Native.
const (
	Native Generation = iota // buildsys: every key of every generation
	// tools/buildsys in the tree, with grub-features (Bottlerocket up to 1.10)
	InTree
	// tools/buildsys in the tree, with image-features (Bottlerocket 1.11 to 1.14)
	InTreeFeatures
	// Twoliter.toml, packages of all of the OS in the tree (Bottlerocket 1.15 to 1.20)
	Twoliter
	TwoliterKits // Twoliter.toml with kits (Bottlerocket from 1.21)
)

// String says what the trees of a generation look like, for messages.
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

// Rules say how a manifest is judged. The zero value is for trees written for buildsys: strict,
// with all keys.
type Rules struct {
	Generation Generation
	// Lenient makes warnings of what the ancestor read over: keys it did not know, and values it did
	// not look at.
	Lenient bool
	// WholeTree says that a variant without [build-dependencies] is made of all packages, as in the
	// oldest trees.
	WholeTree bool
}

// tolerate reports what the ancestor read over: a problem, or with lenient rules a warning.
func (t *table) tolerate(key, hint, format string, args ...any) {
	t.fault(key, hint, format, args...)
	t.doc.problems[len(t.doc.problems)-1].Warning = t.doc.rules.Lenient
}

// removed reports a key, or a value of one, that the tree's generation has no more.
func (t *table) removed(since Generation, key, hint string) {
	if g := t.doc.rules.Generation; g >= since && t.has(key) {
		t.fault(key, hint, "%q%s was removed: a tree %v cannot have it", key, t.in(), g)
	}
}
