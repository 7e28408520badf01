// early: Twoliter.toml in its form from before kits.

package manifest

import "regexp"

// EarlyProject is Twoliter.toml from before kits, which names images by where they are.
type EarlyProject struct {
	SDK       EarlyImage // zero if the program's own default is meant
	Toolchain EarlyImage
}

// EarlyImage is [sdk] or [toolchain].
type EarlyImage struct {
	Registry string // host and path; may be empty
	Repo     string
	Tag      string
	// ByArch means that the name of the repository goes on with "-" and an architecture.
	ByArch bool
}

// Ref returns the reference of the image for an architecture, or "" if there is none.
func (i EarlyImage) Ref(arch string) string {
	if i.Repo == "" {
		return ""
	}
	ref := i.Repo
	if i.ByArch {
		ref += "-" + arch
	}
	if i.Registry != "" {
		ref = i.Registry + "/" + ref
	}
	return ref + ":" + i.Tag
}

var (
	// registryRule has a host, perhaps with a port, and a path.
	registryRule = rule(`[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?(/[a-z0-9][a-z0-9._-]*)*`)
	repoRule     = rule(`[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*`)
	tagRule      = rule(`[A-Za-z0-9_][A-Za-z0-9._-]{0,127}`)
)

// ParseEarlyProject reads Twoliter.toml from before kits.
func ParseEarlyProject(file string, data []byte, rules Rules) (*EarlyProject, Problems) {
	p := &EarlyProject{}
	doc, root := open(file, data, rules)
	if root == nil {
		return p, doc.problems
	}
	if root.schema() == 0 {
		return p, doc.problems.Sorted()
	}
	_, _ = root.str("release-version") // Release.toml has the version too
	p.SDK, p.Toolchain = root.earlyImage("sdk"), root.earlyImage("toolchain")
	root.finish()
	return p, doc.problems.Sorted()
}

// earlyImage reads name and version, whose image is for one architecture, or the later repo and
// tag, whose image is for all.
func (t *table) earlyImage(key string) EarlyImage {
	at := t.sub(key)
	if at == nil {
		return EarlyImage{}
	}
	i := EarlyImage{ByArch: !at.has("repo") && !at.has("tag")}
	repo, tag := "repo", "tag"
	if i.ByArch {
		repo, tag = "name", "version"
	}
	good := at.earlyPart("registry", "a registry", registryRule, false, &i.Registry)
	good = at.earlyPart(repo, "an image", repoRule, true, &i.Repo) && good
	good = at.earlyPart(tag, "a tag", tagRule, true, &i.Tag) && good
	at.finish()
	if !good {
		return EarlyImage{}
	}
	return i
}

// earlyPart reads one part of an image's name and reports whether it is good.
func (t *table) earlyPart(key, what string, is *regexp.Regexp, required bool, to *string) bool {
	v, ok := t.str(key)
	switch {
	case !t.has(key) && required:
		t.fault("", "", "%q is missing%s", key, t.in())
		return false
	case ok && !matches(is, v):
		t.fault(key, "", "%s is not the name of %s", quote(v), what)
		return false
	}
	*to = v
	return ok || !t.has(key)
}
