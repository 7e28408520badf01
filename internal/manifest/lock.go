// lock: Twoliter.lock, which holds the images that Twoliter.toml was resolved to.

package manifest

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// Lock is Twoliter.lock.
type Lock struct {
	Schema int          // 1 or 2
	Vendor string       // project-vendor, only in schema 2
	SDK    *LockedImage // nil only in a file with problems
	Kits   []LockedImage
}

// LockedImage is an image with the digest of its contents.
type LockedImage struct {
	Image
	Source string // where it was resolved: REGISTRY/NAME:vVERSION
	// Digest is the sha256, in base64, of the image's manifest in canonical JSON. It is empty for
	// an SDK that is in no registry.
	Digest string
}

// LockHeader begins a lock file that buildsys writes.
const LockHeader = "# Written by \"buildsys update\" from Twoliter.toml and what its kits say. " +
	"Commit it; do not edit it.\n"

// ParseLock reads Twoliter.lock.
func ParseLock(file string, data []byte) (*Lock, Problems) {
	l := &Lock{}
	doc, root := open(file, data, Rules{})
	if root == nil {
		return l, doc.problems
	}
	if l.Schema = root.schema(); l.Schema == 0 {
		return l, doc.problems.Sorted()
	}
	if l.Schema >= 2 {
		l.Vendor = root.projectVendor("run \"buildsys update\"")
	} else {
		root.early()
	}
	if t := root.sub("sdk"); t != nil {
		if sdk, ok := t.lockedImage("the SDK", true); ok {
			l.SDK = &sdk
		}
	} else if !root.has("sdk") {
		root.fault("", "run \"buildsys update\"", "[sdk] is missing")
	}
	if emptyList(root.vals["kit"]) { // Twoliter writes kit = [] when there is none
		root.accept("kit")
	} else {
		for _, t := range root.tables("kit") {
			if kit, ok := t.lockedImage("the kit", false); ok {
				l.Kits = append(l.Kits, kit)
			}
		}
	}
	root.finish()
	return l, doc.problems.Sorted()
}

// early reads what locks of Twoliter up to 0.4 have besides images: the version of the project, and
// a digest of the file for Twoliter itself. The images have digests of their own.
func (t *table) early() {
	for _, key := range []string{"release-version", "digest"} {
		_, _ = t.str(key)
	}
}

func (t *table) lockedImage(what string, mayBeOpen bool) (LockedImage, bool) {
	var l LockedImage
	var good, named, hashed bool
	l.Image, good = t.image(what)
	l.Source, named = t.str("source")
	l.Digest, hashed = t.str("digest")
	for _, key := range []string{"source", "digest"} {
		if !t.has(key) {
			t.fault("", "run \"buildsys update\"", "%q is missing%s", key, t.in())
		}
	}
	if sum, err := base64.StdEncoding.Strict().DecodeString(l.Digest); hashed &&
		(err != nil || len(sum) != 32) && !(mayBeOpen && l.Digest == "") {
		t.fault("digest", "run \"buildsys update\"", "digest %s is not a sha256 in base64",
			quote(l.Digest))
		hashed = false
	}
	if msg := registryProblem(l.Source); named && msg != "" {
		t.fault("source", "", "source %s %s", quote(l.Source), msg)
		named = false
	} else if tag := ":v" + l.Version; named && good && !strings.HasSuffix(l.Source, tag) {
		t.fault("source", "run \"buildsys update\"",
			"source %s of %s %s does not end in %s, the tag of version %s", quote(l.Source), what, l.Name,
			quote(tag), l.Version)
		named = false
	}
	t.finish()
	return l, good && named && hashed
}

// Format returns the lock as a file, in the form that Twoliter writes, without what early reads.
func (l *Lock) Format() []byte {
	var b strings.Builder
	b.WriteString(LockHeader)
	fmt.Fprintf(&b, "schema-version = %d\n", max(l.Schema, 1))
	if l.Schema >= 2 {
		fmt.Fprintf(&b, "project-vendor = \"%s\"\n", l.Vendor) // has no character to escape
	}
	if len(l.Kits) == 0 {
		b.WriteString("kit = []\n")
	}
	if l.SDK != nil {
		b.WriteString("\n[sdk]\n" + l.SDK.format())
	}
	for _, k := range l.Kits {
		b.WriteString("\n[[kit]]\n" + k.format())
	}
	return []byte(b.String())
}

// format writes values that were checked when they were read: only the source may need escapes.
func (l LockedImage) format() string {
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(l.Source)
	return fmt.Sprintf("name = %q\nversion = %q\nvendor = %q\nsource = \"%s\"\ndigest = %q\n", l.Name,
		l.Version, l.Vendor, quoted, l.Digest)
}
