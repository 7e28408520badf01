// fetch and update: what a build needs from elsewhere, ahead of it; and which kits that are.

package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"buildsys/internal/atomicfile"
	"buildsys/internal/errkind"
	"buildsys/internal/kit"
	"buildsys/internal/manifest"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/workspace"
)

// fetchAtOnce is how many packages have their sources fetched at once, as in a build.
const fetchAtOnce = 8

func newFetchCommand(sys *System, s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "fetch [PACKAGE...]",
		Short: "Fetch kits and sources, so that builds need no network",
		Long: `Fetches the kits that Twoliter.lock names for the architecture, and the sources of the named packages and of what they
need, or of all packages. Builds fetch sources by themselves when they need them, but never kits.

A kit must have the digest that is in Twoliter.lock: where its tag leads to another image now, or Twoliter.toml asks for
another version, "buildsys update" writes a new lock. Kits are kept in the cache directory, below kits/.

` + exitStatusHelp,
		RunE: func(cmd *cobra.Command, names []string) error {
			c, err := s.resolve(sys)
			if err != nil {
				return err
			}
			ws, err := c.load()
			if err != nil {
				return err
			}
			if err := fetchKits(cmd.Context(), sys, c, ws); err != nil {
				return err
			}
			return fetchAll(cmd.Context(), sys, c, ws, names)
		},
	}
}

func fetchKits(ctx context.Context, sys *System, c config, ws *workspace.Workspace) error {
	t, lock, ok, err := kitTree(ws)
	if err != nil || !ok {
		return err
	}
	if err := t.CheckLock(lock); err != nil || lock == nil {
		return err
	}
	say := func(text string) { fmt.Fprintln(sys.Stderr, text) }
	warn := func(text string) { fmt.Fprintln(sys.Stderr, "warning: "+text) }
	if err := t.Fetch(ctx, c.kitStore(), lock, c.arch, say, warn); err != nil {
		return err
	}
	_, err = t.Installed(c.kitStore(), lock, c.arch)
	return err
}

// fetchAll fetches the sources of packages, and says of all that cannot be had, not only of the first.
func fetchAll(ctx context.Context, sys *System, c config, ws *workspace.Workspace, names []string) error {
	g := ws.Graph()
	for _, name := range names {
		if ws.Packages[name] == nil {
			return noSuch("package", name, ws.PackageNames())
		}
	}
	if len(names) == 0 {
		names = ws.PackageNames()
	} else {
		names = append(names, g.BuildClosure(names...)...)
	}
	log := logrus.New()
	log.SetOutput(sys.Stderr)
	fetch := fetchSources(c.store(progress.NewText(log, c.verbose)))
	var group errgroup.Group
	group.SetLimit(fetchAtOnce)
	errs := make([]error, len(names))
	files := 0
	for i, name := range workspace.Packages(names) {
		p := ws.Packages[name]
		files += len(p.ExternalFiles)
		if len(p.ExternalFiles) == 0 {
			continue
		}
		group.Go(func() error {
			step := string(plan.Package) + "/" + name
			if errs[i] = fetch(ctx, step, p.ExternalFiles); errs[i] == nil {
				errs[i] = fetchModules(ctx, fetch, p)
			}
			return nil
		})
	}
	_ = group.Wait() // what is wrong is in errs
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	err := errors.Join(errs...)
	if err == nil {
		fmt.Fprintf(sys.Stderr, "%d sources of %d packages are here\n", files, len(workspace.Packages(names)))
	}
	return err
}

// fetchModules fetches what the bundles of a package are made of.
func fetchModules(ctx context.Context, fetch func(context.Context, string, []manifest.ExternalFile) error, p *workspace.Package) error {
	var bundled []manifest.ExternalFile
	for _, f := range p.ExternalFiles {
		if f.BundleGo {
			bundled = append(bundled, f)
		}
	}
	if len(bundled) == 0 {
		return nil
	}
	return fetch(ctx, string(plan.Modules)+"/"+p.Name, bundled)
}

func newUpdateCommand(sys *System, s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "update",
		Short: "Resolve the kits and the SDK of Twoliter.toml, and write Twoliter.lock",
		Long: `Asks the registries for the kits of Twoliter.toml, for the kits that those need, and for the SDK, and writes what they are
into Twoliter.lock. Nothing else changes that file: builds use what is in it, and "buildsys fetch" refuses what is not.

` + exitStatusHelp,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.resolve(sys)
			if err != nil {
				return err
			}
			ws, err := c.load()
			if err != nil {
				return err
			}
			return updateLock(cmd.Context(), sys, c, ws)
		},
	}
}

func updateLock(ctx context.Context, sys *System, c config, ws *workspace.Workspace) error {
	if ws.Project == nil {
		return errkind.Usagef("there is no Twoliter.toml, so there is nothing to resolve (docs/kits.md)")
	}
	t, err := kit.ReadTree(ws.Root, ws.FS, ws.Project)
	if err != nil {
		return err
	}
	old, bad := kit.ReadLock(ws.FS) // a lock that is no good is replaced
	if bad != nil {
		fmt.Fprintf(sys.Stderr, "warning: %v\n", bad)
		old = nil
	}
	local := ws.Project.SDK == nil || c.sdkImage != t.ImageRef(*ws.Project.SDK)
	lock, err := t.Resolve(ctx, old, local, func(text string) { fmt.Fprintln(sys.Stderr, text) })
	if err != nil {
		return err
	}
	if kit.SameLock(old, lock) {
		fmt.Fprintln(sys.Stderr, "Twoliter.lock is up to date")
		return nil
	}
	for _, line := range kit.LockChanges(old, lock) {
		fmt.Fprintln(sys.Stderr, line)
	}
	name := filepath.Join(c.root, "Twoliter.lock")
	if err := atomicfile.ReplaceDurable(name, lock.Format(), 0o644); err != nil {
		return errkind.Environmentf("write the lock: %w", err)
	}
	fmt.Fprintln(sys.Stdout, name)
	return nil
}
