// sdkarchives: what Debian's archives have now, as their signed indexes say.

package build

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"buildsys/internal/archive"
	"buildsys/internal/confined"
	"buildsys/internal/ctxio"
	"buildsys/internal/debian"
	"buildsys/internal/errkind"
	"buildsys/internal/fetch"
	"buildsys/internal/safetext"
	"buildsys/internal/sdk"
)

// archives reads indexes.
type archives struct {
	s        *Session
	store    *fetch.Store
	mirrors  sdk.Mirrors
	keys     []byte
	now      time.Time
	releases map[string]*sdkRelease // by suite
}

// sdkRelease is the signed file of a suite, and the archive that it is from.
type sdkRelease struct {
	*debian.Release
	base string
}

// newest returns the date of the newest release that was read.
func (a *archives) newest() (t time.Time) {
	for _, r := range a.releases {
		if r.Date.After(t) {
			t = r.Date
		}
	}
	return t
}

// read returns the packages of an index.
func (a *archives) read(ctx context.Context, i sdk.Index) ([]*debian.Package, error) {
	r, err := a.release(ctx, i)
	if err != nil {
		return nil, err
	}
	listed, ok := r.Indexes[i.Name()]
	if !ok {
		return nil, errkind.Environmentf("%s/%s does not list %s", safetext.Place(r.base), i.Release(),
			i.Name())
	}
	if listed.Size <= 0 || listed.Size > debian.MaxIndexFile {
		return nil, errkind.Environmentf("%s/%s lists %s with %d bytes", safetext.Place(r.base),
			i.Release(), i.Name(), listed.Size)
	}
	file := fetch.Package{Name: "Packages.xz", SHA256: listed.SHA256, Size: listed.Size,
		URLs: i.URLs(r.base, listed.SHA256, r.ByHash)}
	dir := a.s.c.CacheDir.Debian()
	if err := a.store.FetchPackages(ctx, dir, "the index of "+i.Suite+" for "+i.Arch,
		[]fetch.Package{file}); err != nil {
		return nil, err
	}
	f, err := confined.Path{Name: file.In(dir)}.Open()
	if err != nil {
		return nil, errkind.BadEnvironment(err)
	}
	defer f.Close()
	text, err := archive.Decompress(ctxio.NewReader(ctx, f))
	if err != nil {
		return nil, errkind.Environmentf("the index of %s: %w", i.Suite, err)
	}
	defer text.Close()
	packages, err := debian.ParseIndex(ctxio.NewReader(ctx, text), i.Archive)
	if err != nil {
		return nil, errkind.Environmentf("the index of %s for %s: %w", i.Suite, i.Arch, err)
	}
	return packages, nil
}

// release returns the release of an index's suite, from the first place that has one that is signed
// and still valid. The snapshot service is asked last, for the present.
func (a *archives) release(ctx context.Context, i sdk.Index) (*sdkRelease, error) {
	if r := a.releases[i.Suite]; r != nil {
		return r, nil
	}
	var errs []error
	for _, base := range slices.Concat(a.mirrors[i.Archive],
		sdk.SnapshotNow(a.s.c.SDK.Snapshot, i.Archive, a.now)) {
		r, err := a.ask(ctx, i, base)
		if err == nil {
			a.releases[i.Suite] = r
			return r, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		errs = append(errs, err)
	}
	return nil, errkind.Environmentf("no place has %s of Debian; name a mirror with "+
		"--debian-mirrors: %w", i.Suite, errors.Join(errs...))
}

func (a *archives) ask(ctx context.Context, i sdk.Index, base string) (*sdkRelease, error) {
	url := base + "/" + i.Release()
	data, _, err := a.store.Page(ctx, fetch.Wanted{Step: i.Suite, URL: url, Mine: true,
		Max: debian.MaxRelease})
	if err != nil {
		return nil, err
	}
	r, err := debian.ParseRelease(ctx, data, a.keys)
	switch {
	case err != nil:
	case r.Codename != i.Suite:
		err = fmt.Errorf("it is of %q", safetext.Line(r.Codename))
	case !r.Until.IsZero() && a.now.After(r.Until):
		err = fmt.Errorf("it was valid until %s: the mirror does not follow Debian, or the clock of "+
			"this machine is wrong", r.Until.Format(time.DateTime))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", safetext.Place(url), err)
	}
	return &sdkRelease{r, base}, nil
}
