// gitpackage: the files of a package of a repository, as "cargo vendor" lays them down.

package crates

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"buildsys/internal/safetext"
	"buildsys/internal/safetoml"
)

// manifestFile is the name of cargo's manifests.
const manifestFile = "Cargo.toml"

// Limits of the search for packages.
const (
	maxManifest  = 1 << 20  // bytes of a manifest
	maxManifests = 32 << 20 // and of all of a repository
	maxEntries   = 2_000_000
)

// packageFile is the manifest of a package in a repository.
type packageFile struct {
	dir     string // "" is the top
	text    string
	version string
	private bool // not for publication
}

// Unpack writes the files of a package of the repository to an empty directory, with the list of
// checksums that cargo wants. left are names of symbolic links that are left out, because they lead
// nowhere in the repository. The error says what the package must not have.
func (c GitCrate) Unpack(ctx context.Context, r *Repo, to *os.Root) (left []string, err error) {
	err = unpack(to, nil, func(take takeFile) error { left, err = c.each(ctx, r, take); return err })
	return left, c.wrap(err)
}

// Check returns an error unless a directory has exactly what Unpack writes.
func (c GitCrate) Check(ctx context.Context, r *Repo, dir *os.Root) error {
	return check(dir, nil, func(take takeFile) error { _, err := c.each(ctx, r, take); return err })
}

func (c GitCrate) wrap(err error) error {
	if err != nil {
		err = fmt.Errorf("%s of %s at %.12s: %w", c, c.From, c.From.Commit, err)
	}
	return err
}

// each calls take for each file of the package.
func (c GitCrate) each(ctx context.Context, r *Repo, take takeFile) (left []string, err error) {
	at, err := r.find(c.Name, c.Version)
	if err != nil {
		return nil, err
	}
	text, err := normalize(at.text, at.dir, r.manifest)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path.Join(at.dir, manifestFile), err)
	}
	w := &packageWalk{ctx: ctx, repo: r, take: take}
	if err := take(manifestFile, false, bytes.NewReader(text)); err != nil {
		return nil, err
	}
	top, real, err := r.resolve(at.dir)
	if err == nil {
		err = w.dir(top, real, "")
	}
	return w.left, err
}

// packageWalk visits the files of a package.
type packageWalk struct {
	ctx          context.Context
	repo         *Repo
	take         takeFile
	left         []string
	names, files int
	bytes        int64
}

// dir visits a directory, which is at real in the repository and at name in the package.
func (w *packageWalk) dir(d treeEntry, real, name string) error {
	for _, e := range w.repo.trees[d.id] {
		if err := w.ctx.Err(); err != nil {
			return context.Cause(w.ctx)
		}
		at := path.Join(name, e.name)
		if err := w.count(e, at); err != nil {
			return err
		}
		if slices.Contains(dropped, e.name) || at == manifestFile {
			continue
		}
		if err := w.entry(e, path.Join(real, e.name), at); err != nil {
			return err
		}
	}
	return nil
}

// count bounds what a package may have: a tree may be in many places.
func (w *packageWalk) count(e treeEntry, at string) error {
	w.files++
	w.names += len(at)
	if e.name == "." || !fs.ValidPath(e.name) || strings.Contains(e.name, "/") {
		return fmt.Errorf("%q is not a plain name", shorten(e.name))
	}
	if err := plainName(at); err != nil {
		return err
	}
	if w.files > maxFiles || w.names > maxNames {
		return errors.New("it has too many files")
	}
	return nil
}

func (w *packageWalk) entry(e treeEntry, real, at string) error {
	switch e.kind {
	case kindGitlink:
		return fmt.Errorf("%q is a submodule, which buildsys does not fetch: put all crates into "+
			".cargo/vendor with cargo vendor", shorten(at))
	case kindDir:
		return w.dir(e, real, at)
	case kindLink:
		to, where, err := w.repo.resolve(real)
		// A directory that a link in it leads to has no end.
		if err != nil || to.kind == kindDir && (where == "" || strings.HasPrefix(real+"/", where+"/")) {
			w.left = append(w.left, at)
			return nil
		}
		return w.entry(to, where, at)
	}
	file := w.repo.open(e)
	if w.bytes += file.Size(); w.bytes > maxBytes {
		return fmt.Errorf("it has more than %d MiB", maxBytes>>20)
	}
	return w.take(at, e.kind == kindExec, io.Reader(file))
}

