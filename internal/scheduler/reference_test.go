// The reference of the model test: a run as a set of facts, without queues, counts or marks. It
// computes everything anew each time by walking over all steps.

package scheduler

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"
)

// belief is what the reference knows about a step.
type belief int

const (
	isUnknown belief = iota // not looked up yet, or has to be looked up again
	isMissing               // has to be built
	isWanted                // its outputs are remote, and wanted
	isFar                   // cached; its outputs are remote
	isHere                  // cached
	isBuilt
	isFailed
	isSkipped
	isCancelled
)

func (b belief) status() Status {
	return map[belief]Status{isFar: Cached, isHere: Cached, isBuilt: Done,
		isFailed: Failed, isSkipped: Skipped, isCancelled: Cancelled}[b]
}

// well reports whether a step ended well.
func (b belief) well() bool { return b == isFar || b == isHere || b == isBuilt }

// ref is a step of the reference.
type ref struct {
	Step
	fate
	below []bool // the steps that it comes after, directly or through others
	uses  []int
	path  time.Duration

	belief belief
	news   bool // it ended in this event, perhaps not for the first time
	root   int
	asked  bool // its outputs are remote and needed here

	files struct{ wanted, here, failed bool }

	key      string   // of its last lookup
	known    bool     // it has ended well at least once
	content  string   // of its outputs then
	checkout string   // content of what is in the checkout
	stored   []string // keys of the outputs that were built here
}

// model is a run of both the machine and the reference.
type model struct {
	rnd      *rand.Rand
	m        *Machine
	limits   Limits
	refs     []ref
	running  []job
	prepared bool
	fatal    bool // nothing can be built

	cancelled bool
	slow      DecisionKind // jobs that tend to end after others
}

func (r *model) stopped() bool { return r.cancelled || r.fatal }

// keyOf returns the key of a step: the contents of the outputs that it uses. "" is the key in a run
// where nothing drifts.
func (r *model) keyOf(i int) string {
	h, drifted := fnv.New64(), false
	for _, u := range r.refs[i].uses {
		fmt.Fprint(h, u, r.refs[u].content, " ")
		drifted = drifted || r.refs[u].content != ""
	}
	if !drifted {
		return ""
	}
	return fmt.Sprintf("%x", h.Sum64())
}

// made returns the content of the outputs that a step has for a key.
func (s *ref) made(key string) string {
	if s.drifts && slices.Contains(s.stored, key) {
		return "drifted " + key
	}
	return key
}

// answer returns what a lookup with a key finds.
func (s *ref) answer(key string) Found {
	switch {
	case slices.Contains(s.stored, key):
		return Here
	case key == "":
		return s.fate.answer
	}
	return Missing
}

// book applies an event.
func (r *model) book(e Event, j job) {
	s := &r.refs[e.Step]
	switch e.Kind {
	case Cancel:
		r.cancelled = true
	case Abandoned:
		for _, j := range r.running {
			if j.kind == Build && !j.stale {
				r.end(j.step, isCancelled)
			}
		}
		r.running = nil
	case Prepared:
		r.prepared, r.limits.Builds = true, e.Jobs
		r.fatal = r.fatal || e.Err != nil
	case Fetched:
		s.files.here, s.files.failed = e.Err == nil, e.Err != nil
		if s.files.failed && s.belief == isMissing && !r.fatal {
			r.fail(e.Step)
		}
	case LookedUp:
		if e.Err == nil && e.Found == Here {
			s.checkout = s.made(j.key)
		}
		if !j.stale {
			r.lookedUp(e)
		}
	case Placed:
		if e.Err == nil && e.Found == Here {
			s.checkout = s.made(j.key)
			s.stored = append(s.stored, j.key)
			s.drifts = false // the remote outputs are in the store now
		}
		if !j.stale {
			r.placed(e)
		}
	case Finished:
		r.fatal = r.fatal || e.Fatal
		if e.Err == nil {
			s.stored = append(s.stored, j.key)
			s.checkout = s.made(j.key)
		}
		if !j.stale {
			r.built(e)
		}
	}
}

