// project: Twoliter.toml, which names the SDK and the external kits of a tree, and
// Twoliter.override, which says where else they are on this machine.

package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// ProjectSchema is the newest supported schema-version of Twoliter.toml and of Twoliter.lock. The
// two count alike, but not together: programs of today write locks of schema 2 for projects of
// schema 1.
const ProjectSchema = 2

// Project is Twoliter.toml.
type Project struct {
	Schema         int               // 1 or 2
	Vendor         string            // project-vendor, who makes the OS; only in schema 2
	ReleaseVersion string            // of the kits and images that the tree makes
	SDK            *Image            // nil if the kits determine it
	Vendors        map[string]Vendor // by name
	Kits           []Image           // external kits, as written
}

// Vendor is [vendor.NAME].
type Vendor struct {
	// Registry is the host and path of the vendor's images, or a location that kit.ParsePlace reads.
	Registry string
	Line     int
}

// Image names an SDK or a kit: an image whose tag is "v" and the version.
type Image struct {
	Name    string
	Version string
	Vendor  string
	Line    int // of the entry
}

// String returns NAME VERSION of vendor VENDOR.
func (i Image) String() string {
	return fmt.Sprintf("%s %s of vendor %s", i.Name, i.Version, i.Vendor)
}

// SameImage reports whether two entries name the same image, wherever they are written.
func (i Image) SameImage(j Image) bool {
	return i.Name == j.Name && i.Version == j.Version && i.Vendor == j.Vendor
}

var (
	identifierRule   = rule(`[A-Za-z0-9_-]{1,128}`)
	imageVersionRule = rule(`(0|[1-9][0-9]{0,18})(\.(0|[1-9][0-9]{0,18})){2}` +
		`(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?`)
)

const identifierHint = "use A-Z, a-z, 0-9, '_' and '-'"

// ParseProject reads Twoliter.toml.
func ParseProject(file string, data []byte, rules Rules) (*Project, Problems) {
	p := &Project{Vendors: map[string]Vendor{}}
	doc, root := open(file, data, rules)
	if root == nil {
		return p, doc.problems
	}
	if p.Schema = root.schema(); p.Schema == 0 { // the meaning of another schema is unknown
		return p, doc.problems.Sorted()
	}
	if p.Schema >= 2 {
		p.Vendor = root.projectVendor("add project-vendor = \"NAME\", the maker of the OS")
	}
	version, ok := root.str("release-version")
	switch {
	case !root.has("release-version"):
		root.fault("", "add release-version = \"0.1.0\"", "\"release-version\" is missing")
	case ok && !ValidVersion(version):
		root.fault("release-version", "write three numbers, as in \"1.20.3\"",
			"%s cannot be the version of kits and images", quote(version))
	default:
		p.ReleaseVersion = version
	}
	p.readVendors(root.sub("vendor"))
	if t := root.sub("sdk"); t != nil {
		if sdk, ok := t.image("the SDK"); ok {
			p.SDK = &sdk
		}
		t.finish()
	}
	for _, t := range root.tables("kit") {
		if kit, ok := t.image("the kit"); ok {
			p.Kits = append(p.Kits, kit)
		}
		t.finish()
	}
	root.finish()
	p.checkVendors(doc)
	p.checkTwice(doc)
	return p, doc.problems.Sorted()
}

// schema reads schema-version. It returns 0 if that is missing or not supported.
func (t *table) schema() int {
	const key = "schema-version"
	version, ok := value[int64](t, key, "a whole number")
	switch {
	case !t.has(key):
		t.fault("", fmt.Sprintf("add %s = %d", key, ProjectSchema), "%q is missing", key)
	case ok && (version < 1 || version > ProjectSchema):
		t.fault(key, "use a buildsys that supports it, or write the file for a supported schema",
			"%q is %d, but this buildsys supports only 1 to %d", key, version, ProjectSchema)
	case ok:
		return int(version)
	}
	return 0
}

// projectVendor reads project-vendor, which schema 2 requires. It is a name for people, and images
// have it in os-release.
func (t *table) projectVendor(hint string) string {
	const key = "project-vendor"
	name, ok := t.str(key)
	switch {
	case !t.has(key):
		t.fault("", hint, "%q is missing", key)
	case ok && (strings.TrimSpace(name) == "" || len(name) > 256 ||
		strings.ContainsAny(name, "\"'`\\$") ||
		strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })):
		t.fault(key, "write a name on one line, without quotes, '\\' and '$'",
			"%s cannot be the name of a vendor in os-release", quote(name))
	case ok:
		return name
	}
	return ""
}

