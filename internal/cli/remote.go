// remote: the remote caches of a run, from settings to the line in the report.

package cli

import (
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"buildsys/internal/cache"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/remote"
	"buildsys/internal/rpm"
)

// remoteCaches reads BUILDSYS_CACHE_FROM and BUILDSYS_CACHE_TO.
func (c *config) remoteCaches(from, to, dir string) error {
	for _, text := range strings.Split(from, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		place, err := remote.ParseLocation(text, dir)
		if err != nil {
			return usageError{fmt.Errorf("BUILDSYS_CACHE_FROM: %w", err)}
		}
		c.cacheFrom = append(c.cacheFrom, place)
	}
	if to = strings.TrimSpace(to); to == "" {
		return nil
	}
	var err error
	if c.cacheTo, err = remote.ParseLocation(to, dir); err != nil {
		return usageError{fmt.Errorf("BUILDSYS_CACHE_TO: %w", err)}
	}
	return nil
}

// openRemote prepares the remote caches; nil when there are none.
func (c config) openRemote(sys *System, store *cache.Store, sink progress.Sink) (*remote.Cache, error) {
	from := c.cacheFrom
	if c.release {
		from = nil
	}
	if len(from) == 0 && c.cacheTo == (remote.Location{}) {
		return nil, nil
	}
	o := remote.Options{
		From: from, To: c.cacheTo, Have: store.OpenBlob,
		Warn: func(text string) { sink.Event(progress.Event{Kind: progress.Warning, Text: text}) },
	}
	if sys.ReadBack { // fake engines build no RPMs
		o.Accept = acceptRPMs
	}
	return remote.Open(o)
}

// closeRemote waits for the uploads and returns what there is to report.
func closeRemote(ctx context.Context, c *remote.Cache, sink progress.Sink) *progress.Traffic {
	if c == nil {
		return nil
	}
	last := -1
	c.Close(ctx, func(left int) {
		if left != last {
			sink.Event(progress.Event{Kind: progress.FetchProgress, Text: fmt.Sprintf("uploading results: %d left", left)})
		}
		last = left
	})
	s := c.Stats()
	return &progress.Traffic{
		Found: s.Hits, Fetched: s.Fetched, Pushed: s.Pushed, Down: s.Down, Up: s.Up,
	}
}

// wanted says whose outputs must be in place when the run ends: those that were asked for.
func (r request) wanted(s plan.Step) bool {
	if s.Kind == plan.Variant || s.Kind == plan.Repack || s.Kind == plan.Kit {
		return true
	}
	// A second build mounts the RPMs of all that its package needs, without a lookup.
	return r.verify || slices.Contains(r.packages, s.Name)
}

// The tags of an RPM's header that are held against its entry (rpm/include/rpm/rpmtag.h).
const (
	tagName      = 1000
	tagVersion   = 1001
	tagRelease   = 1002
	tagArch      = 1022
	tagSourceRPM = 1044
)

// acceptRPMs refuses RPMs that the step of an entry cannot have made: of another architecture, of another package (the
// source RPM they name is not one of that package), or with a file name that says something else than the header.
func acceptRPMs(e cache.Entry, open func(cache.File) (*os.File, error)) error {
	step, arch, _ := strings.Cut(e.Step, " ")
	kind, pkg, _ := strings.Cut(step, "/")
	if kind != string(plan.Package) && kind != string(plan.Kit) {
		return nil
	}
	for _, f := range e.Files {
		if !strings.HasSuffix(f.Name, ".rpm") {
			continue
		}
		file, err := open(f)
		if err != nil {
			return err
		}
		h, err := rpm.Read(file)
		_ = file.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		if kind == string(plan.Kit) { // Packages/<package>/<file>
			pkg = path.Base(path.Dir(f.Name))
		}
		if err := acceptRPM(h, path.Base(f.Name), pkg, arch); err != nil {
			return err
		}
	}
	return nil
}

func acceptRPM(h rpm.Header, file, pkg, arch string) error {
	first := func(tag int) string {
		if values := h[tag]; len(values) > 0 {
			return values[0]
		}
		return ""
	}
	if want := fmt.Sprintf("%s-%s-%s.%s.rpm", first(tagName), first(tagVersion), first(tagRelease), first(tagArch)); file != want {
		return fmt.Errorf("the file %s holds the RPM %s", file, want)
	}
	if a := first(tagArch); a != arch && a != "noarch" {
		return fmt.Errorf("%s is for %s and not for %s", file, a, arch)
	}
	// NAME-VERSION-RELEASE.src.rpm, where NAME is the package's with the prefix that the tree gives all of them.
	source := first(tagSourceRPM)
	for range 2 {
		source = source[:max(0, strings.LastIndexByte(source, '-'))]
	}
	if source != pkg && !strings.HasSuffix(source, "-"+pkg) {
		return fmt.Errorf("%s was built from the spec of %q and not from that of %s", file, source, pkg)
	}
	return nil
}
