// Package report makes documents of runs that are kept: a page, a trace for other viewers, spans.
// It reads what package history has kept and is told by its caller what results consist of. Texts
// of others end in its documents escaped for their form.
package report

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"buildsys/internal/history"
	"buildsys/internal/progress"
	"buildsys/internal/safetext"
)

// Status is how a step ended in a run.
type Status string

// The statuses of a step.
const (
	Built     Status = "built"
	Failed    Status = "failed"
	Skipped   Status = "skipped" // what it needs failed
	Cancelled Status = "cancelled"
	UpToDate  Status = "up to date"
	Restored  Status = "restored" // from the store
	Fetched   Status = "fetched"  // from a remote cache
	Running   Status = "running"  // or the run was killed
	Waiting   Status = "waiting"
)

// File is an output of a step.
type File struct {
	Name string
	Size int64
}

// Span is a part of a run's time, since the run began.
type Span struct{ Start, End time.Duration }

// Took returns the length of the span.
func (s Span) Took() time.Duration { return s.End - s.Start }

// Download is something that was fetched for a step.
type Download struct {
	Span
	Name  string // of a file; empty for the outputs of the step
	Bytes int64
	Over  bool // it ended
}

// Step is one step of a run.
type Step struct {
	ID       string
	Status   Status
	Build    Span // zero if it was not built
	Engine   string
	Slot     int           // of those builds that the engine ran at the same time, from 0
	Expected time.Duration // as the last build took; 0 if there was none
	After    []int
	Reasons  []string
	Gets     []Download
	Critical bool // it is on the critical path
	ForSlot  bool // it waited for the slot of the one before it there
	Result
	Trouble
}

// Result is what came of a step.
type Result struct {
	Key     string
	Bytes   int64
	Files   []File
	Saved   time.Duration // by not building it
	Origin  string        // remote cache that its outputs were fetched from
	Objects string        // how much of it compilers had made in earlier builds
}

// Trouble is what went wrong with a step.
type Trouble struct {
	Err      string
	Cause    *progress.Cause
	Log      []string // the last lines of one that failed
	Skipper  string   // the step that failed, of a skipped one
	Retries  []string
	Warnings []string
}

// Model is a run, ready to be shown.
type Model struct {
	Run      history.Run
	Took     time.Duration
	Arch     string
	Engines  string // as they described themselves
	Jobs     int
	Steps    []Step
	Critical []int // the steps of the critical path, the first first
	Warnings []string
	Killed   bool // the run ended without an end
	// Parts are how the parts of its images and kits differ from those of the run that it is compared
	// with; the caller knows them.
	Parts []Parts

	index map[string]int
}

// Parts are how the parts of an image or kit differ from those of another run.
type Parts struct {
	Step  string
	Lines []string
	Left  string // what is not among the lines
}

// Sources tell what a run's record does not have.
type Sources struct {
	// Files returns the outputs of a step with a key, or nil if they are not known.
	Files func(step, key string) []File
}

// maxTail is how many lines of a failed step are shown, and maxTailBytes how many bytes of its log
// are looked at for them.
const (
	maxTail      = 200
	maxTailBytes = 256 << 10
)

// Limits of texts in a model.
const (
	maxWarnings = 500
	maxTexts    = 50 // reasons, retries, warnings of one step
)

// New reads a run.
func New(r history.Run, from Sources) (*Model, error) {
	m := &Model{Run: safeRun(r), Arch: r.Arch, Killed: r.Lost(), index: map[string]int{}}
	if err := r.Events(func(e progress.Event) { m.event(safeEvent(e)) }); err != nil {
		return nil, err
	}
	if r.End != nil {
		m.Took = max(m.Took, r.End.Ended.Sub(r.Began))
	}
	for i := range m.Steps {
		s := &m.Steps[i]
		if s.Build.End == 0 && s.Status == Running {
			s.Build.End = m.Took
		}
		if from.Files != nil && s.Key != "" {
			for _, f := range from.Files(s.ID, s.Key) {
				s.Files = append(s.Files, File{Name: safetext.Line(f.Name), Size: f.Size})
			}
		}
		if s.Status == Failed {
			s.Log = tail(r, s.ID)
		}
	}
	m.assignSlots()
	m.findCritical()
	return m, nil
}

// safeRun returns a run whose texts are safe to show. A page or a trace may go to a terminal, or
// into the log of a CI job.
func safeRun(r history.Run) history.Run {
	r.Command = slices.Clone(r.Command)
	for i, word := range r.Command {
		r.Command[i] = safetext.Line(word)
	}
	r.Root, r.Variant, r.Host = safetext.Line(r.Root), safetext.Line(r.Variant), safetext.Line(r.Host)
	if r.End != nil {
		end := *r.End
		end.Error, end.Left = safetext.Lines(end.Error), safetext.Lines(end.Left)
		r.End = &end
	}
	return r
}

// safeEvent returns an event whose texts are safe to show.
func safeEvent(e progress.Event) progress.Event {
	e.Text, e.Engine = safetext.Lines(e.Text), safetext.Line(e.Engine)
	if e.Err != nil {
		e.Err = errors.New(safetext.Lines(e.Err.Error()))
	}
	if c := e.Cause; c != nil {
		safe := *c
		safe.Phase, safe.Text = safetext.Line(c.Phase), safetext.Lines(c.Text)
		safe.Hint = safetext.Lines(c.Hint)
		e.Cause = &safe
	}
	return e
}

