// examine: collects what the doctor checks.

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
	"buildsys/internal/network"
	"buildsys/internal/plan"
	"buildsys/internal/remote"
)

// Examine asks the engine, without waiting for it, and returns what the doctor is to check.
func (s *Session) Examine(ctx context.Context) doctor.Request {
	c := s.c
	c.Engine.Wait = 0
	e := &engineLink{s: s.with(c)}
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
	if _, r.Engine.SDKErr = images.Find(ctx, e.eng); r.Engine.SDKErr != nil && s.sharedSDK(ctx) {
		r.Engine.SDK += ": in a remote cache; fetched when a step needs it"
		r.Engine.SDKErr = nil
	}
	return r
}

// unreachable returns what is to check without an engine.
func (s *Session) unreachable(err error) doctor.Request {
	r := s.examined(engine.Info{})
	r.Servers = s.servers()
	r.Engine = doctor.Engine{SDK: s.c.SDK.Image, Err: err}
	if e, ok := errors.AsType[*engine.Error](err); ok {
		r.Engine.Err, r.Engine.Fix = fmt.Errorf("no %s at %s: %w", e.Kind, e.Host, e.Err), e.Hint
	}
	return r
}

// examined returns what the doctor's quick checks need.
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

// engineFacts returns what the doctor needs of what an engine reported.
func engineFacts(i engine.Info) doctor.Engine {
	return doctor.Engine{
		Kind: i.Kind, Host: i.Host, Local: i.Local, Version: i.Version, API: i.API,
		CPUs: i.CPUs, Memory: i.Memory, Driver: i.Driver, RootDir: i.RootDir,
	}
}

// The space that a build is expected to need if nothing was recorded: the RPMs and images of Skiff
// take less than 1 GiB and its sources 300 MB, and the store keeps all of it once more.
const (
	checkoutNeed = 2 << 30
	cacheNeed    = 4 << 30
	tempNeed     = 256 << 20
	leastSpace   = 100 << 20
	leastTemp    = 16 << 20
)

// places returns the directories that this process writes to. A checkout that was built shows how
// large its outputs are. It needs as much once more, because outputs are made beside the old ones,
// and so does the store.
func (s *Session) places() []doctor.Place {
	var built int64
	for _, dir := range s.dir.AllOutputs() {
		built += treeSize(dir)
	}
	checkout, cache := int64(checkoutNeed), int64(cacheNeed)
	if built > 0 {
		checkout, cache = max(built, leastSpace), max(2*built, leastSpace)
	}
	return []doctor.Place{
		{Name: "checkout", Path: s.dir.Root, Need: checkout, Min: leastSpace, Locks: true},
		{Name: "cache", Path: string(s.c.CacheDir), Need: cache, Min: leastSpace, Locks: true},
		{Name: "temporary files", Path: os.TempDir(), Need: tempNeed, Min: leastTemp},
	}
}

// treeSize returns the total size of the files below a directory, without those that cannot be
// read.
func treeSize(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil // this is only an estimate
		}
		if info, err := entry.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

// servers returns the servers that a build may ask.
func (s *Session) servers() []doctor.Server {
	var all []doctor.Server
	for _, place := range s.c.Sources.Lookaside {
		server := lookasideServer(place, place == s.c.CacheDir.Lookaside())
		if !s.c.Sources.Private && !s.c.Sources.PrivateLookaside {
			server.Reach = network.PublicOnly
		}
		all = append(all, server)
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

// lookasideServer returns a lookaside cache. The default one is a directory that need not be there.
func lookasideServer(place string, byDefault bool) doctor.Server {
	s := doctor.Server{Name: "lookaside " + place, Fix: "sources that are not cached yet " +
		"cannot be fetched from it: check the address and the network"}
	if strings.Contains(place, "://") {
		s.URL = strings.TrimSuffix(place, "/") + "/"
		return s
	}
	s.Probe = func(context.Context) error {
		info, err := os.Stat(place)
		if byDefault && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
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
		s.Fix = strings.TrimPrefix(s.Fix+"; builds work without it, but start cold", "; ")
	}
	return s
}
