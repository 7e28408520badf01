// outdated: which packages have newer versions upstream.

package build

import (
	"context"

	"golang.org/x/sync/errgroup"

	"buildsys/internal/errkind"
	"buildsys/internal/fetch"
	"buildsys/internal/plan"
	"buildsys/internal/rpm"
	"buildsys/internal/safetext"
	"buildsys/internal/upstream"
	"buildsys/internal/workspace"
)

// How the version of a package is, compared with upstream's.
const (
	Current  = "current"
	Outdated = "outdated"
	Unknown  = "unknown"
)

// Release is what is known of the newest version of a package.
type Release struct {
	Package string `json:"package"`
	Current string `json:"current"` // empty if the spec does not tell
	Newest  string `json:"newest"`  // empty if it is not known
	Status  string `json:"status"`
	URL     string `json:"releases_url"`
	Why     string `json:"why"` // nothing is known
}

// maxPage bounds a page that lists releases. Those of the largest directories have some megabytes.
const maxPage = 16 << 20

// pageJobs is how many pages are asked at once.
const pageJobs = 8

// Outdated asks the pages of the packages' releases which versions there are. Packages without
// sources of others are left out unless they are named.
func (s *Session) Outdated(ctx context.Context, names []string) ([]Release, error) {
	ws, err := s.Load()
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		for _, name := range ws.PackageNames() {
			if p := ws.Packages[name]; len(p.ExternalFiles) > 0 || p.ReleasesURL != "" {
				names = append(names, name)
			}
		}
	}
	all := make([]Release, len(names))
	var group errgroup.Group
	group.SetLimit(pageJobs)
	for i, name := range names {
		if ws.Packages[name] == nil {
			_, err := ws.Find(string(plan.Package) + "/" + name)
			return nil, err
		}
		group.Go(func() error {
			all[i] = s.release(ctx, ws, name)
			return nil
		})
	}
	_ = group.Wait() // each has its own error
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return all, nil
}

// release asks for the newest version of a package.
func (s *Session) release(ctx context.Context, ws *workspace.Workspace, name string) Release {
	r := Release{Package: name, Status: Unknown, URL: ws.Packages[name].ReleasesURL}
	spec, err := s.readSpec(ws, name)
	var named *upstream.Named
	if err == nil {
		named, err = s.findVersion(ws, name, spec, "")
	}
	if err == nil {
		r.Current = named.Version
		r.Newest, err = s.newestRelease(ctx, ws, named, name)
	}
	switch {
	case err != nil:
		r.Why = safetext.Line(err.Error())
	case rpm.Compare(r.Newest, r.Current) > 0:
		r.Status = Outdated
	default:
		r.Status = Current
	}
	return r
}

// newestRelease returns the newest version on the page of a package's releases. It is never older
// than that of the tree, which the page must list as well if it lists nothing newer.
func (s *Session) newestRelease(ctx context.Context, ws *workspace.Workspace, named *upstream.Named,
	name string) (string, error) {
	p := ws.Packages[name]
	if p.ReleasesURL == "" {
		return "", errkind.Usagef("%s has no releases-url, which says where to look for versions", p.File)
	}
	store, pages := s.sources(s.out), named.Pages()
	ask := func(url string) ([]string, []string, error) {
		data, from, err := store.Page(ctx, fetch.Wanted{URL: url, Max: maxPage,
			Step: string(plan.Package) + "/" + name})
		if err != nil {
			return nil, nil, err
		}
		return pages.Versions(data), pages.Series(data, from), nil
	}
	versions, series, err := ask(p.ReleasesURL)
	if err != nil {
		return "", err
	}
	for _, url := range series {
		if upstream.Newest(named.Version, versions) != "" {
			break
		}
		more, _, err := ask(url)
		if err != nil {
			return "", err
		}
		versions = append(versions, more...)
	}
	newest := upstream.Newest(named.Version, versions)
	switch {
	case newest == "":
		return "", errkind.Environmentf("%s lists no version in the way of %s", p.ReleasesURL,
			p.ExternalFiles[0].Name())
	case rpm.Compare(newest, named.Version) < 0:
		return "", errkind.Environmentf("%s lists nothing newer than %s, and not %s", p.ReleasesURL,
			newest, named.Version)
	}
	return newest, nil
}
