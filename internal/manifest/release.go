// release: Release.toml.

package manifest

// ParseRelease reads Release.toml. It ignores [migrations], which is for release tools.
func ParseRelease(file string, data []byte, rules Rules) (Release, Problems) {
	doc, root := open(file, data, rules)
	if root == nil {
		return Release{}, doc.problems
	}
	var r Release
	version, ok := root.str("version")
	switch {
	case ok && ValidVersion(version):
		r.Version = version
	case ok:
		root.fault("version", "write three numbers, as in \"1.20.3\", optionally with a pre-release "+
			"as in \"1.21.0-rc.1\"", "%s cannot be the version of an image", quote(version))
	case !root.has("version"):
		doc.problems.add(file, 0, "add version = \"0.1.0\"", "\"version\" is missing")
	}
	root.sub("migrations")
	root.finish()
	return r, doc.problems.Sorted()
}
