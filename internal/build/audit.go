// audit: which packages of a tree, and which modules and crates in them, have faults that are
// known.

package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"buildsys"
	"buildsys/internal/audit"
	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/fetch"
	"buildsys/internal/lint"
	"buildsys/internal/manifest"
	"buildsys/internal/osv"
	"buildsys/internal/rpm"
	"buildsys/internal/workspace"
)

// IgnoreFile is the file of a tree that says which faults are left alone.
const IgnoreFile = "audit.toml"

// Audit is what an audit is about and what it asks.
type Audit struct {
	Packages  []string // all if empty
	Databases []string // directories, archives and https URLs
	Ecosystem string   // that a database has for packages of this tree; may be empty
	Go        string   // the version that compiles, as "1.22.7"; may be empty
	Now       time.Time
}

// distributions are ecosystems whose versions say nothing of what is built from upstream's sources:
// they have releases of their own, with fixes taken back.
var distributions = []string{"AlmaLinux", "Alpaquita", "Alpine", "Azure Linux", "Chainguard",
	"Debian", "Echo", "Mageia", "MinimOS", "Photon OS", "Red Hat", "Rocky Linux", "Root", "SUSE",
	"Ubuntu", "Wolfi", "openEuler", "openSUSE"}

// check returns an error for a request that cannot be met.
func (a Audit) check() error {
	base, _, _ := strings.Cut(a.Ecosystem, ":")
	switch {
	case slices.Contains(distributions, base):
		return errkind.Usagef("packages of a tree are not those of %s: its versions are of its own "+
			"builds, with fixes taken back into old ones; name the ecosystem of a database made for this OS",
			base)
	case slices.Contains([]string{osv.Go, osv.Crates, osv.Git}, a.Ecosystem):
		return errkind.Usagef("%s is the ecosystem of modules or crates, not of the packages of a tree",
			a.Ecosystem)
	}
	if _, ok := goVersion(a.Go); !ok && a.Go != "" {
		return errkind.Usagef("--go: %q is no version of Go, such as 1.22.7", a.Go)
	}
	for _, at := range a.Databases {
		if scheme, _, ok := strings.Cut(at, "://"); ok && scheme != "https" {
			return errkind.Usagef("database %s: use https, a directory or a file", at)
		}
	}
	return nil
}

var goRelease = regexp.MustCompile(`^(?:go)?([0-9]+\.[0-9]+)(\.[0-9]+)?(?:(beta|rc)([0-9]+))?$`)

// goVersion returns a version of Go as databases have it: "1.22.0-rc.1" for go1.22rc1.
func goVersion(text string) (version string, ok bool) {
	m := goRelease.FindStringSubmatch(text)
	if m == nil {
		return "", false
	}
	version = m[1] + cmp.Or(m[2], ".0")
	if m[3] != "" {
		version += "-" + m[3] + "." + m[4]
	}
	return version, true
}

// Audit compares a tree with its advisories and with databases.
func (s *Session) Audit(ctx context.Context, want Audit) (audit.Report, error) {
	r := audit.Report{Parts: map[string]int{}}
	if err := want.check(); err != nil {
		return r, err
	}
	ws, err := s.Load()
	if err != nil {
		return r, err
	}
	ignores, err := readIgnores(ws)
	if err != nil {
		return r, err
	}
	specs, prefix, err := lint.Specs(ctx, ws, buildsys.Recipe, s.c.Arch)
	if err != nil {
		return r, err
	}
	whole := len(want.Packages) == 0
	wanted := func(name string) bool { return whole || slices.Contains(want.Packages, name) }
	g := &gathering{s: s, ws: ws, specs: specs, prefix: prefix, report: &r, want: want}
	for _, name := range ws.PackageNames() {
		if wanted(name) {
			g.pkg(ctx, name)
		}
	}
	if err := g.sources(ctx, wanted, whole); err != nil {
		return r, orCause(ctx, err)
	}
	if len(g.parts) > maxParts {
		return r, errkind.Usagef("the tree names more than %d modules and crates", maxParts)
	}
	if ws.Project != nil && len(ws.Project.Kits) > 0 {
		for _, k := range ws.Project.Kits {
			r.Note("packages of other trees' kits are looked at in those trees", k.Name+" "+k.Version)
		}
	}
	advisories, problems := lint.Advisories(ctx, ws, want.Now)
	r.AddAdvisories(audit.Tree{Specs: specs, Prefix: prefix, Wanted: wanted,
		File: func(name string) string { return specName(ws, name) }}, advisories)
	for _, p := range problems {
		if !p.Warning {
			r.Note("an advisory has mistakes, which buildsys lint names", p.File)
		}
	}
	if err := g.databases(ctx); err != nil {
		return r, err
	}
	if ctx.Err() != nil {
		return r, context.Cause(ctx)
	}
	r.Ignore(IgnoreFile, ignores, whole && len(want.Databases) > 0, want.Now)
	r.Sort()
	return r, nil
}

