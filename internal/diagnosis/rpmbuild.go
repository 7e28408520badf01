// rpmbuild: what goes wrong with specs, sources, patches and %files.

package diagnosis

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
)

var badFile = regexp.MustCompile(
	`error: Bad (?:file|source): \S*/([^/\s:]+): No such file or directory`)

// missingSource finds a source or patch that rpmbuild does not have.
func missingSource(o *output) (finding, bool) {
	m, at := o.first(badFile)
	if m == nil {
		return finding{}, false
	}
	f := finding{at: at, text: m[1] + " is not there, though the spec names it",
		hint: "add it to the package, or take its line out of the spec"}
	if o.tree.Package != "" {
		f.hint = fmt.Sprintf("add packages/%s/%s, or an external file of that name to %s, or take its "+
			"line out of %s", o.tree.Package, m[1], o.tree.manifest(), o.tree.spec())
	}
	return f, true
}

// ours matches what the recipes say when they give up.
var ours = regexp.MustCompile(`^(?:build-rpm|build-variant|repack-variant|rpm2img|img2img|` +
	`rpm2kit|rpm2kmodkit|build-kmod-kit|rpm2migrations|sign-boot|finish-image|bundle-go|bundle-rust|run-go): (.+)$`)

// fromRecipe finds what a recipe says, behind which there is a line of its own if that says more.
func fromRecipe(o *output) (finding, bool) {
	m, at := o.first(ours)
	if m == nil || strings.HasSuffix(m[1], " has errors") {
		return finding{}, false
	}
	text, hint, _ := strings.Cut(m[1], ": add ")
	if hint != "" {
		hint = "add " + hint
	}
	return finding{at: at, text: text, hint: hint}, true
}

var specLine = regexp.MustCompile(`^error: (?:\S*/([^/\s]+\.spec): )?line (\d+): (.+)$`)

// specError finds what rpmbuild cannot parse.
func specError(o *output) (finding, bool) {
	m, at := o.first(specLine)
	if m == nil {
		return finding{}, false
	}
	spec := m[1]
	if o.tree.Package != "" {
		spec = o.tree.spec()
	}
	return finding{at: at, text: fmt.Sprintf("%s:%s: %s", spec, m[2], m[3])}, true
}

var (
	hunks      = regexp.MustCompile(`^(\d+) out of (\d+) hunks? (?:FAILED|ignored)(?: -- saving rejects to file (\S+)\.rej)?`)
	hunkFailed = regexp.MustCompile(`^Hunk #(\d+) FAILED at (\d+)`)
	noFile     = regexp.MustCompile(`^(?:can't find file to patch at input line \d+|No file to patch)`)
	aPatch     = regexp.MustCompile(`(?:SOURCES/|Patch #\d+ \()([^/\s)]+)`)
	patching   = regexp.MustCompile(`^patching file (\S+)`)
)

// patchFails finds a patch that patch(1) could not apply.
func patchFails(o *output) (finding, bool) {
	m, at := o.first(hunks)
	gone, goneAt := o.first(noFile)
	if o.phase != "%prep" || m == nil && gone == nil {
		return finding{}, false
	}
	if gone != nil {
		name := o.patchBefore(goneAt)
		return finding{at: goneAt, text: name + " does not apply: a file that it changes is not there",
			hint: "look at the -p in %prep, and at the paths in the patch"}, true
	}
	name, file := o.patchBefore(at), m[3]
	if file == "" {
		if p := o.before(at, patching); p != nil {
			file = p[1]
		}
	}
	f := finding{at: at, text: name + " does not apply: " + m[1] + " of " + m[2] + " hunks of " + file,
		hint: "make it anew against this version of the source"}
	number, line := "", ""
	if h := o.before(at, hunkFailed); h != nil {
		number, line = h[1], h[2]
	} else if m[2] == "1" {
		number = "1"
	}
	if number == "" || file == "" {
		return f, true
	}
	f.text = fmt.Sprintf("%s does not apply: hunk %s of %s", name, number, file)
	wanted, begins := o.hunk(strings.TrimPrefix(name, "patch "), file, number)
	if line == "" {
		line = begins
	}
	if line != "" {
		f.text += ":" + line
	}
	if len(wanted) > 0 {
		f.more = append([]string{"the patch expects there:"}, wanted...)
	}
	return f, true
}

// patchBefore returns the name of the patch that was applied before a line.
func (o *output) patchBefore(at int) string {
	if m := o.before(at, aPatch); m != nil {
		return "patch " + m[1]
	}
	return "a patch"
}

// before returns the match of the last line before one.
func (o *output) before(at int, pattern *regexp.Regexp) []string {
	for i := at - 1; i >= o.start; i-- {
		if m := pattern.FindStringSubmatch(o.lines[i]); m != nil {
			return m
		}
	}
	return nil
}

var hunkHead = regexp.MustCompile(`^@@ -(\d+)`)

// maxExpected is how many lines of a hunk are shown.
const maxExpected = 8

