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
	"buildsys/internal/manifest"
	"buildsys/internal/plan"
	"buildsys/internal/workspace"
)

// fetchJobs is how many packages have their sources fetched at once, as in a build.
const fetchJobs = 8

// fetchFunc puts a step's external files into the source store.
type fetchFunc func(ctx context.Context, step string, files []manifest.ExternalFile) error

// fetchSources returns the executor's Fetch. It fetches a step's files, and for a step that bundles
// Go modules also those.
func fetchSources(store *fetch.Store) fetchFunc {
	return func(ctx context.Context, step string, files []manifest.ExternalFile) error {
		err := store.Fetch(ctx, step, files)
		if err != nil || !strings.HasPrefix(step, string(plan.Modules)+"/") {
			return err
		}
		errs := make([]error, len(files))
		for i, f := range files {
			errs[i] = store.FetchModules(ctx, step, f)
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
	files := 0
	for i, name := range names {
		p := ws.Packages[name]
		files += len(p.ExternalFiles)
		group.Go(func() error {
			errs[i] = fetchPackage(ctx, get, p)
			return nil
		})
	}
	_ = group.Wait() // errs has the errors
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	err := errors.Join(errs...)
	if err == nil {
		s.out.Notice(fmt.Sprintf("%d sources of %d packages are in the store", files, len(names)))
	}
	return err
}

// fetchPackage fetches the sources of a package and the Go modules to bundle for it.
func fetchPackage(ctx context.Context, get fetchFunc, p *workspace.Package) error {
	if len(p.ExternalFiles) == 0 {
		return nil
	}
	if err := get(ctx, string(plan.Package)+"/"+p.Name, p.ExternalFiles); err != nil {
		return err
	}
	var bundled []manifest.ExternalFile
	for _, f := range p.ExternalFiles {
		if f.BundleGo {
			bundled = append(bundled, f)
		}
	}
	if len(bundled) == 0 {
		return nil
	}
	return get(ctx, string(plan.Modules)+"/"+p.Name, bundled)
}