// textIn returns the manifest in a directory of the repository. One that is too large counts as
// none. The error is that all of them are.
func (r *Repo) textIn(dir string) (text string, ok bool, err error) {
	e, _, err := r.resolve(path.Join(dir, manifestFile))
	if err != nil || e.kind == kindDir || e.kind == kindGitlink {
		return "", false, nil
	}
	data, err := r.content(e, maxManifest)
	if r.read += len(data); r.read > maxManifests {
		return "", false, fmt.Errorf("the manifests of the repository have more than %d MiB",
			maxManifests>>20)
	}
	return string(data), err == nil, nil
}

// manifest returns what the manifest in a directory of the repository says of a workspace; nil if
// there is none. Nobody changes it.
func (r *Repo) manifest(dir string) (table, error) {
	if m, known := r.manifests[dir]; known {
		return m, nil
	}
	var m table
	text, ok, err := r.textIn(dir)
	if err != nil {
		return nil, err
	}
	if ok {
		if _, err := safetoml.Decode(text, &m); err != nil {
			return nil, fmt.Errorf("%s: %w", safetext.Line(path.Join(dir, manifestFile)), err)
		}
	}
	m = onlyWorkspace(m)
	r.manifests[dir] = m
	return m, nil
}

// find returns the manifest of a package.
func (r *Repo) find(name, version string) (packageFile, error) {
	if r.packages == nil {
		s := manifestSearch{repo: r, found: map[string][]packageFile{}}
		if err := s.dir(r.top(), ""); err != nil {
			return packageFile{}, err
		}
		r.packages = s.found
	}
	var all, published []packageFile
	for _, f := range r.packages[name] {
		if f.version == version {
			all = append(all, f)
			if !f.private {
				published = append(published, f)
			}
		}
	}
	if len(all) > 1 && len(published) == 1 {
		all = published
	}
	switch {
	case len(all) == 1:
		return all[0], nil
	case len(all) > 1:
		return packageFile{}, fmt.Errorf("both %s and %s are it, and cargo does not say which it takes",
			safetext.Line(path.Join(all[0].dir, manifestFile)),
			safetext.Line(path.Join(all[1].dir, manifestFile)))
	case len(r.packages[name]) > 0:
		return packageFile{}, fmt.Errorf("the repository has it in version %s",
			safetext.Line(r.packages[name][0].version))
	}
	return packageFile{}, errors.New("the repository has no such package outside of submodules")
}

// manifestSearch looks for manifests. As cargo does, it looks in all directories but hidden
// ones and those of builds. Manifests that cannot be read are passed over: they may be there
// for tests.
type manifestSearch struct {
	repo    *Repo
	found   map[string][]packageFile
	entries int
}

func (s *manifestSearch) dir(d treeEntry, name string) error {
	list := s.repo.trees[d.id]
	if s.entries += len(list) + 1; s.entries > maxEntries {
		return errors.New("the repository has too many files")
	}
	_, ok := s.repo.child(d, manifestFile)
	if ok {
		if err := s.manifest(name); err != nil {
			return err
		}
	}
	for _, e := range list {
		if e.kind != kindDir || strings.HasPrefix(e.name, ".") || ok && e.name == "target" {
			continue
		}
		below := path.Join(name, e.name)
		if plainName(below) != nil { // no package is there, and such names would fill the memory
			continue
		}
		if err := s.dir(e, below); err != nil {
			return err
		}
	}
	return nil
}

// manifest looks at the manifest in a directory.
func (s *manifestSearch) manifest(dir string) error {
	text, ok, err := s.repo.textIn(dir)
	if err != nil {
		return err
	}
	var m struct{ Package table }
	if _, err := safetoml.Decode(text, &m); err != nil || !ok {
		return nil
	}
	name, ok := m.Package["name"].(string)
	version := m.Package["version"]
	if !ok {
		return nil
	}
	if inherits(version) {
		var err error
		if version, err = newNormalizer(m.Package, dir,
			s.repo.manifest).ofPackage("version"); err != nil {
			if s.repo.read > maxManifests {
				return err
			}
			return nil
		}
	}
	if version == nil { // may be left out of what is not published
		version = "0.0.0"
	}
	s.found[name] = append(s.found[name], packageFile{dir: dir, text: text,
		version: fmt.Sprint(version), private: m.Package["publish"] == false})
	return nil
}

// plainName returns an error for the name of a file that no crate needs.
func plainName(name string) error {
	switch {
	case len(name) > maxName || strings.Count(name, "/") >= maxParts:
		return fmt.Errorf("%q is too long a name", shorten(name))
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) ||
		strings.Contains(name, "\\") || !fs.ValidPath(name):
		return fmt.Errorf("%q is not a plain name", shorten(name))
	}
	return nil
}
