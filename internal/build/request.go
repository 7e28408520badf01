// request: what a session can be asked to build, and the plan for it.

package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"buildsys"
	"buildsys/internal/errkind"
	"buildsys/internal/git"
	"buildsys/internal/plan"
	"buildsys/internal/sbkeys"
	"buildsys/internal/workspace"
)

// Request is packages, kits, or the image of the session's variant to build.
type Request struct {
	// Names are packages, kits and at most one variant, as people write them. Planning turns them
	// into what follows.
	Names    []string
	Packages []string
	Kits     []string
	Image    bool               // of the session's variant, from packages
	Dev      bool               // that image only to be booted at once: see plan.DevImage
	Repack   *plan.RepackSource // the image of the session's variant, from this earlier one
	Verify   bool               // build what is named twice and compare
	Unsigned bool               // plan without the keys that an image is signed with
	Keyless  bool               // the same if there are none, which is then one of the plan's lacks
	Ahead    bool               // build what will be needed; no outputs need to be in place
}

// wanted reports whether a step's outputs must be in place when the run ends, as those that were
// requested must.
func (r Request) wanted(s plan.Step) bool {
	if r.Ahead {
		return false
	}
	switch s.Kind {
	case plan.Variant, plan.Repack, plan.DevImage, plan.Kit:
		return true
	}
	// A second build mounts the RPMs of all that its package needs, without a lookup.
	return r.Verify || slices.Contains(r.Packages, s.Name)
}

// find returns the request with its names turned into packages, kits or the image of a variant.
func (r Request) find(ws *workspace.Workspace, variant string) (Request, string, error) {
	images := map[string]bool{}
	for _, name := range r.Names {
		t, err := ws.Find(name)
		if err != nil {
			return r, "", err
		}
		switch t.Kind {
		case workspace.PackageKind:
			r.Packages = append(r.Packages, t.Name)
		case workspace.KitKind:
			r.Kits = append(r.Kits, t.Name)
		case workspace.VariantKind:
			r.Image, variant, images[t.Name] = true, t.Name, true
		}
	}
	if len(images) > 1 || r.Image && len(r.Packages)+len(r.Kits) > 0 {
		return r, "", errkind.Usagef("name one variant, or packages and kits: a variant has all of " +
			"its packages")
	}
	return r, variant, nil
}

// Load reads the tree, and shows in a line or two what in it is probably a mistake.
func (s *Session) Load() (*workspace.Workspace, error) {
	ws, err := workspace.Load(s.c.Root, s.c.Strictness)
	if err != nil {
		return nil, err
	}
	if n := len(ws.Warnings); n > 0 {
		s.out.Notice(fmt.Sprint(ws.Warnings[0]))
		if n > 1 {
			s.out.Notice(fmt.Sprintf("%d more warnings of this kind: buildsys lint shows all", n-1))
		}
	}
	return ws, nil
}

// Plan loads the tree and plans a request. It needs no engine, so a bad manifest is reported before
// anything runs.
func (s *Session) Plan(ctx context.Context, want Request) (plan.Plan, error) {
	ws, err := s.Load()
	if err != nil {
		return plan.Plan{}, err
	}
	return s.planTree(ctx, ws, want)
}

// planTree plans a request for a loaded tree.
func (s *Session) planTree(ctx context.Context, ws *workspace.Workspace, want Request) (plan.Plan,
	error) {
	if err := s.dir.Check(); err != nil {
		return plan.Plan{}, err
	}
	recipe, err := ws.Recipe(buildsys.Recipe)
	if err != nil {
		return plan.Plan{}, err
	}
	variant := s.c.Variant
	if len(want.Names) > 0 {
		if want, variant, err = want.find(ws, variant); err != nil {
			return plan.Plan{}, err
		}
	}
	sources := s.sources(nil)
	r := plan.Request{
		Arch:      s.c.Arch,
		Packages:  want.Packages,
		Kits:      want.Kits,
		Image:     want.Image,
		Repack:    want.Repack,
		Variant:   variant,
		SDK:       s.c.SDK.Image,
		Toolchain: s.c.SDK.Toolchain,
		BuildDir:  s.dir.Root,
		Identity: plan.Identity{
			Name:       s.c.Image.Name,
			PrettyName: s.c.Image.PrettyName,
			Version:    cmp.Or(s.c.Image.Version, ws.Release.Version),
			BuildID:    s.c.Image.BuildID,
			Dev:        want.Dev,
		},
		Sources: plan.Sources{Path: sources.Path, Modules: sources.ModulesPath,
			Vendor: sources.VendorPath,
			Sums:   func(s plan.GoSums) string { return sources.SumsPath(s.Text) },
			Crate:  sources.CratePath, GitCrate: sources.GitCratePath},
		Files: plan.ImageFiles{
			Signing: s.signing,
			Repo:    s.c.Image.Repo,
		},
	}
	trees, err := s.describe(ctx, ws, recipe, &r)
	if err != nil {
		return plan.Plan{}, err
	}
	if want.Repack == nil {
		if r.ExternalKits, err = s.externalKits(ctx, ws); err != nil {
			return plan.Plan{}, err
		}
	}
	p, err := s.makePlan(ws, recipe, r, want)
	if err == nil {
		err = s.checkDev(trees, p, recipe.Own != nil)
	}
	return p, err
}

