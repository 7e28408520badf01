// dev: work on the source of a package: begins it, turns it into patches, and ends it.

package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"buildsys/internal/atomicfile"
	"buildsys/internal/builddir"
	"buildsys/internal/confined"
	"buildsys/internal/dev"
	"buildsys/internal/errkind"
	"buildsys/internal/git"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/workspace"
)

// devTime is the time of commits that nobody has made.
var devTime = time.Unix(1735689600, 0).UTC()

// devPerson is who has made changes that are not committed yet.
var devPerson = git.Person{Name: "nobody", Mail: "nobody@buildsys.invalid", Time: devTime}

// BeginDev unpacks the source of a package, with its patches, into a repository in the tree, from
// which the package is built as long as it is there. It returns the directory.
func (s *Session) BeginDev(ctx context.Context, name string) (dir string, err error) {
	ws, spec, err := s.loadSpec(name)
	if err != nil {
		return "", err
	}
	at := filepath.Join(devDir, name)
	if _, err := os.Lstat(filepath.Join(s.c.Root, at)); err == nil {
		return "", errkind.Usagef("%s is there already: commit in it, and buildsys dev --finish %s", at,
			name)
	}
	if _, _, err := dev.AddPatches(spec, nil); err != nil {
		return "", errkind.Usagef("patches cannot be added to %s: %w", specName(ws, name), err)
	}
	files := map[string][]byte{}
	for _, f := range ws.Files(ws.Packages[name]) {
		rel := confined.Path{Root: s.c.Root, Name: filepath.Join(ws.Packages[name].Dir, f.Name)}
		if data, err := rel.Read(maxSpec); err == nil { // others are no patches
			files[f.Name] = data
		}
	}
	err = s.prepared(ctx, name, func(from dev.Prepared, scratch string) error {
		err := dev.Make(ctx, from, scratch, name+": the source before patches", devTime,
			dev.NameOf(files))
		if err != nil {
			return errkind.BadEnvironment(err)
		}
		return os.Rename(scratch, filepath.Join(s.c.Root, at))
	})
	return at, err
}

// loadSpec reads the tree and the spec of a package in it.
func (s *Session) loadSpec(name string) (*workspace.Workspace, []byte, error) {
	ws, err := s.Load()
	if err != nil {
		return nil, nil, err
	}
	if ws.Packages[name] == nil {
		_, err := ws.Find("package/" + name)
		return nil, nil, err
	}
	spec, err := s.readSpec(ws, name)
	return ws, spec, err
}

// prepared runs %prep of a package, and calls do with what it has left and an empty directory
// beside the sources that are worked on.
func (s *Session) prepared(ctx context.Context, name string,
	do func(from dev.Prepared, scratch string) error) error {
	p, err := s.Plan(ctx, Request{Packages: []string{name}})
	if err != nil {
		return err
	}
	step := p.Steps[len(p.Steps)-1]
	if _, ok := plan.Unpacked(step.Solve); !ok {
		return errkind.Usagef("the source of %s cannot be unpacked: the Dockerfile of this tree makes "+
			"RPMs in its own way", name)
	}
	unlock, err := builddir.Lock(ctx, s.c.Root, s.dir.Lock(), s.waitingFor("working on this checkout"))
	if err != nil {
		return err
	}
	defer unlock()
	scratch, out, err := s.scratch()
	if err != nil {
		return errkind.BadEnvironment(err)
	}
	defer s.removeDevDir()
	defer os.RemoveAll(scratch)
	defer os.RemoveAll(out)
	err = s.withEngine(func(e *engineLink) error { return s.unpack(ctx, e, p, step, out) })
	if err != nil {
		return fmt.Errorf("unpacking the source of %s: %w", name, err)
	}
	return do(dev.Prepared{Dir: out, Tree: plan.UnpackedTree}, scratch)
}

// unpack runs %prep of the last step of a plan.
func (s *Session) unpack(ctx context.Context, e *engineLink, p plan.Plan, step plan.Step,
	out string) error {
	keyed, err := s.makeNeeds(ctx, e, p)
	if err != nil {
		return err
	}
	if err := fetchSources(s.sources(s.out))(ctx, step); err != nil {
		return err
	}
	if err := e.confirm(ctx, s.images(p, nil, s.out), keyed); err != nil {
		return err
	}
	solve, _ := plan.Unpacked(p.SolveOf(step))
	tail := progress.NewTail(logTail)
	err = e.Build(ctx, solve, out, func(event progress.Event) {
		event.Step = step.ID
		progress.Multi{tail, s.out}.Event(event)
	})
	if err != nil {
		for _, line := range tail.Lines(step.ID) {
			s.out.Notice("  | " + line)
		}
	}
	return err
}

