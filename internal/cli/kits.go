// kits: the kits of others, as Twoliter.toml and Twoliter.lock name them, for all commands that need them.

package cli

import (
	"os"
	"path/filepath"

	"buildsys/internal/kit"
	"buildsys/internal/manifest"
	"buildsys/internal/plan"
	"buildsys/internal/workspace"
)

func (c config) kitStore() kit.Store { return kit.Store{Dir: filepath.Join(c.cacheDir, "kits")} }

// kitTree returns what a tree says about images it needs, and its lock; ok is false in a tree without Twoliter.toml.
func kitTree(ws *workspace.Workspace) (t kit.Tree, lock *manifest.Lock, ok bool, err error) {
	if ws.Project == nil {
		return t, nil, false, nil
	}
	if t, err = kit.ReadTree(ws.Root, ws.FS, ws.Project); err == nil {
		lock, err = kit.ReadLock(ws.FS)
	}
	return t, lock, true, err
}

// externalKits returns the kits of others that packages and images see. They must have been fetched.
func (c config) externalKits(ws *workspace.Workspace) ([]plan.ExternalKit, error) {
	t, lock, ok, err := kitTree(ws)
	if err != nil || !ok {
		return nil, err
	}
	installed, err := t.Installed(c.kitStore(), lock, c.arch)
	if err != nil {
		return nil, err
	}
	var out []plan.ExternalKit
	for _, k := range installed {
		one := plan.ExternalKit{Name: k.Image.Name, Vendor: k.Image.Vendor, Version: k.Image.Version, Digest: k.Digest}
		for _, p := range k.Packages() {
			one.Dirs = append(one.Dirs, plan.KitPackage{Name: p.Name, Dir: filepath.Join(k.Dir, "Packages", p.Name), RPMs: p.RPMs})
		}
		out = append(out, one)
	}
	return out, nil
}

// twoliterSDK is the SDK image that Twoliter.toml names; empty when it names none. What is wrong with the file is told when
// the tree is loaded.
func twoliterSDK(root string) string {
	dir, err := os.OpenRoot(root)
	if err != nil {
		return ""
	}
	defer dir.Close()
	project := workspace.ReadProject(dir.FS())
	if project == nil || project.SDK == nil {
		return ""
	}
	t, err := kit.ReadTree(root, dir.FS(), project)
	if err != nil {
		return ""
	}
	return t.ImageRef(*project.SDK)
}
