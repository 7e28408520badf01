// Text: the sink for pipes and CI logs, with one line for every event that tells something new.

package progress

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"buildsys/internal/bytesize"
)

// Text writes a line for each start and end of a step, for fetches and warnings, and once a minute
// one about what goes on, through a logrus logger. It is safe for concurrent use.
type Text struct {
	log     *logrus.Logger
	verbose bool

	mu      sync.Mutex
	steps   map[string]*textStep // those that began to run or to fetch, and have not ended
	plan    map[string]time.Duration
	end     time.Time            // when the run will have ended; zero if that is not known
	told    time.Time            // when the last line about what goes on was due
	note    string               // what the last one said besides steps
	at      string               // the newest count
	fetched map[string]time.Time // when a line was last written about a file on its way
}

// textStep is what a line about what goes on has of a step.
type textStep struct {
	started time.Time // when it was handed to the builder; zero if it was not
	waiting time.Time // when its oldest unfinished fetch began
	fetches int       // unfinished ones
	last    string    // line of output, as it came
}

// minute is the time between two lines about what goes on.
const minute = time.Minute

// NewText returns a Text that writes to log, whose formatter it sets; verbose adds every line of
// the steps' output.
func NewText(log *logrus.Logger, verbose bool) *Text {
	log.SetFormatter(Formatter{})
	return &Text{
		log: log, verbose: verbose,
		steps: map[string]*textStep{}, plan: map[string]time.Duration{},
		fetched: map[string]time.Time{},
	}
}

// Event shows e. It shows no files that were already in the source store.
func (t *Text) Event(e Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.Total > 0 {
		t.at = at(e)
	}
	name := Name(e.Step)
	switch e.Kind {
	case PlanReady:
		t.begin(e)
		t.log.Infof("%s", count(e.Total, "step"))
	case FetchStart, FetchDone, FetchRetry, FetchProgress:
		t.fetch(e, name)
	case StepStart:
		s := t.step(e.Step)
		s.started, s.last = e.Time, ""
		t.log.Infof("%s %s started (%d running)", at(e), name, len(e.Running))
	case StepLog:
		t.output(e, name)
	case RunForecast:
		t.end = e.Time.Add(e.Duration)
	case EngineReady, StepEngine: // they would be lines for few
	case Heartbeat:
		t.news(e)
	case Warning:
		t.log.Warn(prefix(name, Clean(e.Text)))
	case Notice:
		t.log.Info(prefix(name, Clean(e.Text)))
	case PlanDone: // the end report says it better
	default:
		t.ended(e, name)
	}
	t.goesOn(e)
}

// begin forgets an earlier run.
func (t *Text) begin(e Event) {
	t.told, t.end, t.note = e.Time, time.Time{}, ""
	clear(t.steps)
	clear(t.plan)
	if e.Plan == nil {
		return
	}
	for _, s := range e.Plan.Steps {
		if s.Known {
			t.plan[s.ID] = s.Expected
		}
	}
}

func (t *Text) step(id string) *textStep {
	s := t.steps[id]
	if s == nil {
		s = &textStep{}
		t.steps[id] = s
	}
	return s
}

// output shows or keeps a line of a step's output. It may come very often.
func (t *Text) output(e Event, name string) {
	if t.verbose {
		t.log.Infof("%s | %s", name, Clean(e.Text))
	} else if strings.TrimSpace(e.Text) != "" {
		t.step(e.Step).last = e.Text
	}
}

// ended shows the end of a step, or of a part of it.
func (t *Text) ended(e Event, name string) {
	switch e.Kind {
	case StepDone:
		t.log.Infof("%s %s done in %s (%d running)", at(e), name, Took(e.Duration), len(e.Running))
	case StepRestored:
		t.log.Infof("%s restored from the store", name)
	case StepFetched:
		t.step(e.Step).fetches--
		t.log.Infof("%s fetched from %s", name, Clean(e.Text))
		return
	case StepCached:
		if t.verbose {
			t.log.Infof("%s %s is up to date", at(e), name)
		}
	case StepFailed:
		t.log.Errorf("%s %s failed%s: %s", at(e), name, after(e.Duration), why(e))
	case StepSkipped:
		t.log.Warnf("%s %s skipped because %s failed", at(e), name, Name(e.Text))
	case StepCancelled:
		t.log.Warnf("%s %s stopped%s", at(e), name, after(e.Duration))
	case StepRetry:
		t.log.Warnf("%s is built again (%s): %s", name, Clean(e.Text), OneLine(e.Err))
		return
	default:
		return
	}
	delete(t.steps, e.Step)
}

