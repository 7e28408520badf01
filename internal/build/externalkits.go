// externalkits: the kits of other trees, which Twoliter.toml and Twoliter.lock name.

package build

import (
	"context"
	"fmt"
	"path/filepath"

	"buildsys/internal/atomicfile"
	"buildsys/internal/errkind"
	"buildsys/internal/kit"
	"buildsys/internal/manifest"
	"buildsys/internal/plan"
	"buildsys/internal/workspace"
)

// kitTree returns the images that a tree needs, and its lock; ok is false in a tree without
// Twoliter.toml.
func kitTree(ws *workspace.Workspace) (t kit.Tree, lock *manifest.Lock, ok bool, err error) {
	if ws.Project == nil {
		return t, nil, false, nil
	}
	if t, err = kit.ReadTree(ws.Root, ws.FS, ws.Project); err == nil {
		lock, err = kit.ReadLock(ws.FS)
	}
	return t, lock, true, err
}

// externalKits returns the external kits that packages and images see. They must have been fetched.
func (s *Session) externalKits(ctx context.Context, ws *workspace.Workspace) (
	[]plan.ExternalKit, error) {
	t, lock, ok, err := kitTree(ws)
	if err != nil || !ok {
		return nil, err
	}
	installed, err := t.Installed(ctx, s.kits(), lock, s.c.Arch)
	if err != nil {
		return nil, err
	}
	var out []plan.ExternalKit
	for _, k := range installed {
		one := plan.ExternalKit{Name: k.Image.Name, Vendor: k.Image.Vendor,
			Version: k.Image.Version, Digest: k.Digest}
		for _, p := range k.Packages() {
			dir := filepath.Join(k.Dir, "Packages", p.Name)
			one.Dirs = append(one.Dirs, plan.KitPackage{Name: p.Name, Dir: dir, RPMs: p.RPMs})
		}
		out = append(out, one)
	}
	return out, nil
}

// FetchKits fetches the kits in Twoliter.lock for the session's architecture.
func (s *Session) FetchKits(ctx context.Context, ws *workspace.Workspace) error {
	t, lock, ok, err := kitTree(ws)
	if err != nil || !ok {
		return err
	}
	t.Trusted = s.c.Trusted
	if err := t.CheckLock(lock); err != nil || lock == nil {
		return err
	}
	if err := t.Fetch(ctx, s.kits(), lock, s.c.Arch, s.out.Notice, s.warn); err != nil {
		return err
	}
	_, err = t.Installed(ctx, s.kits(), lock, s.c.Arch)
	return err
}

// UpdateLock resolves the kits and the SDK of Twoliter.toml and writes the result to Twoliter.lock.
// It returns the name of the file, or "" if the lock is up to date.
func (s *Session) UpdateLock(ctx context.Context, ws *workspace.Workspace) (string, error) {
	if ws.Project == nil {
		return "", errkind.Usagef("the tree has no Twoliter.toml, so there is nothing to resolve " +
			"(docs/kits.md)")
	}
	t, err := kit.ReadTree(ws.Root, ws.FS, ws.Project)
	if err != nil {
		return "", err
	}
	t.Trusted = s.c.Trusted
	old, bad := kit.ReadLock(ws.FS) // an invalid lock is replaced
	if bad != nil {
		s.warn(bad.Error())
		old = nil
	}
	local := ws.Project.SDK == nil || s.c.SDK.Image != t.ImageRef(*ws.Project.SDK)
	lock, err := t.Resolve(ctx, old, local, s.out.Notice)
	if err != nil {
		return "", err
	}
	if kit.SameLock(old, lock) {
		s.out.Notice("Twoliter.lock is up to date")
		return "", nil
	}
	for _, line := range kit.LockChanges(old, lock) {
		s.out.Notice(line)
	}
	name := filepath.Join(s.c.Root, "Twoliter.lock")
	if err := atomicfile.ReplaceDurable(name, lock.Format(), 0o644); err != nil {
		return "", errkind.BadEnvironment(fmt.Errorf("write the lock: %w", err))
	}
	return name, nil
}
