// fetch: fetches sources and Go modules, before a build or as part of one.

package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"buildsys/internal/fetch"
	"buildsys/internal/plan"
	"buildsys/internal/workspace"
)

// fetchJobs is how many packages have their sources fetched at once, as in a build.
const fetchJobs = 8

// fetchFunc fetches what a step needs from elsewhere.
type fetchFunc func(ctx context.Context, s plan.Step) error

// fetchSources returns the executor's Fetch. It fetches a step's files, and for a step that bundles
// Go modules or crates also those.
func fetchSources(store *fetch.Store) fetchFunc {
	return func(ctx context.Context, s plan.Step) error {
		err := store.Fetch(ctx, s.ID, s.Fetch)
		if err != nil {
			return err
		}
		var errs []error
		for _, c := range s.Crates {
			errs = append(errs, store.FetchCrates(ctx, s.ID, c.Of, c.List),
				store.FetchGitCrates(ctx, s.ID, c.Of, c.Git))
		}
		if s.Kind != plan.Modules {
			return errors.Join(errs...)
		}
		for _, f := range s.Fetch {
			if f.BundleRust {
				errs = append(errs, store.FetchVendor(ctx, s.ID, f))
			} else {
				errs = append(errs, store.FetchModules(ctx, s.ID, f))
			}
		}
		for _, sums := range s.Sums {
			_, err := store.FetchSums(ctx, sums.Module, sums.Text)
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}
}

// goEnvTime is how long the go command may take to say what GOPROXY is: it reads a file.
const goEnvTime = 20 * time.Second

// moduleProxy returns GOPROXY, or the go command's value if Go is installed. It is called only when
// modules are fetched.
func (s *Session) moduleProxy() string {
	if s.c.Sources.GoProxy != "" {
		return s.c.Sources.GoProxy
	}
	ctx, cancel := context.WithTimeout(context.Background(), goEnvTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "env", "GOPROXY")
	// In the tree, the go command would look at the go.mod there, and fetch the toolchain it names.
	cmd.Dir, cmd.Env = "/", append(os.Environ(), "GOTOOLCHAIN=local", "GOWORK=off", "PWD=/")
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return "" // the error about a missing module names GOPROXY
	}
	return strings.TrimSpace(string(out))
}

// FetchSources fetches the sources of the named packages and of what they need, or of all packages.
// Its error names everything that could not be fetched.
func (s *Session) FetchSources(ctx context.Context, ws *workspace.Workspace, names []string) error {
	if len(names) == 0 {
		names = ws.PackageNames()
	} else {
		names = slices.Concat(names, ws.Graph().BuildClosure(names...))
	}
	// A named package may be one that another needs.
	names = slices.Compact(slices.Sorted(slices.Values(workspace.Packages(names))))
	get := fetchSources(s.sources(s.out))
	var group errgroup.Group
	group.SetLimit(fetchJobs)
	errs := make([]error, len(names))
	files, modules := 0, 0
	all := map[string]bool{} // crates
	for i, name := range names {
		p := ws.Packages[name]
		own, err := plan.FirstParty(ws, p, s.warn)
		if err != nil {
			return err
		}
		files, modules = files+len(p.ExternalFiles), modules+len(own.Sums)
		for _, c := range own.Crates {
			for _, one := range c.List {
				all[one.String()] = true
			}
			for _, one := range c.Git {
				all[one.String()+" "+one.From.Commit] = true
			}
		}
		group.Go(func() error {
			errs[i] = fetchPackage(ctx, get, p, own)
			return nil
		})
	}
	_ = group.Wait() // errs has the errors
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	err := joinDistinct(errs)
	if err == nil {
		text := fmt.Sprintf("%d sources of %d packages are in the store", files, len(names))
		if modules > 0 {
			text += fmt.Sprintf(", and what %d Go modules of the tree need", modules)
		}
		if len(all) > 0 {
			text += fmt.Sprintf(", and %d crates", len(all))
		}
		s.out.Notice(text)
	}
	return err
}

// joinDistinct joins errors and those in them, each text once: what one Cargo.lock names is missed
// by all packages that see it.
func joinDistinct(errs []error) error {
	var all []error
	seen := map[string]bool{}
	var add func(err error)
	add = func(err error) {
		joined, ok := err.(interface{ Unwrap() []error })
		if ok && err.Error() == errors.Join(joined.Unwrap()...).Error() {
			for _, one := range joined.Unwrap() {
				add(one)
			}
		} else if err != nil && !seen[err.Error()] {
			seen[err.Error()] = true
			all = append(all, err)
		}
	}
	for _, err := range errs {
		add(err)
	}
	return errors.Join(all...)
}

// fetchPackage fetches the sources of a package, the modules and crates to bundle for it, and what
// its own code needs.
func fetchPackage(ctx context.Context, get fetchFunc, p *workspace.Package, own plan.Needs) error {
	err := get(ctx, plan.Step{ID: string(plan.Package) + "/" + p.Name, Kind: plan.Package,
		Fetch: p.ExternalFiles, Crates: own.Crates})
	if err != nil {
		return err
	}
	modules := plan.Step{ID: string(plan.Modules) + "/" + p.Name, Kind: plan.Modules,
		Sums: own.Sums}
	for _, f := range p.ExternalFiles {
		if f.Bundles() {
			modules.Fetch = append(modules.Fetch, f)
		}
	}
	return get(ctx, modules)
}
