// newpackage: a package for sources of others: gets their archive and looks into it.

package build

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"buildsys"
	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/fetch"
	"buildsys/internal/git"
	"buildsys/internal/lint"
	"buildsys/internal/plan"
	"buildsys/internal/scaffold"
	"buildsys/internal/survey"
	"buildsys/internal/workspace"
)

// maxOwnArchive bounds an archive that becomes a file of the tree.
const maxOwnArchive = 64 << 20

// NewPackage returns a package for the sources at from, a URL, an archive or a git checkout, and
// what a person has to look at.
func (s *Session) NewPackage(ctx context.Context, name, from string) (*scaffold.Skeleton, []string,
	error) {
	if _, err := scaffold.Package(s.c.Root, name); err != nil { // before anything is fetched
		return nil, nil, err
	}
	ws, err := s.Load()
	if err != nil {
		return nil, nil, err
	}
	provider, err := s.provider(ctx, ws)
	if err != nil {
		return nil, nil, err
	}
	up, notes, err := s.upstream(ctx, name, from)
	if err != nil {
		return nil, nil, err
	}
	tree := scaffold.Place{Workspace: ws, Root: s.c.Root, Provider: provider}
	made, unsure, err := scaffold.FromUpstream(tree, name, up)
	return made, append(notes, unsure...), err
}

// upstream gets the archive and looks into it.
func (s *Session) upstream(ctx context.Context, name, from string) (up scaffold.Upstream,
	notes []string, err error) {
	if strings.Contains(from, "://") {
		return s.fromURL(ctx, name, from)
	}
	info, err := os.Stat(from)
	switch {
	case err != nil:
		return up, nil, errkind.Usagef("--from: %w", err)
	case info.IsDir():
		return s.fromGit(ctx, name, from)
	case !info.Mode().IsRegular():
		return up, nil, errkind.Usagef("--from %s: it is neither an archive nor a directory", from)
	}
	up.File = filepath.Base(from)
	if up.Source, err = survey.Read(ctx, from, up.File); err != nil {
		return up, nil, err
	}
	up.Data, err = confined.Path{Name: from}.Read(maxOwnArchive)
	return up, []string{"the archive becomes a file of the tree; name its URL with --from to have " +
		"it fetched instead"}, errkind.BadUsage(err)
}

// fromURL fetches an archive.
func (s *Session) fromURL(ctx context.Context, name, from string) (up scaffold.Upstream,
	notes []string, err error) {
	file := path.Base(strings.TrimRight(strings.SplitN(from, "?", 2)[0], "/"))
	got, err := s.sources(s.out).Learn(ctx, fetch.Wanted{Step: string(plan.Package) + "/" + name,
		URL: from, Name: file, Mine: true})
	if err != nil {
		return up, nil, err
	}
	up.URL, up.SHA512, up.File = from, got.SHA512, file
	if up.Source, err = survey.Read(ctx, got.Path, file); err != nil {
		return up, nil, err
	}
	// An archive that is named by its tag alone gets the name of the package.
	stem, rest := cutExtension(file)
	if strings.TrimPrefix(stem, "v") == up.Version {
		up.File = fmt.Sprintf("%s-%s%s", name, up.Version, rest)
	}
	proof := "nothing but TLS"
	if got.Plain {
		proof = "nothing, not even TLS"
	}
	return up, []string{fmt.Sprintf("%s: sha512 %s, verified by %s", file, got.SHA512, proof)}, nil
}

// cutExtension cuts the extension of an archive's name: ".tar.gz".
func cutExtension(name string) (stem, extension string) {
	ext := path.Ext(name)
	if stem := strings.TrimSuffix(name, ext); strings.HasSuffix(stem, ".tar") {
		return strings.TrimSuffix(stem, ".tar"), ".tar" + ext
	}
	return strings.TrimSuffix(name, ext), ext
}

