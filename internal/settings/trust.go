// trust: what a tree may set, and how a caller lets it set more.

package settings

import (
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"buildsys/internal/confined"
	"buildsys/internal/errkind"
)

// right is what a tree that is not trusted may set a setting to.
type right int

const (
	// nothing is the right of a setting that says where to connect, what to trust, or which files of
	// this machine to use. Only the caller can say that.
	nothing right = iota
	// anything is the right of a setting that describes the OS, or only how its tree is read.
	anything
	// ownFile allows paths inside the tree.
	ownFile
	// urls allows servers of sources: the tree's manifests pin what they send.
	urls
)

// rights has the rights of trees. What is not in the list, trees may not set.
var rights = map[string]right{
	"BUILDSYS_ROOT_DIR":                 anything, // for cargo-make; nothing reads it from there
	"BUILDSYS_STRICT":                   anything,
	"BUILDSYS_ARCH":                     anything,
	"BUILDSYS_VARIANT":                  anything,
	"BUILDSYS_JOBS":                     anything,
	"BUILDSYS_SDK_IMAGE":                anything, // keys of steps bind its content
	"BUILDSYS_TOOLCHAIN":                anything,
	"BUILDSYS_REGISTRY":                 anything, // with the next two: the toolchain's name
	"BUILDSYS_SDK_NAME":                 anything,
	"BUILDSYS_SDK_VERSION":              anything,
	"BUILDSYS_UPSTREAM_SOURCE_FALLBACK": anything,
	"BUILDSYS_VERSION_BUILD":            anything,
	"BUILDSYS_VERSION_IMAGE":            anything,
	"BUILDSYS_NAME":                     anything,
	"BUILDSYS_PRETTY_NAME":              anything,
	"BUILDSYS_SBKEYS_PROFILE":           anything, // a directory of the tree
	"PUBLISH_REPO":                      anything,
	"BUILDSYS_SBKEYS_PROFILE_DIR":       ownFile,
	cacertsEnv:                          ownFile,
	rootJSONEnv:                         ownFile,
	"BUILDSYS_LOOKASIDE_CACHE":          urls,
}

// treeEnv returns what a tree sees of the caller's settings and environment when the values in its
// Makefile.toml refer to them. The environment of a CI job has passwords, which a tree could put
// into an address that it names. So it sees what it may set itself to anything, and no more. hidden
// is called for what it asks for in vain.
func treeEnv(caller func(string) string, hidden func(name string)) func(string) string {
	return func(name string) string {
		switch value := caller(name); {
		case value == "", rights[name] == anything, name == profileEnv:
			return value
		default:
			hidden(name)
			return ""
		}
	}
}

// profileEnv names the profile of cargo-make, which selects a table in [env].
const profileEnv = "CARGO_MAKE_PROFILE"

// checkRights returns a usage error for a setting of the tree that it may not set and the caller
// leaves to it.
func (l layers) checkRights() error {
	for _, s := range List {
		value := l.tree[s.Env]
		if value == "" || l.mine(s.Env) != "" {
			continue
		}
		if why := l.wrong(s, value); why != "" {
			return errkind.Usagef("%s sets %s to %q, but %s; set it yourself (--%s or %s)%s", makefile,
				s.Env, value, why, s.Flag(), s.Env, l.howToTrust())
		}
	}
	return nil
}

// howToTrust continues a sentence with how the caller can trust the tree.
func (l layers) howToTrust() string {
	if l.Release {
		return ": with --release no tree is trusted"
	}
	return fmt.Sprintf(", or trust this tree: --trust-tree, or trusted-trees = [%q] in %s", l.root,
		l.user.file)
}

// wrong returns why an untrusted tree may not set a setting to a value, or "" if it may.
func (l layers) wrong(s Setting, value string) string {
	switch rights[s.Env] {
	case anything:
		return ""
	case ownFile:
		if _, ok := confined.In(l.root, value); ok {
			return ""
		}
		return "a tree may name only files inside it"
	case urls:
		if i := slices.IndexFunc(list(value), func(text string) bool { return !plainURL(text) }); i < 0 {
			return ""
		}
		return "a tree may name only plain http:// and https:// URLs here"
	case nothing:
		if value == "false" && s.Env == "BUILDSYS_ENGINE_INSECURE" { // that is the default
			return ""
		}
	}
	return "a tree may not say where to connect, what to trust, or which files of this machine to use"
}

// plainURL reports whether text is the URL of a server and a path, with nothing else in it.
func plainURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" &&
		u.User == nil && u.RawQuery == "" && u.Fragment == "" && !u.ForceQuery &&
		!strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

// path returns the path that a setting names, or the zero Path if it is not set. A path that a tree
// names is relative to the tree; one that an untrusted tree names is confined to it.
func (l layers) path(env string) confined.Path {
	if value := l.mine(env); value != "" {
		return confined.Path{Name: l.Path(value)}
	}
	value := l.tree[env]
	if value == "" {
		return confined.Path{}
	}
	return l.inTree(value)
}

// inTree returns a path that the tree names.
func (l layers) inTree(name string) confined.Path {
	if l.trusted {
		if !filepath.IsAbs(name) {
			name = filepath.Join(l.root, name)
		}
		return confined.Path{Name: name}
	}
	p, _ := confined.In(l.root, name) // checkRights has refused others
	return p
}

// warnHidden tells the caller which variables the tree asked for in vain.
func (c Caller) warnHidden(names []string) {
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		c.Warn(fmt.Sprintf("%s refers to %s, which is set but is not shown to a tree that you do not "+
			"trust: set what needs it yourself, or use --trust-tree", makefile, name))
	}
}
