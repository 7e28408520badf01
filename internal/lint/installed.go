// installed: what %files sections install, and with which owners.

package lint

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"buildsys/internal/confined"
)

// Installed is a path in a %files section, and an owner that an %attr there gives it.
type Installed struct {
	Path  string   // expanded; empty if only rpm can
	Names []string // users and groups, as written
	Line  int
	// dir says that the path is only itself, not what is below it.
	dir bool
	// unknown says that a part of the path can only be known by rpm.
	unknown bool
}

var (
	attribute = regexp.MustCompile(`%(?:def)?attr\(([^)]*)\)`)
	// directive matches what may stand before a path in %files.
	directive = regexp.MustCompile(
		`%(?:(?:def)?attr|verify|caps|lang|config)\([^)]*\)|%(?:dir|ghost|doc|license|config|` +
			`exclude|artifact|readme|missingok|noreplace)\b`)
)

// fileLine reads a line of a %files section.
func (r *specReader) fileLine(text string, number int) {
	one := Installed{Line: number}
	for _, match := range attribute.FindAllStringSubmatch(text, -1) {
		for i, word := range strings.Split(match[1], ",") {
			if word = strings.TrimSpace(word); (i == 1 || i == 2) && isOwner(word) {
				one.Names = append(one.Names, word)
			}
		}
	}
	// A path of %doc and %license may be relative: rpmbuild puts such files where they belong.
	excluded := strings.Contains(text, "%exclude")
	one.dir = strings.Contains(text, "%dir")
	text = strings.TrimSpace(directive.ReplaceAllString(text, ""))
	all := r.expand(text)
	one.unknown = !excluded && (len(all) > 1 || len(known(all)) == 0)
	for _, rest := range known(all) {
		if path.IsAbs(rest) && !excluded {
			one.Path = rest
		}
	}
	if r.keep(1 + len(one.Names)) {
		r.spec.Installed = append(r.spec.Installed, one)
	}
}

// isOwner reports whether a word of an %attr names a user or a group other than root.
func isOwner(word string) bool {
	return word != "" && word != "root" && word != "-" && !strings.ContainsAny(word, "%") &&
		strings.Trim(word, "0123456789") != ""
}

// checkInstalled reports files outside the sysroot, which no image can hold, and owners that nobody
// makes: rpm 4.19 and later require user(NAME) and group(NAME) for them. In foreign trees the SDK
// decides about both.
func (l *linter) checkInstalled(name string) {
	if l.ws.Foreign() || l.specs[name].Included {
		return
	}
	root := known(l.base.expand("%{_cross_sysroot}"))
	for _, f := range l.specs[name].Installed {
		if len(root) == 1 && path.IsAbs(root[0]) && f.Path != "" && f.Path != root[0] &&
			!strings.HasPrefix(f.Path, root[0]+"/") {
			l.find(of(CheckInstalled, name), Warning, l.specFile(name), f.Line,
				"use the %{_cross_…} macros",
				"installs %s outside %s, so no image can hold the RPM", f.Path, root[0])
		}
		for _, owner := range f.Names {
			if !l.full(name) && !l.ownerMade(owner) {
				l.find(of(CheckInstalled, name), Warning, l.specFile(name), f.Line,
					"add a line of sysusers.d for it to a package, or "+
						"Provides: user("+owner+") or group("+owner+")",
					"gives a file to %q, which no package of the tree makes a user or group", owner)
			}
		}
	}
}

// maxUsers bounds a file that may make users: those of sysusers.d have a few lines.
const maxUsers = 64 << 10

// ownerMade reports whether a package makes a user or a group, or whether that cannot be known.
func (l *linter) ownerMade(owner string) bool {
	if l.users == nil {
		l.users = l.allUsers()
	}
	return l.users.open || l.users.names[owner] ||
		len(l.providers["user("+owner+")"])+len(l.providers["group("+owner+")"]) > 0
}

// allUsers returns the users and groups that packages make.
func (l *linter) allUsers() *users {
	u := &users{names: map[string]bool{}, open: l.others}
	for _, name := range l.ws.PackageNames() {
		spec := l.specs[name]
		u.open = u.open || spec.Uncertain || slices.ContainsFunc(makers, spec.mentions)
		some := false
		for _, f := range l.ws.Files(l.ws.Packages[name]) {
			data, err := confined.ReadIn(l.ws.FS, path.Join(l.ws.Packages[name].Dir, f.Name), maxUsers)
			if err == nil && l.work.take(len(data)/8+1) {
				some = u.addNames(string(data)) || some
			}
		}
		// Lines that come from the sources of the package may make any.
		u.open = u.open || !some && (spec.mentions("sysusers") || spec.mentions("/etc/group"))
		if u.open || l.work.left < 0 {
			return &users{open: true}
		}
	}
	return u
}

var anyUsers = regexp.MustCompile(`(?m)^[ugm]!?\s+\S|^\S+:x?:`)

// checkArchives reports archives that %setup cannot unpack, because the SDK has no program for it.
func (l *linter) checkArchives(name string) {
	spec := l.specs[name]
	if l.unzip || l.ws.Foreign() || !spec.mentions("%setup") && !spec.mentions("%autosetup") ||
		spec.mentions("unzip") ||
		slices.ContainsFunc(spec.BuildRequires, func(n Need) bool {
			return strings.HasSuffix(n.Name, "unzip")
		}) {
		return
	}
	for _, s := range spec.Sources {
		if strings.HasSuffix(s.Name, ".zip") {
			l.find(of(CheckArchives, name), Warning, l.specFile(name), s.Line,
				"add unzip to sdk/packages.list and run buildsys sdk lock, or take "+
					"another archive", "%%setup needs unzip for %s, which the SDK does not have", s.Name)
		}
	}
}

// hasUnzip reports whether the SDK of the tree has unzip, by its list of packages.
func hasUnzip(tree, fallback fs.FS) bool {
	for _, at := range []fs.FS{tree, fallback} {
		if at == nil {
			continue
		}
		if data, err := read(at, "sdk/packages.list"); err == nil {
			return slices.Contains(strings.Fields(string(data)), "unzip")
		}
	}
	return true // not known
}