func (r *model) lookedUp(e Event) {
	s := &r.refs[e.Step]
	switch {
	case e.Err != nil:
		r.fail(e.Step)
	case e.Found == Missing:
		r.miss(e.Step)
	case e.Found == Here:
		r.end(e.Step, isHere)
	case s.Wanted:
		s.belief = isWanted
	default:
		r.end(e.Step, isFar)
	}
}

func (r *model) placed(e Event) {
	s := &r.refs[e.Step]
	s.asked = false
	switch {
	case e.Err != nil:
		r.fail(e.Step)
	case e.Found == Here && s.belief == isFar:
		s.belief = isHere
	case e.Found == Here:
		r.end(e.Step, isHere)
	default:
		s.fate.answer = Missing
		if s.belief == isFar {
			r.sendBack(e.Step)
		}
		r.miss(e.Step)
	}
}

func (r *model) built(e Event) {
	if e.Err != nil {
		r.fail(e.Step)
		return
	}
	r.end(e.Step, isBuilt)
}

func (r *model) end(i int, b belief) {
	s := &r.refs[i]
	s.belief, s.news = b, true
	if b.well() {
		s.known, s.content = true, s.made(s.key)
	}
}

func (r *model) fail(i int) {
	if r.cancelled {
		r.end(i, isCancelled)
		return
	}
	r.end(i, isFailed)
	r.skipAbove(i, i)
}

func (r *model) skipAbove(i, root int) {
	for d := range r.refs {
		if s := &r.refs[d]; s.below[i] && s.belief.status() == 0 {
			r.end(d, isSkipped)
			s.root = root
			r.spoil(d)
		}
	}
}

// spoil marks the job of a step as one whose end does not count.
func (r *model) spoil(i int) {
	for at, j := range r.running {
		if j.step == i && j.kind != Fetch && j.kind != Prepare {
			r.running[at].stale = true
		}
	}
}

func (r *model) sendBack(i int) {
	for d := range r.refs {
		s := &r.refs[d]
		if s.below[i] && s.belief != isFailed && s.belief != isSkipped && s.belief != isCancelled {
			s.belief, s.asked = isUnknown, false
			r.spoil(d)
			r.skipBroken(d)
		}
	}
}

// skipBroken skips a step that was sent back if a step it waits for has failed.
func (r *model) skipBroken(d int) {
	for _, a := range r.refs[d].After {
		switch after := &r.refs[a]; after.belief {
		case isFailed:
			r.end(d, isSkipped)
			r.refs[d].root = a
			return
		case isSkipped:
			r.end(d, isSkipped)
			r.refs[d].root = after.root
			return
		}
	}
}

func (r *model) miss(i int) {
	s := &r.refs[i]
	s.belief = isMissing
	if s.files.failed {
		r.fail(i)
		return
	}
	for _, u := range s.uses {
		switch used := &r.refs[u]; used.belief {
		case isFar:
			used.asked = true
		case isFailed:
			r.end(i, isSkipped)
			s.root = u
			r.skipAbove(i, u)
			return
		}
	}
	for d := range r.refs {
		if d == i || r.refs[d].below[i] {
			r.refs[d].files.wanted = true
		}
	}
}

func (r *model) count(kind DecisionKind) (n int) {
	for _, j := range r.running {
		if j.kind == kind {
			n++
		}
	}
	return n
}

func (r *model) busy(i int) bool {
	return slices.ContainsFunc(r.running, func(j job) bool {
		return j.step == i && j.kind != Fetch && j.kind != Prepare
	})
}

// may reports whether a job of a step can begin, apart from the limit and the order.
func (r *model) may(kind DecisionKind, i int) bool {
	s := &r.refs[i]
	switch kind {
	case LookUp:
		for j, b := range s.below {
			// A step that failed after it had ended well is known all the same.
			if j := r.refs[j]; b && !j.belief.well() && !(j.belief == isFailed && j.known) {
				return false
			}
		}
		return s.belief == isUnknown && !r.busy(i)
	case Fetch:
		fetching := slices.ContainsFunc(r.running, func(j job) bool {
			return j.kind == Fetch && j.step == i
		})
		return s.Files && s.files.wanted && s.belief.status() == 0 &&
			!s.files.here && !s.files.failed && !fetching
	case Place:
		return (s.belief == isWanted || s.belief == isFar && s.asked) && !r.busy(i)
	case Build:
		for _, u := range s.uses {
			if b := r.refs[u].belief; b != isHere && b != isBuilt {
				return false
			}
		}
		return s.belief == isMissing && (s.files.here || !s.Files) && !r.busy(i)
	}
	return false
}

