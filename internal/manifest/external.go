// external: the names an external file and what is bundled from it get, on disk and in the caches.

package manifest

import (
	"net/url"
	"slices"
	"strings"
)

// Name returns the file name of e: its path key, or else the last segment of its URL, as written
// there (query and fragment removed, percent escapes kept, so that a lookaside cache filled by
// other tools is found). It is empty when the URL has no such segment; the manifest check refuses
// that.
func (e ExternalFile) Name() string {
	if e.Path != "" {
		return e.Path
	}
	u, err := url.Parse(e.URL)
	if err != nil {
		return ""
	}
	p := u.EscapedPath()
	return p[strings.LastIndexByte(p, '/')+1:]
}

// BundleName returns the name of the archive with the vendored modules of e: its
// bundle-output-path, or else bundled-NAME. It is empty when nothing is bundled.
func (e ExternalFile) BundleName() string {
	switch {
	case !e.BundleGo:
		return ""
	case e.BundleOutput != "":
		return e.BundleOutput
	}
	return "bundled-" + e.Name()
}

// again says whether e is the file of an earlier entry, given once more to bundle the modules of
// another directory in it.
func (e ExternalFile) again(earlier ExternalFile) bool {
	return e.URL == earlier.URL && e.SHA512 == earlier.SHA512 && e.BundleGo && earlier.BundleGo &&
		e.BundleName() != earlier.BundleName()
}

// Names returns every file that e adds to a build: its own, and what is bundled from it.
func (e ExternalFile) Names() []string {
	if e.BundleGo {
		return []string{e.Name(), e.BundleName()}
	}
	return []string{e.Name()}
}

// sharedName is the name of an archive of modules that two external files would both want for one
// of their files.
func sharedName(a, b ExternalFile) string {
	if name := a.BundleName(); name != "" && slices.Contains(b.Names(), name) {
		return name
	}
	if name := b.BundleName(); name != "" && name == a.Name() {
		return name
	}
	return ""
}

// sourceSuffixes are the archives that modules can be bundled from, bundleSuffixes those they can
// be bundled into.
var (
	bundleSuffixes = []string{".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.zst"}
	sourceSuffixes = []string{".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.zst", ".tar.bz2", ".zip"}
)

// bundle reads what is to be bundled from an archive. f has its name already.
func (t *table) bundle(f *ExternalFile) {
	kinds, _ := t.strings("bundle-modules", bundleProblem)
	f.BundleGo = slices.Contains(kinds, "go")
	f.BundleRoot, _ = t.str("bundle-root-path")
	f.BundleOutput, _ = t.str("bundle-output-path")
	if !t.has("bundle-modules") {
		for _, key := range []string{"bundle-root-path", "bundle-output-path"} {
			if t.has(key) {
				t.fault(key, "add bundle-modules = [\"go\"]", "%q means nothing without \"bundle-modules\"",
					key)
			}
		}
		return
	}
	if t.has("bundle-root-path") && f.BundleRoot != "." &&
		slices.ContainsFunc(strings.Split(f.BundleRoot, "/"), notPart) {
		t.fault("bundle-root-path",
			"name a directory inside the archive, without .. and without a slash at its end",
			"bundle-root-path %s cannot be the place of a Go module", quote(f.BundleRoot))
	}
	name, output := f.Name(), f.BundleOutput
	switch {
	case !f.BundleGo || name == "":
	case !hasSuffix(name, sourceSuffixes):
		t.fault("bundle-modules",
			"it may end in "+orList(sourceSuffixes)+"; give it such a name with \"path\"",
			"no modules can be bundled from %s: its name is not that of an archive", quote(name))
	case t.has("bundle-output-path") && (!matches(fileRule, output) ||
		!hasSuffix(output, bundleSuffixes)):
		t.fault("bundle-output-path", "use one file name that ends in "+orList(bundleSuffixes),
			"bundle-output-path %s cannot be the name of an archive of modules", quote(output))
	case output == "" && !hasSuffix(name, bundleSuffixes):
		t.fault("bundle-modules",
			"name the archive of modules with \"bundle-output-path\", as in \"bundled.tar.gz\"",
			"modules cannot be bundled into an archive like %s", quote(name))
	}
}

func notPart(s string) bool { return !matches(partRule, s) }

func hasSuffix(name string, suffixes []string) bool {
	return slices.ContainsFunc(suffixes, func(s string) bool {
		return strings.HasSuffix(name, s) &&
			len(name) > len(s)
	})
}

func bundleProblem(kind string) (msg, hint string) {
	if kind == "go" {
		return "", ""
	}
	return quote(kind) + " are no modules that can be bundled", "it may be \"go\""
}