func (p *Project) readVendors(all *table) {
	if all == nil {
		return
	}
	for name := range all.vals {
		t := all.sub(name)
		if t == nil {
			continue
		}
		if !matches(identifierRule, name) {
			all.fault(name, identifierHint, "%s cannot be the name of a vendor", quote(name))
		}
		registry, _ := t.str("registry")
		if !t.has("registry") {
			t.fault("", "write registry = \"HOST/PATH\"", "\"registry\" is missing%s", t.in())
		} else if msg := registryProblem(registry); msg != "" {
			t.fault("registry", "", "registry %s %s", quote(registry), msg)
		}
		t.finish()
		p.Vendors[name] = Vendor{Registry: registry, Line: all.line(name)}
	}
}

// registryProblem returns why registry cannot be a location of images, or "". Only the packages
// that use it know its meaning.
func registryProblem(registry string) string {
	switch {
	case registry == "":
		return "is empty"
	case len(registry) > 1024:
		return "is too long"
	case strings.ContainsFunc(registry, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return "has spaces or control characters"
	}
	return ""
}

// image reads an entry. what names it in messages.
func (t *table) image(what string) (Image, bool) {
	i := Image{Line: t.line()}
	good := true
	for _, part := range []struct {
		key  string
		to   *string
		ok   func(string) bool
		hint string
	}{
		{"name", &i.Name, func(s string) bool { return matches(identifierRule, s) }, identifierHint},
		{"version", &i.Version, ValidImageVersion, "write three numbers, as in \"1.20.3\""},
		{"vendor", &i.Vendor, func(s string) bool { return matches(identifierRule, s) }, identifierHint},
	} {
		v, ok := t.str(part.key)
		if ok && !part.ok(v) {
			t.fault(part.key, part.hint, "%s cannot be the %s of %s", quote(v), part.key, what)
			ok = false
		}
		if !t.has(part.key) {
			t.fault("", "", "%q is missing%s", part.key, t.in())
		}
		*part.to, good = v, good && ok
	}
	return i, good
}

// ValidImageVersion reports whether s is a semantic version (semver.org), as kits and SDKs have.
func ValidImageVersion(s string) bool { return len(s) <= 128 && matches(imageVersionRule, s) }

// ValidIdentifier reports whether s can be the name of a vendor, an SDK or an external kit.
func ValidIdentifier(s string) bool { return matches(identifierRule, s) }

// checkVendors reports each SDK or kit whose vendor has no [vendor] table.
func (p *Project) checkVendors(doc *document) {
	images := slices.Clone(p.Kits)
	if p.SDK != nil {
		images = append(images, *p.SDK)
	}
	for _, i := range images {
		if _, ok := p.Vendors[i.Vendor]; ok {
			continue
		}
		hint := fmt.Sprintf("add [vendor.%s] with registry = \"HOST/PATH\"", i.Vendor)
		if near := Nearest(i.Vendor, slices.Collect(maps.Keys(p.Vendors))); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		doc.problems.add(doc.file, i.Line, hint,
			"%s %s comes from vendor %s, but there is no [vendor.%s]", i.Name, i.Version,
			quote(i.Vendor), i.Vendor)
	}
}

func (p *Project) checkTwice(doc *document) {
	for n, kit := range p.Kits {
		for _, earlier := range p.Kits[:n] {
			if kit.Name == earlier.Name && kit.Vendor == earlier.Vendor {
				doc.problems.add(doc.file, kit.Line, "keep one of them",
					"kit %s of vendor %s is already given on line %d", kit.Name, kit.Vendor, earlier.Line)
			}
		}
	}
}

// Override replaces where Twoliter.toml says that an image is. Empty fields change nothing.
type Override struct {
	Name     string // of the repository
	Registry string
}

// ParseOverride reads Twoliter.override: tables by vendor and by name of the SDK or kit.
func ParseOverride(file string, data []byte) (map[string]map[string]Override, Problems) {
	out := map[string]map[string]Override{}
	doc, root := open(file, data, Rules{})
	if root == nil {
		return out, doc.problems
	}
	for vendor := range root.vals {
		images := root.sub(vendor)
		if images == nil {
			continue
		}
		out[vendor] = map[string]Override{}
		for name := range images.vals {
			t := images.sub(name)
			if t == nil {
				continue
			}
			var o Override
			o.Name, _ = t.str("name")
			o.Registry, _ = t.str("registry")
			if msg := registryProblem(o.Registry); t.has("registry") && msg != "" {
				t.fault("registry", "", "registry %s %s", quote(o.Registry), msg)
			}
			t.finish()
			out[vendor][name] = o
		}
	}
	return out, doc.problems.Sorted()
}
