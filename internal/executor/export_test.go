// Internals for tests outside the package.

package executor

import (
	"context"
	"time"

	"buildsys/internal/plan"
)

// SetCost sets the expected durations of steps.
func (o *Options) SetCost(cost func(plan.Step) time.Duration) { o.cost = cost }

// SetRecorded sets the durations of earlier builds, and the clock.
func (o *Options) SetRecorded(recorded map[string]time.Duration, now func() time.Time) {
	o.estimate, o.now = estimateOf(recorded), now
}

// SetSleep sets what waits before a retry.
func (o *Options) SetSleep(sleep func(context.Context, time.Duration) error) { o.sleep = sleep }

// NoSync returns o without syncs to disk, for tests of many runs in which a power cut does not
// matter.
func (o Options) NoSync() Options {
	o.hooks.Sync = func(string) error { return nil }
	return o
}