// why returns why a step failed, in a line.
func why(e Event) string {
	if e.Cause != nil {
		return e.Cause.Line()
	}
	return OneLine(e.Err)
}

func (t *Text) fetch(e Event, name string) {
	switch e.Kind {
	case FetchStart:
		s := t.step(e.Step)
		if s.fetches == 0 {
			s.waiting = e.Time
		}
		s.fetches++
		if e.Text != "" {
			t.fetched[e.Step+" "+e.Text] = e.Time
			t.log.Info(prefix(name, "fetching "+Clean(e.Text)))
		}
	case FetchRetry:
		t.log.Warn(prefix(name, fmt.Sprintf("fetching again: %s: %s", Clean(e.Text), OneLine(e.Err))))
	case FetchProgress:
		file := e.Step + " " + e.Text
		if e.Bytes > 0 && e.Time.Sub(t.fetched[file]) < minute {
			return
		}
		t.fetched[file] = e.Time
		t.log.Info(prefix(name, Clean(e.Text)+amount(e)))
	case FetchDone:
		t.step(e.Step).fetches--
		delete(t.fetched, e.Step+" "+e.Text)
		t.log.Info(prefix(name, fmt.Sprintf("fetched %s in %s", Clean(e.Text), Took(e.Duration))))
	}
}

// amount returns how much of a file is here: ": 3.0 MiB of 10.2 MiB".
func amount(e Event) string {
	switch {
	case e.Size > 0:
		return ": " + bytesize.Format(e.Bytes) + " of " + bytesize.Format(e.Size)
	case e.Bytes > 0:
		return ": " + bytesize.Format(e.Bytes)
	}
	return ""
}

// news shows what a heartbeat says of the run as a whole, if it is new.
func (t *Text) news(e Event) {
	if e.Text != "" && e.Text != t.note {
		t.log.Infof("%s %s", at(e), Clean(e.Text))
	}
	t.note = e.Text
}

// goesOn shows, once a minute, the steps being worked on: for how long, of how long, and what they
// said last.
func (t *Text) goesOn(e Event) {
	if t.told.IsZero() || e.Time.Sub(t.told) < minute || e.Kind != Heartbeat && e.Kind != StepLog {
		return
	}
	t.told = e.Time
	var parts []string
	for _, id := range slices.Sorted(maps.Keys(t.steps)) {
		if text := t.steps[id].since(e.Time, t.plan[id]); text != "" {
			parts = append(parts, Name(id)+" "+text)
		}
	}
	if len(parts) == 0 {
		return
	}
	line := strings.Join(parts, ", ")
	if left := t.end.Sub(e.Time); left > 0 {
		line += "; about " + About(left) + " left"
	}
	t.log.Infof("%s still running: %s", t.at, line)
}

// since returns what a step does and for how long: `4m12s of ~14m "CC net/tcp.o"`.
func (s *textStep) since(now time.Time, expected time.Duration) string {
	switch {
	case s.started.IsZero() && s.fetches > 0:
		return Took(now.Sub(s.waiting)) + " (fetching)"
	case s.started.IsZero():
		return ""
	}
	text := Took(now.Sub(s.started))
	if expected > 0 {
		text += " of ~" + About(expected)
	}
	if s.last != "" {
		last := []rune(Clean(s.last))
		if len(last) > lastLine {
			last = append(last[:lastLine-1], '…')
		}
		text += " \"" + strings.TrimSpace(string(last)) + "\""
	}
	return text
}

// lastLine is how many characters of a step's last line are shown.
const lastLine = 60

// Formatter is a logrus formatter for people: the message alone, after the level if that is not
// info.
type Formatter struct{}

// Format implements logrus.Formatter.
func (Formatter) Format(e *logrus.Entry) ([]byte, error) {
	line := strings.TrimRight(e.Message, "\n") + "\n"
	if e.Level == logrus.InfoLevel {
		return []byte(line), nil
	}
	return []byte(e.Level.String() + ": " + line), nil
}

// at returns the running count, "[ 3/17]", in the same width for all steps.
func at(e Event) string {
	total := fmt.Sprint(e.Total)
	return fmt.Sprintf("[%*d/%s]", len(total), e.Done, total)
}

func after(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return " after " + Took(d)
}

func prefix(name, text string) string {
	if name == "" {
		return text
	}
	return name + ": " + text
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
