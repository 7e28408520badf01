// external: the file names of an external file and of the archive bundled from it.

package manifest

import (
	"net/url"
	"slices"
	"strings"
)

// Name returns the file name of e: its path key, or else the last segment of its URL, without
// query and fragment. Percent escapes stay, so that files in a lookaside cache filled by other
// tools are found. It is empty when the URL has no last segment, which the manifest check refuses.
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

// BundleName returns the name of the archive with the vendored modules of e, of either kind: its
// bundle-output-path, or else bundled-NAME. It is empty when nothing is bundled.
func (e ExternalFile) BundleName() string {
	switch {
	case !e.Bundles():
		return ""
	case e.BundleOutput != "":
		return e.BundleOutput
	}
	return "bundled-" + e.Name()
}

// Bundles reports whether an archive of modules is bundled from e.
func (e ExternalFile) Bundles() bool { return e.BundleGo || e.BundleRust }

// again reports whether e names the file of an earlier entry once more, to bundle the modules of
// another directory in it.
func (e ExternalFile) again(earlier ExternalFile) bool {
	return e.URL == earlier.URL && e.SHA512 == earlier.SHA512 && e.Bundles() && earlier.Bundles() &&
		e.BundleName() != earlier.BundleName()
}

// Names returns the names of all files that e adds to a build: its own, and the archive bundled
// from it.
func (e ExternalFile) Names() []string {
	if e.Bundles() {
		return []string{e.Name(), e.BundleName()}
	}
	return []string{e.Name()}
}

// maxExternal bounds the external files of a package. TeX has the most, some thousand.
const maxExternal = 5000

// namedFile has the names of an entry's files.
type namedFile struct{ own, bundle string }

// shared returns the name of an archive of modules that is also the name of a file of the other
// entry, or "" if there is none.
func (a namedFile) shared(b namedFile) string {
	switch {
	case a.bundle != "" && (a.bundle == b.own || a.bundle == b.bundle):
		return a.bundle
	case b.bundle != "" && b.bundle == a.own:
		return b.bundle
	}
	return ""
}

// bundleSuffixes and sourceSuffixes are the suffixes of archives that modules can be bundled into
// and from.
var (
	bundleSuffixes = []string{".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.zst"}
	sourceSuffixes = []string{".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.zst", ".tar.bz2", ".zip"}
)

// bundle reads the keys on bundled modules into f, whose name is already known.
func (t *table) bundle(f *ExternalFile) {
	kinds, _ := t.strings("bundle-modules", bundleProblem)
	f.BundleGo, f.BundleRust = slices.Contains(kinds, "go"), slices.Contains(kinds, "rust")
	f.BundleRoot, _ = t.str("bundle-root-path")
	f.BundleOutput, _ = t.str("bundle-output-path")
	if !t.has("bundle-modules") {
		for _, key := range []string{"bundle-root-path", "bundle-output-path"} {
			if t.has(key) {
				t.fault(key, "add bundle-modules = [\"go\"] or [\"rust\"]",
					"%q has no effect without \"bundle-modules\"", key)
			}
		}
		return
	}
	if t.has("bundle-root-path") && f.BundleRoot != "." &&
		slices.ContainsFunc(strings.Split(f.BundleRoot, "/"), notPart) {
		t.fault("bundle-root-path",
			"name a directory inside the archive, without \"..\" and without a trailing slash",
			"bundle-root-path %s cannot be the directory of a module", quote(f.BundleRoot))
	}
	name, output := f.Name(), f.BundleOutput
	switch {
	case !f.Bundles() || name == "":
	case f.BundleGo && f.BundleRust:
		t.fault("bundle-modules", "write the entry twice, each with a \"bundle-output-path\" of its own",
			"one archive cannot hold modules of several kinds")
	case !hasSuffix(name, sourceSuffixes):
		t.fault("bundle-modules",
			"use \"path\" to give it a name that ends in "+orList(sourceSuffixes),
			"modules cannot be bundled from %s: its name is not that of an archive", quote(name))
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

// rootRule is partRule with what module proxies put into the directories of archives: "term@v1.2".
var rootRule = rule(`[A-Za-z0-9_][A-Za-z0-9._+@-]{0,127}`)

func notPart(s string) bool { return !matches(rootRule, s) }

func hasSuffix(name string, suffixes []string) bool {
	return slices.ContainsFunc(suffixes, func(s string) bool {
		return strings.HasSuffix(name, s) &&
			len(name) > len(s)
	})
}

func bundleProblem(kind string) (msg, hint string) {
	if kind == "go" || kind == "rust" {
		return "", ""
	}
	return quote(kind) + " modules cannot be bundled", "the kinds are \"go\" and \"rust\""
}
