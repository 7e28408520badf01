// record: keeps each run of steps, for 'buildsys runs', log and report.

package build

import (
	"context"
	"fmt"
	"time"

	"buildsys/internal/errkind"
	"buildsys/internal/executor"
	"buildsys/internal/history"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/safetext"
)

// Runs returns the runs that are kept of all checkouts of this user.
func (s *Session) Runs() history.Dir { return history.Dir{Path: s.c.CacheDir.Runs(s.c.Shared)} }

// record begins the record of a run of the steps of a plan.
func (s *Session) record(p plan.Plan, o stepsOptions) *history.Recorder {
	return s.Runs().Start(history.Begin{
		Root: s.c.Root, Command: withoutLogins(s.command), Arch: p.Arch, Variant: s.c.Variant,
		Unit: o.unit, Again: o.second, Began: time.Now(),
	}, s.out)
}

// withoutLogins returns the arguments of a command without the logins in URLs, and without those
// for another program, which may have passwords of any form: shell NAME -- COMMAND.
func withoutLogins(args []string) []string {
	var clean []string
	for _, a := range args {
		if a == "--" {
			return append(clean, "--", "…")
		}
		clean = append(clean, safetext.WithoutLogins(a))
	}
	return clean
}

// recorded ends the record of a run, and removes old ones from time to time.
func (s *Session) recorded(ctx context.Context, run *history.Recorder, remote *progress.Traffic,
	err error) {
	id := run.ID()
	end := history.End{Outcome: outcome(ctx, err), Remote: remote}
	if err != nil {
		end.Error = err.Error()
	}
	idle := run.End(end)
	if id != 0 && s.ended != nil {
		r, err := s.Runs().Open(id)
		if err == nil {
			err = s.ended(ctx, r)
		}
		if err != nil {
			s.warn(fmt.Sprintf("the trace of this run is not sent: %v", err))
		}
	}
	// Most runs have nothing to do, and looking through all of them takes longer than those.
	if id == 0 || idle && id%trimRunsEvery != 0 {
		return
	}
	if _, err := s.Runs().Trim(history.Usual, time.Now()); err != nil {
		s.warn(fmt.Sprintf("cannot remove old runs: %v", err))
	}
}

// trimRunsEvery is how many runs with nothing to do pass before old ones are removed.
const trimRunsEvery = 20

func outcome(ctx context.Context, err error) history.Outcome {
	switch {
	case err == nil:
		return history.Success
	case ctx.Err() != nil:
		return history.Cancelled
	case errkind.Is[*executor.FailedError](err):
		return history.Failure
	}
	return history.Broken
}
