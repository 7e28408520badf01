// Examine: what the doctor is asked about the surroundings of a build.

package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"buildsys/internal/doctor"
	"buildsys/internal/engine"
	"buildsys/internal/plan"
	"buildsys/internal/remote"
)

// Examine asks the engine, without waiting for one, and returns what the doctor is to look at.
func (s *Session) Examine(ctx context.Context) doctor.Request {
	quick := *s
	quick.c.Engine.Wait = 0
	e := &engineLink{s: &quick}
	defer e.close()
	if err := e.dial(ctx); err != nil {
		return s.unreachable(err)
	}
	info, err := e.eng.Info(ctx)
	r := s.examined(info)
	r.Servers = s.servers()
	r.Engine.Err = err
	r.Engine.SDK = s.c.SDK.Image
	r.Engine.SDKMay = len(s.c.Remote.From) > 0 && !s.c.Remote.Release
	if err != nil {
		return r
	}
	images := s.images(plan.Plan{}, nil, s.out)
	if _, r.Engine.SDKErr = images.Find(ctx, e.eng); r.Engine.SDKErr != nil && s.SharedSDK(ctx) {
		r.Engine.SDK += ": in a remote cache, and fetched when a step needs it"
		r.Engine.SDKErr = nil
	}
	return r
}

// unreachable is what there is to look at without an engine.
func (s *Session) unreachable(err error) doctor.Request {
	r := s.examined(engine.Info{})
	r.Nodes, r.Servers = nil, s.servers()
	r.Engine = doctor.Engine{SDK: s.c.SDK.Image, Err: err}
	if e, ok := errors.AsType[*engine.Error](err); ok {
		r.Engine.Err, r.Engine.Fix = fmt.Errorf("no %s at %s: %w", e.Kind, e.Host, e.Err), e.Hint
	}
	return r
}

// examined is what the doctor's quick checks need.
func (s *Session) examined(info engine.Info) doctor.Request {
	r := doctor.Request{Engine: engineFacts(info), Places: s.places(), Jobs: s.c.Jobs}
	for _, n := range info.Nodes {
		e := engineFacts(n.Info)
		if n.Err != nil {
			e.Err = fmt.Errorf("%s: %w", n.Host, n.Err)
		}
		r.Nodes = append(r.Nodes, e)
	}
	return r
}

// engineFacts is what the engine said, as the doctor reads it.
func engineFacts(i engine.Info) doctor.Engine {
	return doctor.Engine{
		Kind: i.Kind, Host: i.Host, Local: i.Local, Version: i.Version, API: i.API,
		CPUs: i.CPUs, Memory: i.Memory, Driver: i.Driver, RootDir: i.RootDir,
	}
}

// Space that a build is expected to need where nothing was recorded: Skiff's RPMs and images take
// less than one GiB, its sources 300 MB, and everything is kept once more in the store.
const (
	checkoutNeed = 2 << 30
	cacheNeed    = 4 << 30
	tempNeed     = 256 << 20
	leastSpace   = 100 << 20
	leastTemp    = 16 << 20
)

// places are where this process writes. A checkout that was built says itself how large its outputs
// are: as much is needed once more, for outputs are made beside the old ones, and in the store.
func (s *Session) places() []doctor.Place {
	built := treeSize(filepath.Join(s.dir.Root, "rpms")) +
		treeSize(filepath.Join(s.dir.Root, "images"))
	checkout, cache := int64(checkoutNeed), int64(cacheNeed)
	if built > 0 {
		checkout, cache = max(built, leastSpace), max(2*built, leastSpace)
	}
	return []doctor.Place{
		{Name: "checkout", Path: s.dir.Root, Need: checkout, Min: leastSpace},
		{Name: "cache", Path: s.c.CacheDir, Need: cache, Min: leastSpace},
		{Name: "temporary files", Path: os.TempDir(), Need: tempNeed, Min: leastTemp},
	}
}

// treeSize adds up the files below a directory; what cannot be read does not count.
func treeSize(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil // it is an estimate
		}
		if info, err := entry.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

// servers are what a build may ask on the network.
func (s *Session) servers() []doctor.Server {
	var all []doctor.Server
	for _, place := range s.c.Sources.Lookaside {
		all = append(all, lookasideServer(place))
	}
	seen := map[string]bool{}
	for _, place := range append(slices.Clone(s.c.Remote.From), s.c.Remote.To) {
		if place == (remote.Location{}) || seen[place.String()] {
			continue
		}
		seen[place.String()] = true
		all = append(all, cacheServer(place))
	}
	return all
}

func lookasideServer(place string) doctor.Server {
	s := doctor.Server{Name: "lookaside " + place, Fix: "sources that are not in the cache yet " +
		"cannot be had from it: check the address and the network"}
	if strings.Contains(place, "://") {
		s.URL = strings.TrimSuffix(place, "/") + "/"
		return s
	}
	s.Probe = func(context.Context) error {
		info, err := os.Stat(place)
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is not a directory", place)
		}
		return err
	}
	return s
}

func cacheServer(place remote.Location) doctor.Server {
	s := doctor.Server{Name: "remote cache " + place.String(), Fix: doctor.HubHint(place.Host)}
	s.Probe = func(ctx context.Context) error { return remote.Probe(ctx, place) }
	if place.Host != "" && !place.Plain {
		s.Fix = strings.TrimPrefix(s.Fix+"; builds go on without it, but start cold", "; ")
	}
	return s
}