// readIgnores reads audit.toml, if there is one.
func readIgnores(ws *workspace.Workspace) ([]manifest.Ignore, error) {
	data, err := confined.ReadIn(ws.FS, IgnoreFile, manifest.MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, errkind.BadUsage(err)
	}
	ignores, problems := manifest.ParseIgnores(IgnoreFile, data, manifest.Rules{})
	return ignores, problems.Err()
}

// gathering collects the parts of a tree.
type gathering struct {
	s      *Session
	ws     *workspace.Workspace
	specs  map[string]*lint.Spec
	prefix string
	report *audit.Report
	want   Audit
	parts  []audit.Part
	seen   map[audit.Part]bool
}

// maxParts bounds what a tree names. One file may have 20,000 crates.
const maxParts = 500_000

// add adds a part, as a database knows it.
func (g *gathering) add(p audit.Part) {
	if g.seen == nil {
		g.seen = map[audit.Part]bool{}
	}
	if !g.seen[p] && len(g.parts) <= maxParts {
		g.seen[p] = true
		g.parts = append(g.parts, p)
	}
}

// databases compares the parts with the databases.
func (g *gathering) databases(ctx context.Context) error {
	if version, ok := goVersion(g.want.Go); ok {
		for _, name := range []string{osv.Stdlib, osv.Toolchain} {
			g.add(audit.Part{Kind: audit.Module, Name: name, Version: version, Of: "the SDK",
				File: "the SDK's Go", Known: osv.Subject{Ecosystem: osv.Go, Name: name, Version: version}})
		}
	}
	named := map[string]bool{}
	var subjects []osv.Subject
	for _, p := range g.parts {
		subjects = append(subjects, p.Known)
		id := p.Kind + " " + p.Of
		if p.Kind != audit.Package {
			id += " " + p.Name + " " + p.Version
		}
		if !named[id] {
			named[id] = true
			g.report.Parts[p.Kind]++
		}
	}
	m := osv.NewMatcher(subjects)
	for _, at := range g.want.Databases {
		if err := g.database(ctx, m, at); err != nil {
			return err
		}
	}
	g.report.AddDatabases(m.Result(), g.parts)
	return nil
}

// database reads a database. What a URL has now is fetched into a directory that is removed again.
func (g *gathering) database(ctx context.Context, m *osv.Matcher, at string) error {
	if !strings.Contains(at, "://") {
		if !filepath.IsAbs(at) {
			return fmt.Errorf("database %s is no absolute path", at)
		}
		return m.Read(ctx, at)
	}
	dir, err := os.MkdirTemp("", "buildsys-audit-")
	if err != nil {
		return errkind.BadEnvironment(err)
	}
	defer os.RemoveAll(dir)
	store := g.s.sources(g.s.out)
	store.Dir = dir
	learnt, err := store.Learn(ctx, fetch.Wanted{URL: at, Name: "database.zip", Mine: true,
		Step: "audit"})
	if err != nil {
		return err
	}
	if learnt.Plain {
		return errkind.Environmentf("database %s: it came unencrypted, and anybody on the way may have "+
			"changed it", at)
	}
	return m.Read(ctx, learnt.Path)
}