// hunk returns the lines that a hunk of a patch expects in a file, and the number of the first that
// it changes.
func (o *output) hunk(patch, file, number string) (wanted []string, line string) {
	if o.tree.File == nil {
		return nil, ""
	}
	want, _ := strconv.Atoi(number)
	n, current, in := 0, 0, false
	for raw := range bytes.Lines(o.tree.File(patch)) {
		text := strings.TrimRight(string(raw), "\r\n")
		m := hunkHead.FindStringSubmatch(text)
		switch {
		case strings.HasPrefix(text, "+++ "):
			words := strings.Fields(text)
			in = len(words) > 1 && (words[1] == file || strings.HasSuffix(words[1], "/"+file))
			n = 0
		case !in || strings.HasPrefix(text, "--- "):
		case m != nil:
			n++
			current, _ = strconv.Atoi(m[1])
		case n == want && (strings.HasPrefix(text, " ") || strings.HasPrefix(text, "-")):
			if line == "" && text[0] == '-' {
				line = strconv.Itoa(current)
			}
			current++
			if len(wanted) < maxExpected {
				wanted = append(wanted, clean(text))
			}
		}
	}
	return wanted, line
}

var (
	gitFailed = regexp.MustCompile(`^error: patch failed: (\S+):(\d+)$`)
	applying  = regexp.MustCompile(`^Applying: (.+)$`)
)

// patchFailsInGit finds a patch that git could not apply (%autosetup -S git).
func patchFailsInGit(o *output) (finding, bool) {
	m, at := o.first(gitFailed)
	if m == nil {
		return finding{}, false
	}
	name := o.patchBefore(at)
	if a := o.before(at, applying); a != nil && name == "a patch" {
		name = "the patch \"" + a[1] + "\""
	}
	return finding{at: at, text: fmt.Sprintf("%s does not apply: %s:%s", name, m[1], m[2]),
		hint: "make it anew against this version of the source"}, true
}

var notFound = regexp.MustCompile(
	`^error: (?:File|Directory) not found(?: by glob)?: \S*?/BUILDROOT(/\S+)`)

// filesNotFound finds lines of %files that name what is not installed.
func filesNotFound(o *output) (finding, bool) {
	all, at := o.all(notFound)
	if len(all) == 0 {
		return finding{}, false
	}
	var names []string
	for _, m := range all {
		names = append(names, inSpec(m[1]))
	}
	return finding{phase: "%files", at: at, text: "%install made no " + list(names),
		hint: "correct %files in " + o.specName() + ", or install it"}, true
}

var (
	unpackaged     = regexp.MustCompile(`^error: Installed \(but unpackaged\) file\(s\) found:`)
	unpackagedFile = regexp.MustCompile(`^   (/\S.*)$`)
)

// filesUnpackaged finds files that no %files section has.
func filesUnpackaged(o *output) (finding, bool) {
	_, at := o.first(unpackaged)
	if at < 0 {
		return finding{}, false
	}
	var names []string
	for _, line := range o.lines[at+1:] {
		m := unpackagedFile.FindStringSubmatch(line)
		if m == nil {
			break
		}
		names = append(names, inSpec(strings.TrimSpace(m[1])))
	}
	return finding{phase: "%files", at: at, text: "no %files section has " + list(names),
		hint: "add it to %files in " + o.specName() + ", or remove it at the end of %install"}, true
}

func (o *output) specName() string {
	if o.tree.Package == "" {
		return "the spec"
	}
	return o.tree.spec()
}

// sysroot matches the directory that the root of the OS is in during a build.
var sysroot = regexp.MustCompile(`^/[^/]+/sys-root(/|$)`)

// places are the macros of directories, the longest first.
var places = [][2]string{
	{"/usr/share/licenses", "%{_cross_licensedir}"}, {"/usr/share/man", "%{_cross_mandir}"},
	{"/usr/lib/pkgconfig", "%{_cross_pkgconfigdir}"}, {"/usr/lib/tmpfiles.d", "%{_cross_tmpfilesdir}"},
	{"/usr/lib/systemd/system", "%{_cross_unitdir}"}, {"/usr/share", "%{_cross_datadir}"},
	{"/usr/include", "%{_cross_includedir}"}, {"/usr/libexec", "%{_cross_libexecdir}"},
	{"/usr/bin", "%{_cross_bindir}"}, {"/usr/sbin", "%{_cross_sbindir}"},
	{"/usr/lib", "%{_cross_libdir}"}, {"/etc", "%{_cross_sysconfdir}"}, {"", "%{_cross_rootdir}"},
}

// inSpec returns a path as a spec has it.
func inSpec(name string) string {
	at := sysroot.FindStringIndex(name)
	if at == nil {
		return name
	}
	name = path.Clean("/" + name[at[1]:])
	for _, p := range places {
		if rest, ok := strings.CutPrefix(name, p[0]+"/"); ok {
			return p[1] + "/" + rest
		}
	}
	return name
}

// list joins names, the first three of many.
func list(names []string) string {
	if len(names) > 3 {
		return strings.Join(names[:3], ", ") + fmt.Sprintf(" and %d more", len(names)-3)
	}
	return strings.Join(names, ", ")
}