// scratch makes two directories beside the sources that are worked on.
func (s *Session) scratch() (one, two string, err error) {
	root, err := confined.OpenDir(s.c.Root)
	if err != nil {
		return "", "", err
	}
	defer root.Close()
	if err := root.MkdirAll(devDir, 0o755); err != nil {
		return "", "", err
	}
	if !s.isDir(devDir) {
		return "", "", fmt.Errorf("%s is not a directory", devDir)
	}
	dir := filepath.Join(s.c.Root, devDir)
	if one, err = os.MkdirTemp(dir, ".new-"); err != nil {
		return "", "", err
	}
	if err := os.Chmod(one, 0o755); err != nil {
		return one, "", err
	}
	two, err = os.MkdirTemp(dir, ".prep-")
	return one, two, err
}

// openedDev returns the source of a package that is worked on.
func (s *Session) openedDev(ctx context.Context, name string) (*workspace.Workspace, *devTree,
	error) {
	ws, _, err := s.loadSpec(name)
	if err != nil {
		return nil, nil, err
	}
	if !s.isDir(devDir) || !s.isDir(filepath.Join(devDir, name)) {
		return nil, nil, errkind.Usagef("there is no %s/%s: buildsys dev %[2]s makes it", devDir,
			name)
	}
	t, err := s.openDev(ctx, ws, name)
	return ws, t, err
}

// FinishDev turns the new commits in the source of a package into patches of the package, with
// their lines in the spec, and removes the source. It returns the files that it has written.
func (s *Session) FinishDev(ctx context.Context, name string) (files []string, err error) {
	ws, t, err := s.openedDev(ctx, name)
	switch {
	case err != nil:
		return nil, err
	case t.uncommitted:
		return nil, errkind.Usagef("%s/%s has changes that are not committed", devDir, name)
	case len(t.changes) == 0:
		return nil, errkind.Usagef("%s/%s has no new commits: buildsys dev --drop %[2]s removes it",
			devDir, name)
	}
	err = s.prepared(ctx, name, func(from dev.Prepared, scratch string) error {
		return errkind.BadUsage(dev.Same(ctx, from, t.series, scratch))
	})
	if err != nil {
		return nil, err
	}
	root, err := confined.OpenDir(s.c.Root)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	dir := filepath.Dir(specName(ws, name))
	for _, p := range t.patches {
		at := filepath.Join(dir, p.Name)
		f, err := root.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err == nil {
			_, err = f.Write(p.Data)
			err = errors.Join(err, f.Sync(), f.Close())
			files = append(files, at)
		}
		if err != nil {
			for _, made := range files {
				err = errors.Join(err, root.Remove(made))
			}
			return nil, errkind.BadEnvironment(err)
		}
	}
	spec := specName(ws, name)
	if err := atomicfile.ReplaceDurable(filepath.Join(s.c.Root, spec), t.spec, 0o644); err != nil {
		return files, errkind.BadEnvironment(err)
	}
	files = append(files, spec)
	beside, err := t.series.Beside(ctx)
	if err == nil && beside {
		s.warn(fmt.Sprintf("%s/%s stays, as it has other branches or stashes: buildsys dev --drop "+
			"--force %[2]s removes it", devDir, name))
		return files, nil
	}
	return files, errors.Join(err, s.removeDev(name))
}

// DropDev removes the source of a package that is worked on. Without force it does so only if there
// is nothing in it that would be lost.
func (s *Session) DropDev(ctx context.Context, name string, force bool) error {
	if force {
		if !s.isDir(devDir) || !s.isDir(filepath.Join(devDir, name)) {
			return errkind.Usagef("there is no %s/%s", devDir, name)
		}
		return s.removeDev(name)
	}
	_, t, err := s.openedDev(ctx, name)
	if err != nil {
		return err
	}
	beside, err := t.series.Beside(ctx)
	if err != nil {
		return err
	}
	if t.uncommitted || len(t.changes) > 0 || beside {
		return errkind.Usagef("%s/%s has work that no patch has yet: buildsys dev --finish %[2]s, or "+
			"--drop --force to lose it", devDir, name)
	}
	return s.removeDev(name)
}

// removeDev removes a source, and the directory of all sources with the last.
func (s *Session) removeDev(name string) error {
	root, err := confined.OpenDir(s.c.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.RemoveAll(filepath.Join(devDir, name)); err != nil {
		return errkind.BadEnvironment(err)
	}
	s.removeDevDir()
	return nil
}

// removeDevDir removes the directory of the sources that are worked on, if there are none.
func (s *Session) removeDevDir() {
	if s.isDir(devDir) {
		_ = os.Remove(filepath.Join(s.c.Root, devDir))
	}
}
