// devtree: builds of packages whose source is worked on in dev/NAME. Such a package is built as it
// would be with the commits there as patches.

package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"buildsys/internal/confined"
	"buildsys/internal/dev"
	"buildsys/internal/errkind"
	"buildsys/internal/git"
	"buildsys/internal/plan"
	"buildsys/internal/workspace"
)

// devDir is the directory of the tree with the sources that are worked on.
const devDir = "dev"

// maxSpec bounds a spec; the largest have some hundred kilobytes.
const maxSpec = 4 << 20

// devTree is the source of a package that is worked on.
type devTree struct {
	name        string
	dir         string
	series      *git.Series
	changes     []dev.Change // commits on top of the patches
	uncommitted bool         // there is more, which is the last change
	spec        []byte       // the spec with the lines of the new patches
	patches     []dev.Patch
}

type devTrees map[string]*devTree // by package

// isDir reports whether a directory of the tree is one, and no link.
func (s *Session) isDir(name string) bool {
	info, err := os.Lstat(filepath.Join(s.c.Root, name))
	return err == nil && info.IsDir()
}

// devTrees returns the sources of packages that are worked on.
func (s *Session) devTrees(ctx context.Context, ws *workspace.Workspace) (devTrees, error) {
	if !s.isDir(devDir) {
		return nil, nil
	}
	trees := devTrees{}
	for _, name := range ws.PackageNames() {
		at := filepath.Join(devDir, name)
		if !s.isDir(at) || !s.isDir(filepath.Join(at, ".git")) {
			if _, err := os.Lstat(filepath.Join(s.c.Root, at)); err == nil {
				s.warn(fmt.Sprintf("%s is no directory with a repository in it: %s is built without it", at,
					name))
			}
			continue
		}
		t, err := s.openDev(ctx, ws, name)
		if err != nil {
			return nil, err
		}
		trees[name] = t
	}
	return trees, nil
}

// openDev reads the source of a package that is worked on.
func (s *Session) openDev(ctx context.Context, ws *workspace.Workspace, name string) (t *devTree,
	err error) {
	t = &devTree{name: name, dir: filepath.Join(s.c.Root, devDir, name)}
	spec, err := s.readSpec(ws, name)
	if err != nil {
		return nil, err
	}
	if t.series, err = git.OpenSeries(ctx, t.dir); err == nil {
		t.changes, err = t.series.Changes(ctx)
	}
	var rest string
	if err == nil {
		rest, err = t.series.Uncommitted(ctx)
	}
	if errors.Is(err, git.ErrRewritten) {
		err = fmt.Errorf("%w: keep them as they are and commit on top of them, or edit the patches in "+
			"packages/%s and start again (buildsys dev --drop --force %s)", err, name, name)
	}
	if err != nil {
		return nil, errkind.BadUsage(fmt.Errorf("%s/%s: %w", devDir, name, err))
	}
	all := t.changes
	if t.uncommitted = rest != ""; t.uncommitted {
		all = append(slices.Clip(all), dev.Change{By: devPerson, Subject: "uncommitted changes",
			Diff: rest})
	}
	if t.spec, t.patches, err = dev.AddPatches(spec, all); err != nil {
		return nil, errkind.Usagef("packages/%s/%s.spec: %w", name, name, err)
	}
	return t, nil
}

// readSpec returns the spec of a package.
func (s *Session) readSpec(ws *workspace.Workspace, name string) ([]byte, error) {
	at := confined.Path{Root: s.c.Root, Name: specName(ws, name)}
	spec, err := at.Read(maxSpec)
	if errors.Is(err, fs.ErrNotExist) {
		err = errkind.Usagef("%s: there is no such file", at.Name)
	}
	return spec, err
}

func specName(ws *workspace.Workspace, name string) string {
	return filepath.Join(filepath.FromSlash(ws.Packages[name].Dir), name+".spec")
}

// files returns what replaces or adds to the files of packages.
func (t devTrees) files() map[string][]plan.File {
	edited := map[string][]plan.File{}
	for name, one := range t {
		if len(one.patches) == 0 {
			continue
		}
		files := []plan.File{{Name: name + ".spec", Data: one.spec, Mode: 0o644}}
		for _, p := range one.patches {
			files = append(files, plan.File{Name: p.Name, Data: p.Data, Mode: 0o644})
		}
		edited[name] = files
	}
	return edited
}

// checkDev shows which packages of a plan are built from such a source. A release is not.
func (s *Session) checkDev(trees devTrees, p plan.Plan, own bool) error {
	for _, step := range p.Steps {
		t := trees[step.Name]
		if t == nil || step.Kind != plan.Package {
			continue
		}
		at := devDir + "/" + t.name
		switch {
		case s.c.Remote.Release:
			return errkind.Usagef("package %s is being worked on in %s, and a release is made from the "+
				"tree alone: buildsys dev --finish %[1]s, or --drop", t.name, at)
		case own:
			return errkind.Usagef("package %s is being worked on in %s, and the Dockerfile of this tree "+
				"does not see it: finish it or drop it", t.name, at)
		}
		words := []string{fmt.Sprintf("%d new commits", len(t.changes))}
		if len(t.changes) == 1 {
			words[0] = "1 new commit"
		}
		if t.uncommitted {
			words = append(words, "uncommitted changes")
		}
		s.out.Notice(fmt.Sprintf("%s is built from %s: %s", t.name, at, strings.Join(words, ", ")))
	}
	return nil
}