// makePlan makes the plan, without keys where it needs none.
func (s *Session) makePlan(ws *workspace.Workspace, recipe *workspace.Recipe, r plan.Request,
	want Request) (plan.Plan, error) {
	var missing *sbkeys.MissingError
	if want.Unsigned || want.Keyless {
		r.Files.Signing = s.keyless(want, &missing)
	}
	p, err := plan.Make(ws, recipe, r)
	if missing != nil && want.Keyless {
		p.Lacks = append(p.Lacks, missing.Error())
	}
	return p, err
}

// describe adds what is not in the manifests of the tree, and returns the sources that are worked
// on.
func (s *Session) describe(ctx context.Context, ws *workspace.Workspace, recipe *workspace.Recipe,
	r *plan.Request) (devTrees, error) {
	trees, err := s.devTrees(ctx, ws)
	if err != nil {
		return nil, err
	}
	r.Edited = trees.files()
	if err := s.describePackages(ctx, recipe, r); err != nil {
		return nil, err
	}
	if r.Image || r.Repack != nil {
		err = s.describeImage(r)
	}
	return trees, err
}

// keyless returns the keys for a plan that needs none. It sets missing to what a profile lacks.
func (s *Session) keyless(want Request,
	missing **sbkeys.MissingError) func(plan.Signatures) (plan.SigningKeys, error) {
	return func(how plan.Signatures) (plan.SigningKeys, error) {
		keys, err := s.signing(how)
		var lacks bool
		if *missing, lacks = errors.AsType[*sbkeys.MissingError](err); !want.Unsigned && !lacks {
			return keys, err
		}
		return noKeys(how)
	}
}

// noKeys stands for the keys of images that are planned without.
func noKeys(plan.Signatures) (plan.SigningKeys, error) {
	return plan.SigningKeys{Firmware: func() (map[string]string, error) {
		return sbkeys.NoPlaceholders(), nil
	}}, nil
}

// describePackages adds what packages of trees for other programs have built in.
func (s *Session) describePackages(ctx context.Context, recipe *workspace.Recipe,
	r *plan.Request) (err error) {
	if recipe.Own != nil || recipe.Twoliter {
		if r.Files.RootJSON, err = s.rootJSON().read(); err != nil {
			return err
		}
	}
	if recipe.Twoliter && s.c.Remote.Release {
		r.Commit, err = s.releasedCommit(ctx)
	}
	return err
}

// describeImage adds what only requests for images have.
func (s *Session) describeImage(r *plan.Request) (err error) {
	if r.Identity.Version == "" {
		return errkind.Usagef("no image version: set version in Release.toml, or BUILDSYS_VERSION_IMAGE")
	}
	switch id := r.Identity.BuildID; {
	case r.Identity.Dev && id != "":
		r.Identity.BuildID = id + "-" + plan.DevBuildID
	case r.Identity.Dev:
		r.Identity.BuildID = plan.DevBuildID
	case id == "":
		r.Identity.BuildID = s.gitCommit()
		if len(r.Edited) > 0 && !strings.HasSuffix(r.Identity.BuildID, "-dirty") {
			r.Identity.BuildID += "-dirty"
		}
	}
	r.Files.Overrides, err = s.overrides()
	return err
}

// treeInputs are the places in a tree whose files become part of what is built. A file there that
// no commit has makes an image that no commit describes.
var treeInputs = []string{"packages", "variants", "kits", "sources", "roles", "tools", "macros",
	"sdk", "Dockerfile", "Release.toml", licencesFile, "Makefile.toml", "Twoliter.toml",
	"Twoliter.lock"}

// gitCommit returns the short commit of the checkout, with "-dirty" if it has changes. Without git
// or a commit it is "00000000", as in Bottlerocket; if git cannot or will not tell, a warning says
// so.
func (s *Session) gitCommit() string {
	commit, err := git.Commit(context.Background(), s.c.Root, treeInputs...)
	if err == nil {
		return commit
	}
	if !errors.Is(err, git.ErrNone) {
		s.warn(fmt.Sprintf("the build ID is %s, because the commit is not known: %v. "+
			"Give a build ID with --version-build or BUILDSYS_VERSION_BUILD", noCommit, err))
	}
	return noCommit
}

// releasedCommit returns the commit that the RPMs of a release name.
func (s *Session) releasedCommit(ctx context.Context) (plan.Commit, error) {
	id, err := git.Commit(ctx, s.c.Root, treeInputs...)
	if err != nil {
		return plan.Commit{}, errkind.Usagef("the RPMs of a release name the commit that they are "+
			"made from, and it is not known: %w", err)
	}
	seconds, err := git.CommitTime(ctx, s.c.Root)
	if err != nil {
		return plan.Commit{}, errkind.BadEnvironment(err)
	}
	return plan.Commit{ID: id, Seconds: strconv.FormatInt(seconds, 10)}, nil
}

// noCommit is the build ID of images of trees without a commit.
const noCommit = "00000000"

// checkRecipe shows what looks wrong in a tree's own Dockerfile. It fails if something is missing
// without which no step can be built.
func (s *Session) checkRecipe(p plan.Plan) error {
	for _, text := range p.Warnings {
		s.warn(text)
	}
	if len(p.Lacks) > 0 {
		return errkind.Usagef("%s", strings.Join(p.Lacks, "\n"))
	}
	return nil
}