// pkg adds a package, by its name and by the tags and Go modules that its sources are.
func (g *gathering) pkg(ctx context.Context, name string) {
	spec := g.specs[name]
	if spec == nil {
		g.report.Note("the spec of a package cannot be read", name)
		return
	}
	versions, whole := spec.Version.All()
	if !whole {
		g.report.Note("the version of a package cannot be read from its spec", name)
	}
	part := audit.Part{Kind: audit.Package, Name: name, Of: name, File: specName(g.ws, name),
		Line: spec.Version.Line}
	for _, v := range versions {
		part.Version = v.Version
		part.Known = osv.Subject{}
		g.add(part)
		if g.want.Ecosystem == "" {
			continue
		}
		for _, known := range append([]string{name}, g.rpms(name)...) {
			part.Known = osv.Subject{Ecosystem: g.want.Ecosystem, Name: known,
				Version: v.Epoch + ":" + v.Version}
			g.add(part)
		}
	}
	compared := true
	for _, f := range g.ws.Packages[name].ExternalFiles {
		if repo, tag := taggedSource(f.URL); tag != "" {
			g.upstream(name, f, repo, tag)
		} else {
			compared = compared && signature(f.URL)
		}
		if f.Bundles() {
			g.archive(ctx, name, f)
		}
	}
	if !compared && g.want.Ecosystem == "" && len(g.want.Databases) > 0 {
		g.report.Note("sources of a package are no tags of a repository, by which databases know them",
			name)
	}
}

// rpms are the names of a package's RPMs.
func (g *gathering) rpms(name string) (names []string) {
	for _, one := range g.specs[name].RPMs {
		bare := strings.TrimPrefix(one.Name, g.prefix)
		for _, n := range []string{bare, one.Name} {
			if n != name && !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	return names
}

// upstream adds a source as a tag of its repository, and as the Go module that has the
// repository's name, if it is one.
func (g *gathering) upstream(name string, f manifest.ExternalFile, repo, tag string) {
	p := audit.Part{Kind: audit.Package, Name: name, Version: tag, Of: name,
		File: g.ws.Packages[name].File, Line: f.Line}
	p.Known = osv.Repo("https://"+repo, tag)
	g.add(p)
	version := strings.TrimPrefix(tag, "v")
	if version == "" || version[0] < '0' || version[0] > '9' {
		return
	}
	major, _, _ := strings.Cut(version, ".")
	paths := []string{repo}
	if rpm.Compare(major, "1") > 0 {
		paths = append(paths, repo+"/v"+major)
	}
	for _, module := range paths {
		p.Known = osv.Subject{Ecosystem: osv.Go, Name: module, Version: version}
		g.add(p)
	}
}

// signature reports whether a source has no code, but what vouches for one that has.
func signature(address string) bool {
	return strings.HasSuffix(address, ".asc") || strings.HasSuffix(address, ".sig") ||
		strings.HasSuffix(address, ".sign")
}

// commit matches what may be the ID of a commit, which databases do not list. What has digits alone
// is a date.
var commit = regexp.MustCompile(`^[0-9]{0,63}[a-f][0-9a-f]{0,63}$`)

// taggedSource returns the repository and the tag that a URL of a forge is a source of, or "". One
// source has many addresses: what a server takes for the same is the same here.
func taggedSource(address string) (repo, tag string) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return "", ""
	}
	parts := strings.Split(strings.Trim(path.Clean(u.Path), "/"), "/")
	if len(parts) < 4 {
		return "", ""
	}
	repo = "github.com/" + parts[0] + "/" + strings.TrimSuffix(parts[1], ".git")
	kind, parts := parts[2], parts[3:]
	switch host := strings.TrimPrefix(strings.ToLower(u.Hostname()), "www."); {
	case host == "github.com" && kind == "releases" && len(parts) > 2 && parts[0] == "download":
		return repo, parts[1]
	case host == "github.com" && kind != "releases", host == "codeload.github.com":
	default:
		return "", ""
	}
	if parts[0] == "refs" && (len(parts) < 3 || parts[1] != "tags") {
		return "", ""
	}
	if parts[0] == "refs" {
		parts = parts[2:]
	}
	tag = parts[0]
	for _, end := range []string{".tar.gz", ".tar.xz", ".tar.bz2", ".zip", ".tgz"} {
		tag = strings.TrimSuffix(tag, end)
	}
	if len(tag) >= 7 && commit.MatchString(tag) {
		return "", ""
	}
	return repo, tag
}
