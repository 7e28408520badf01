// unknown: variables that look like settings and are none.

package settings

import (
	"fmt"
	"slices"
	"strings"

	"buildsys/internal/manifest"
	"buildsys/internal/workspace"
)

// ownPrefix begins the names of settings in the environment; scriptPrefixes begin those of the
// scripts and tests around the program.
const ownPrefix = "BUILDSYS_"

var scriptPrefixes = []string{"BUILDSYS_CI_", "BUILDSYS_TEST_"}

// cratesProxyEnv and gitProxyEnv are read from the environment alone, as GOPROXY is.
const (
	cratesProxyEnv = "BUILDSYS_CRATES_PROXY"
	gitProxyEnv    = "BUILDSYS_GIT_PROXY"
)

// warnUnknown tells the caller which variables of the environment have the form of a setting and
// are none: one with a typing error would do nothing without a word. Trees for other programs have
// variables of their own, and cargo-make exports all of its Makefile.toml; there only those are
// named that resemble a setting.
func (l layers) warnUnknown() {
	if l.Environ == nil {
		return
	}
	known := []string{cratesProxyEnv, gitProxyEnv}
	for _, one := range List {
		known = append(known, one.Env)
	}
	others := workspace.IsForeign(l.root) || l.Getenv("CARGO_MAKE") != ""
	for _, pair := range l.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		_, readFromTree := rights[name]
		_, ofTree := l.tree[name]
		switch {
		case !strings.HasPrefix(name, ownPrefix), value == "", readFromTree, ofTree,
			slices.Contains(known, name),
			slices.ContainsFunc(scriptPrefixes, func(p string) bool { return strings.HasPrefix(name, p) }):
			continue
		}
		near := manifest.Nearest(name, known)
		switch {
		case near != "":
			l.Warn(fmt.Sprintf("%s is no setting and does nothing; did you mean %s?", name, near))
		case !others:
			l.Warn(fmt.Sprintf("%s is no setting and does nothing; \"buildsys help settings\" lists them",
				name))
		}
	}
}
