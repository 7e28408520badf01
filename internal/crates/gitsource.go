// gitsource: repositories of git as a Cargo.lock names them.

package crates

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"regexp"
	"strings"

	"github.com/BurntSushi/toml"

	"buildsys/internal/safetext"
)

// Git is a repository at a commit.
type Git struct {
	URL  string // of the repository
	Kind string // how it was asked for: "tag", "branch" or "rev"; "" for the default branch
	Ref  string // the tag, branch or revision
	// Commit is the ID of the commit, in hex. It alone decides about the contents.
	Commit string
}

// GitCrate is a package in such a repository.
type GitCrate struct {
	Name, Version string
	From          Git
}

// String returns the crate's name with its version, which is also the name of its directory.
func (c GitCrate) String() string { return c.Name + "-" + c.Version }

func (c GitCrate) compare(d GitCrate) int {
	return cmp.Or(strings.Compare(c.String(), d.String()), strings.Compare(c.From.URL, d.From.URL),
		strings.Compare(c.From.Kind, d.From.Kind), strings.Compare(c.From.Ref, d.From.Ref))
}

// gitPrefix begins the sources of git in a Cargo.lock.
const gitPrefix = "git+"

var (
	goodCommit = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
	goodHost   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)
	goodPath   = regexp.MustCompile(`^[A-Za-z0-9._~+@=:, -]+(/[A-Za-z0-9._~+@=:, -]+)*$`)
)

// Limits of what becomes part of paths, addresses and configurations.
const (
	maxURL = 2000
	maxRef = 255
)

// parseGit reads the source of a package, as in "git+https://example.com/r?tag=v1#COMMIT". Its
// error continues a sentence about where the package comes from.
func parseGit(source string) (g Git, err error) {
	text, commit, _ := strings.Cut(strings.TrimPrefix(source, gitPrefix), "#")
	text, query, _ := strings.Cut(text, "?")
	g = Git{URL: text, Commit: commit}
	if !goodCommit.MatchString(commit) {
		return g, errors.New("which names no commit: let cargo write the Cargo.lock " +
			"(cargo generate-lockfile)")
	}
	for pair := range strings.SplitSeq(query, "&") { // the last one counts, as for cargo
		key, value, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(value); err == nil {
			value = plain
		}
		switch key {
		case "branch", "ref":
			g.Kind, g.Ref = "branch", value
		case "tag", "rev":
			g.Kind, g.Ref = key, value
		}
	}
	u, err := url.Parse(text)
	if err != nil || len(text) > maxURL || len(g.Ref) > maxRef ||
		!goodHost.MatchString(u.Hostname()) || u.Opaque != "" || !goodPath.MatchString(g.Path()) ||
		!fs.ValidPath(g.Path()) || strings.HasPrefix(g.Path(), "-") {
		return g, errors.New("which is not the address of a repository on a server")
	}
	if _, secret := u.User.Password(); secret {
		return g, errors.New("which has a password: a tree must not have one")
	}
	return g, nil
}

// Host returns the name of the server.
func (g Git) Host() string {
	u, _ := url.Parse(g.URL)
	return u.Hostname()
}

// Path returns the path of the repository on the server.
func (g Git) Path() string {
	u, _ := url.Parse(g.URL)
	return strings.Trim(u.Path, "/")
}

// String returns what it is for messages, without its commit.
func (g Git) String() string {
	if g.Kind == "" {
		return safetext.Line(g.URL)
	}
	return safetext.Line(fmt.Sprintf("%s (%s %s)", g.URL, g.Kind, g.Ref))
}

// ID is the same for what cargo takes for one source.
func (g Git) ID() string {
	at := strings.TrimSuffix(strings.TrimRight(g.URL, "/"), ".git")
	if g.Host() == "github.com" {
		at = strings.ToLower(at)
	}
	return strings.Join([]string{at, g.Kind, g.Ref}, "\n")
}

// Config returns the part of cargo's configuration that replaces a repository by the source with
// another name.
func (g Git) Config(by string) string {
	section := map[string]string{"git": g.URL, "replace-with": by}
	name := gitPrefix + g.URL
	if g.Kind != "" {
		section[g.Kind] = g.Ref
		name += "?" + g.Kind + "=" + g.Ref
	}
	return tableOf("source", name, section)
}

// tableOf returns a table of TOML, with a name of two parts.
func tableOf(kind, name string, values map[string]string) string {
	var text bytes.Buffer
	e := toml.NewEncoder(&text)
	e.Indent = ""
	// Strings alone always have a form in TOML.
	_ = e.Encode(map[string]map[string]map[string]string{kind: {name: values}})
	_, body, _ := strings.Cut(text.String(), "["+kind+".")
	return "[" + kind + "." + body
}