// path returns the cost of the costliest path from a step to the end.
func (r *model) path(i int) (cost time.Duration) {
	for d := i + 1; d < len(r.refs); d++ {
		if slices.Contains(r.refs[d].After, i) {
			cost = max(cost, r.refs[d].path)
		}
	}
	return cost + r.refs[i].Cost
}

// before reports whether step i comes before step j in the order.
func (r *model) before(i, j int) bool {
	pi, pj := r.refs[i].path, r.refs[j].path
	return pi > pj || pi == pj && i < j
}

// next returns the step for which a job of a kind should begin now.
func (r *model) next(kind DecisionKind) (best int, ok bool) {
	l := map[DecisionKind]int{LookUp: r.limits.Lookups, Fetch: r.limits.Fetches,
		Place: r.limits.Places, Build: r.limits.Builds}
	if r.stopped() || r.count(kind) >= l[kind] {
		return 0, false
	}
	for i := range r.refs {
		if r.may(kind, i) && (!ok || r.before(i, best)) {
			best, ok = i, true
		}
	}
	if ok && kind == Build && slices.ContainsFunc(r.running, func(j job) bool {
		return j.kind == LookUp && r.before(j.step, best)
	}) {
		return 0, false
	}
	return best, ok
}

// allow begins the job that was decided on, or says why it must not begin.
func (r *model) allow(d Decision) error {
	s := &r.refs[d.Step]
	switch d.Kind {
	case StopFetch:
		for at, j := range r.running {
			if j.kind == Fetch && j.step == d.Step {
				r.running[at].stale = true
				return nil
			}
		}
		return errors.New("its files are not being fetched")
	case Prepare:
		wanted := false
		for i := range r.refs {
			wanted = wanted || r.may(Build, i)
		}
		if !wanted || r.prepared || r.count(Prepare) > 0 || r.limits.Builds != 0 || r.stopped() {
			return errors.New("not now")
		}
	default:
		if i, ok := r.next(d.Kind); !ok || i != d.Step {
			return fmt.Errorf("want step %d (%v)", i, ok)
		}
	}
	if d.Kind == LookUp {
		s.key = r.keyOf(d.Step)
	}
	if d.Kind == Build {
		if slices.Contains(s.stored, s.key) {
			return errors.New("it was built with this key before")
		}
		if s.key != r.keyOf(d.Step) {
			return errors.New("its key has changed meanwhile")
		}
		for _, u := range s.uses {
			if used := r.refs[u]; used.checkout != used.content {
				return fmt.Errorf("it uses step %d: checkout has %q, want %q", u, used.checkout, used.content)
			}
		}
	}
	r.running = append(r.running, job{d.Kind, d.Step, s.key, false})
	return nil
}

// complete reports a job that should have begun but did not.
func (r *model) complete() error {
	for _, kind := range []DecisionKind{LookUp, Fetch, Place, Build} {
		if i, ok := r.next(kind); ok {
			return fmt.Errorf("a job of kind %d should have begun for step %d", kind, i)
		}
	}
	for i := range r.refs {
		if r.may(Build, i) && r.limits.Builds == 0 && r.count(Prepare) == 0 && !r.stopped() {
			return fmt.Errorf("step %d waits for a builder that is not being prepared", i)
		}
		stopped := r.stopped() || r.refs[i].belief == isSkipped
		for _, j := range r.running {
			if j.kind == Fetch && j.step == i && j.stale != stopped {
				return fmt.Errorf("the fetch of step %d is stopped: %v", i, j.stale)
			}
		}
	}
	return nil
}
