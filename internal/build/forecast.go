// forecast: what a build would do and why, and how long it would take.

package build

import (
	"context"
	"time"

	"buildsys/internal/executor"
	"buildsys/internal/plan"
	"buildsys/internal/remote"
)

// Foresee plans a request and looks up each of its steps, without an engine and without changing
// anything. If ask is true it also asks the remote caches; otherwise it uses what they answered in
// earlier runs.
func (s *Session) Foresee(ctx context.Context, want Request, ask bool) ([]executor.Forecast,
	error) {
	want.Keyless = true // a plan takes no keys, and a clone has none
	p, err := s.Plan(ctx, want)
	if err != nil {
		return nil, err
	}
	for _, text := range append(p.Warnings[:len(p.Warnings):len(p.Warnings)], p.Lacks...) {
		s.warn(text)
	}
	store, err := s.openStore(s.out)
	if err != nil {
		return nil, err
	}
	keyed := s.images(p, nil, s.out).Recorded()
	var caches *remote.Cache
	if ask {
		c := s.c
		c.Remote.To = remote.Location{}
		if caches, err = s.with(c).openRemote(p, store, s.out); err != nil {
			return nil, err
		}
		defer caches.Close(ctx, nil)
		if there, ok := caches.FindSDK(ctx, s.c.SDK.Image); ok && keyed.SDK == "" {
			keyed.SDK = there.ID
		}
	}
	known := s.known(ctx, store, caches, keyed, nil)
	defer s.saveMemo(known.Memo)
	return executor.Foresee(ctx, p, known)
}

// Costs returns how long the steps of a plan take according to earlier builds, and for how many of
// them that is known. With unrecorded it is what a machine would guess that has built nothing.
func (s *Session) Costs(p plan.Plan, unrecorded bool) (
	cost func(plan.Step) time.Duration, known int, err error) {
	c := executor.Cache{Guess: s.guess()}
	if !unrecorded {
		if c.Store, err = s.openStore(silent{}); err != nil {
			return nil, 0, err
		}
	}
	cost, known = c.Costs(p)
	return cost, known, nil
}
