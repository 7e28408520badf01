// model: the state of a run as the view needs it, made from events.

package live

import (
	"slices"
	"strings"
	"time"

	"buildsys/internal/progress"
)

// state is what happens with a step.
type state int

const (
	waiting state = iota
	fetching
	running
	built
	cached // its outputs were known
	failed
	ended // skipped or cancelled
)

// step is what is known of one step.
type step struct {
	name     string
	expected time.Duration
	known    bool
	state    state
	begin    time.Time // of what it does
	took     time.Duration
	files    []file // that it waits for
	phase    string // of rpmbuild
	last     string // line of output, as it came
	engine   string
}

// file is something on its way.
type file struct {
	name        string
	bytes, size int64
}

// model is the state of a run. It shows nothing and knows no clock.
type model struct {
	planned bool // a plan was seen; without one only files are fetched
	title   string
	arch    string
	begin   time.Time
	engine  string
	note    string    // work that belongs to no step
	end     time.Time // when the run will have ended; zero if that is not known
	steps   map[string]*step
	active  []*step // fetched for or running, in the order of their begins
	causes  []string
	done    int
	total   int
}

func newModel() *model { return &model{steps: map[string]*step{}} }

// of returns the step of an event, which a run without a plan does not announce.
func (m *model) of(e progress.Event) *step {
	s := m.steps[e.Step]
	if s == nil {
		s = &step{name: progress.Name(e.Step)}
		m.steps[e.Step] = s
	}
	return s
}

// event books an event.
func (m *model) event(e progress.Event) {
	if m.begin.IsZero() {
		m.begin = e.Time
	}
	if e.Total > 0 {
		m.done, m.total = e.Done, e.Total
	}
	switch e.Kind {
	case progress.PlanReady:
		m.plan(e)
	case progress.EngineReady:
		m.engine, m.note = e.Text, ""
	case progress.RunForecast:
		m.end = e.Time.Add(e.Duration)
	case progress.Heartbeat:
		m.note = e.Text
	case progress.FetchStart, progress.FetchProgress, progress.FetchDone:
		m.fetch(e)
	case progress.StepStart:
		s := m.of(e)
		m.enter(s, running, e.Time)
		s.phase, s.last, s.engine, m.note = "", "", "", ""
	case progress.StepLog:
		m.of(e).line(e.Text)
	case progress.StepEngine:
		m.of(e).engine = e.Engine
	case progress.StepRetry:
		m.of(e).last = "built again: " + e.Text
	default:
		m.ended(e)
	}
}

// plan begins anew with a plan.
func (m *model) plan(e progress.Event) {
	*m = model{planned: true, begin: e.Time, engine: m.engine, total: e.Total,
		steps: map[string]*step{}}
	if e.Plan == nil {
		return
	}
	m.arch = e.Plan.Arch
	for _, p := range e.Plan.Steps {
		m.steps[p.ID] = &step{name: progress.Name(p.ID), expected: p.Expected, known: p.Known}
		m.title = progress.Name(p.ID) // the last one is what the others are for
	}
}

// enter makes a step an active one.
func (m *model) enter(s *step, to state, at time.Time) {
	if s.state != fetching && s.state != running {
		m.active = append(m.active, s)
	}
	if s.state != to {
		s.begin = at
	}
	s.state = to
}

// leave books the end of what a step did.
func (m *model) leave(s *step, to state) {
	s.state, s.files = to, nil
	m.active = slices.DeleteFunc(m.active, func(a *step) bool { return a == s })
}

// ended books the ends of steps.
func (m *model) ended(e progress.Event) {
	switch e.Kind {
	case progress.StepDone:
		s := m.of(e)
		m.leave(s, built)
		s.took = e.Duration
	case progress.StepCached:
		m.leave(m.of(e), cached)
	case progress.StepRestored, progress.StepFetched:
		if s := m.of(e); s.state == fetching {
			m.leave(s, waiting)
		}
	case progress.StepFailed:
		s := m.of(e)
		m.leave(s, failed)
		m.causes = append(m.causes, s.name+": "+cause(e))
	case progress.StepSkipped, progress.StepCancelled:
		m.leave(m.of(e), ended)
	}
}

// cause returns why a step failed, as shortly as it can be said.
func cause(e progress.Event) string {
	switch {
	case e.Cause != nil:
		return e.Cause.Line()
	case e.Err != nil:
		first, _, _ := strings.Cut(strings.TrimSpace(e.Err.Error()), "\n")
		return first
	}
	return "failed"
}

// fetch books what is on its way to a step, or to the run.
func (m *model) fetch(e progress.Event) {
	if e.Step == "" {
		m.note = e.Text
		if e.Kind == progress.FetchDone {
			m.note = ""
		}
		return
	}
	s := m.of(e)
	name := e.Text
	if name == "" {
		name = "outputs"
	}
	at := slices.IndexFunc(s.files, func(f file) bool {
		rest, ok := strings.CutPrefix(name, f.name)
		return ok && (rest == "" || rest[0] == ':' || rest[0] == ' ') // "a.tar.gz: 3 of 10 MiB"
	})
	switch e.Kind {
	case progress.FetchStart:
		if s.state != running { // its files may come while others build
			m.enter(s, fetching, e.Time)
		}
		if at < 0 {
			s.files = append(s.files, file{name: name})
		}
	case progress.FetchProgress:
		if at >= 0 {
			s.files[at].bytes, s.files[at].size = e.Bytes, e.Size
		}
	case progress.FetchDone:
		if at >= 0 {
			s.files = slices.Delete(s.files, at, at+1)
		}
		if len(s.files) == 0 && s.state == fetching {
			m.leave(s, waiting)
		}
	}
}

// line takes a line of a step's output. It may come very often.
func (s *step) line(text string) {
	if phase, ok := progress.Phase(text); ok {
		s.phase = phase
		return
	}
	if strings.TrimSpace(text) != "" {
		s.last = text
	}
}

// late reports whether a step runs for longer than it should have taken.
func (s *step) late(now time.Time) bool {
	return s.state == running && s.known && now.Sub(s.begin) > s.expected+s.expected/10
}

// late reports whether a step is late: then nobody knows when the run will have ended.
func (m *model) late(now time.Time) bool {
	return slices.ContainsFunc(m.active, func(s *step) bool { return s.late(now) })
}

// work returns how much of the run's work is done and how much there is, by expected durations. A
// step that nobody has built yet counts as others do, and without any durations all steps count
// the same. What came from a cache is no work.
func (m *model) work(now time.Time) (done, all time.Duration) {
	for _, s := range m.steps {
		expected := s.expected
		if expected == 0 {
			expected = time.Second
		}
		switch s.state {
		case cached:
			continue
		case running:
			if s.expected > 0 {
				done += min(max(now.Sub(s.begin), 0), expected*19/20) // it is not done yet
			}
		case built, failed, ended:
			done += expected
		}
		all += expected
	}
	return done, all
}

// saved returns how many steps came from a cache, and how long they once took.
func (m *model) saved() (n int, took time.Duration) {
	for _, s := range m.steps {
		if s.state == cached {
			n++
			if s.known {
				took += s.expected
			}
		}
	}
	return n, took
}