// tail returns the last lines that a step printed.
func tail(r history.Run, step string) []string {
	log, err := r.Log(step)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return []string{"the log cannot be read: " + err.Error()}
	}
	defer log.Close()
	last := &lastBytes{limit: maxTailBytes}
	if _, err := io.Copy(last, log); err != nil {
		return []string{"the log cannot be read: " + err.Error()}
	}
	lines := strings.Split(strings.TrimRight(string(last.data), "\n"), "\n")
	lines = lines[max(0, len(lines)-maxTail):]
	for i, line := range lines {
		lines[i] = progress.Clean(line)
	}
	return lines
}

// lastBytes keeps the last bytes that are written to it.
type lastBytes struct {
	data  []byte
	limit int
}

func (l *lastBytes) Write(p []byte) (int, error) {
	l.data = append(l.data, p...)
	if len(l.data) > 2*l.limit {
		l.data = slices.Clone(l.data[len(l.data)-l.limit:])
	}
	return len(p), nil
}

// at returns when an event happened.
func (m *Model) at(e progress.Event) time.Duration {
	at := max(0, e.Time.Sub(m.Run.Began))
	m.Took = max(m.Took, at)
	return at
}

func (m *Model) event(e progress.Event) {
	at := m.at(e)
	switch e.Kind {
	case progress.PlanReady:
		m.plan(e)
		return
	case progress.EngineReady:
		m.Engines, m.Jobs = e.Text, e.Jobs
		return
	case progress.Warning:
		if e.Step == "" && len(m.Warnings) < maxWarnings {
			m.Warnings = append(m.Warnings, e.Text)
		}
	}
	if e.Step == "" {
		return
	}
	m.step(e.Step).event(e, at)
}

// plan takes the steps of the plan. Those that it says to come before are only believed if they do.
func (m *Model) plan(e progress.Event) {
	if e.Plan == nil {
		return
	}
	m.Arch = cmp.Or(e.Plan.Arch, m.Arch)
	for i, p := range e.Plan.Steps {
		s := m.step(p.ID)
		if p.Known {
			s.Expected = p.Expected
		}
		for _, d := range p.After {
			if d >= 0 && d < i {
				s.After = append(s.After, m.index[e.Plan.Steps[d].ID])
			}
		}
	}
}

// step returns a step by its ID.
func (m *Model) step(id string) *Step {
	i, ok := m.index[id]
	if !ok {
		i = len(m.Steps)
		m.index[id] = i
		m.Steps = append(m.Steps, Step{ID: id, Status: Waiting})
	}
	return &m.Steps[i]
}

func add(texts []string, text string) []string {
	if len(texts) < maxTexts {
		texts = append(texts, text)
	}
	return texts
}

// event takes an event of the step.
func (s *Step) event(e progress.Event, at time.Duration) {
	switch e.Kind {
	case progress.FetchStart:
		s.Gets = append(s.Gets, Download{Name: e.Text, Span: Span{at, at}})
	case progress.FetchProgress, progress.FetchRetry, progress.FetchDone:
		s.got(e, at)
	case progress.StepStart:
		s.Status, s.Build = Running, Span{Start: at}
		s.Reasons, s.Retries = nil, nil // it may begin a second time
	case progress.StepReason:
		s.Reasons = add(s.Reasons, e.Text)
	case progress.StepObjects:
		s.Objects = e.Text
	case progress.StepEngine:
		s.Engine = cmp.Or(e.Engine, e.Text)
	case progress.StepRetry:
		s.Retries = add(s.Retries, e.Text+": "+text(e.Err))
	case progress.Warning:
		s.Warnings = add(s.Warnings, e.Text)
	case progress.StepRestored:
		s.Status = Restored
	case progress.StepFetched:
		s.Status, s.Origin = Fetched, e.Text
		s.got(progress.Event{Kind: progress.FetchDone}, at)
	default:
		s.ended(e, at)
	}
}

// ended takes the end of the step.
func (s *Step) ended(e progress.Event, at time.Duration) {
	switch e.Kind {
	case progress.StepDone:
		s.Status, s.Key, s.Bytes = Built, e.Text, e.Bytes
	case progress.StepCached:
		if s.Status != Restored && s.Status != Fetched {
			s.Status = UpToDate
		}
		s.Key, s.Bytes, s.Saved = e.Text, e.Bytes, e.Duration
		return
	case progress.StepFailed:
		s.Status, s.Err, s.Cause = Failed, text(e.Err), e.Cause
	case progress.StepSkipped:
		s.Status, s.Skipper = Skipped, e.Text
	case progress.StepCancelled:
		s.Status = Cancelled
	default:
		return
	}
	if s.Build != (Span{}) || s.Status == Built {
		s.Build.End = at
	}
}

// got notes how far the newest download with a name is, or that it has ended.
func (s *Step) got(e progress.Event, at time.Duration) {
	for i := range slices.Backward(s.Gets) {
		g := &s.Gets[i]
		if g.Name == e.Text || e.Kind == progress.FetchProgress && strings.HasPrefix(e.Text, g.Name) {
			g.End, g.Bytes = at, max(g.Bytes, e.Bytes)
			g.Over = e.Kind == progress.FetchDone
			return
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// ran reports whether there was a build of the step.
func (s Step) ran() bool { return s.Build != (Span{}) }

// Whole returns the time from the first that was done for the step to the last; zero if nothing was
// done.
func (s Step) Whole() Span {
	whole := s.Build
	for _, g := range s.Gets {
		if whole == (Span{}) {
			whole = g.Span
		}
		whole.Start, whole.End = min(whole.Start, g.Start), max(whole.End, g.End)
	}
	return whole
}