// fromGit makes an archive of the commit that a checkout is at.
func (s *Session) fromGit(ctx context.Context, name, from string) (up scaffold.Upstream,
	notes []string, err error) {
	shot, err := git.Archive(ctx, from, name)
	if errors.Is(err, git.ErrNone) {
		return up, nil, errkind.Usagef("--from %s: it is no checkout of git with a commit: make an "+
			"archive of it", from)
	}
	if err != nil {
		return up, nil, errkind.BadUsage(err)
	}
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression) // without a date
	if err == nil {
		_, err = w.Write(shot.Tar)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return up, nil, err
	}
	scratch, err := os.CreateTemp("", "buildsys-new-")
	if err != nil {
		return up, nil, errkind.BadEnvironment(err)
	}
	defer os.Remove(scratch.Name())
	_, err = scratch.Write(packed.Bytes())
	if err = errors.Join(err, scratch.Close()); err != nil {
		return up, nil, errkind.BadEnvironment(err)
	}
	up.Data = packed.Bytes()
	if up.Source, err = survey.Read(ctx, scratch.Name(), name+".tar.gz"); err != nil {
		return up, nil, err
	}
	up.Version = cmp.Or(shot.Version, up.Version)
	up.File = fmt.Sprintf("%s-%s.tar.gz", name, up.Version)
	notes = []string{fmt.Sprintf("%s is commit %s of %s", up.File, shot.Commit, from)}
	if shot.Dirty {
		notes = append(notes, "changes in "+from+" that are not committed are not in it")
	}
	return up, notes, nil
}

// provider returns who provides what, by the specs of the tree and the RPMs that they have made.
func (s *Session) provider(ctx context.Context, ws *workspace.Workspace) (
	scaffold.Provider, error) {
	specs, prefix, err := lint.Specs(ctx, ws, buildsys.Recipe, s.c.Arch)
	if err != nil {
		return nil, err
	}
	who := providers{modules: map[string]provided{}, rpms: map[string]provided{}}
	for name, spec := range specs {
		who.addSpec(name, prefix, spec)
	}
	for _, one := range s.indexRPMs(ws) {
		for _, text := range one.provides {
			module, ok := strings.CutPrefix(text, "pkgconfig(")
			if rpm, ours := strings.CutPrefix(one.name, prefix); ok && ours {
				who.modules[strings.TrimSuffix(module, ")")] = provided{one.pkg, rpm}
			}
		}
	}
	return who.find, nil
}

// provided is an RPM without the prefix of the OS, and its package.
type provided struct{ pkg, rpm string }

// providers are the RPMs that something can be built with.
type providers struct {
	modules map[string]provided // by module of pkg-config
	rpms    map[string]provided // by name, without "-devel"
}

func (w providers) addSpec(name, prefix string, spec *lint.Spec) {
	for _, rpm := range spec.RPMs {
		if short, ok := strings.CutPrefix(rpm.Name, prefix); ok && strings.HasSuffix(short, "-devel") {
			w.rpms[strings.TrimSuffix(short, "-devel")] = provided{name, short}
		}
	}
	main, ok := w.rpms[name]
	for _, f := range spec.Installed {
		module, isModule := strings.CutSuffix(path.Base(f.Path), ".pc")
		if ok && isModule && !strings.Contains(module, "*") {
			w.modules[module] = main
		}
	}
}

// otherNames are names of libraries whose packages have another one.
var otherNames = map[string]string{"z": "zlib", "ssl": "openssl", "crypto": "openssl",
	"libssl": "openssl", "libcrypto": "openssl", "curses": "ncurses", "tinfo": "ncurses",
	"ncursesw": "ncurses", "tinfow": "ncurses", "bz2": "bzip2", "lzma": "xz", "liblzma": "xz",
	"libxml-2.0": "libxml2"}

// find implements scaffold.Provider.
func (w providers) find(kind survey.Kind, name string) (pkg, rpm string, ok bool) {
	if kind == survey.PkgConfig {
		if p, ok := w.modules[name]; ok {
			return p.pkg, p.rpm, true
		}
	}
	lower := strings.ToLower(name)
	for _, one := range []string{lower, "lib" + lower, strings.TrimPrefix(lower, "lib"),
		otherNames[lower]} {
		if p, ok := w.rpms[one]; ok && one != "" {
			return p.pkg, p.rpm, true
		}
	}
	return "", "", false
}
