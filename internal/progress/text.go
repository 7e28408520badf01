// Text: the sink for people and CI logs, with one line for every event.

package progress

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
)

// Text writes a line for each start and end of a step, for fetches, warnings and heartbeats,
// through a logrus logger. It is safe for concurrent use.
type Text struct {
	log     *logrus.Logger
	verbose bool

	mu      sync.Mutex
	started map[string]time.Time // when the step was handed to the builder
	waiting map[string]time.Time // when the step's oldest unfinished fetch began
	fetches map[string]int       // unfinished fetches of a step
}

// NewText returns a Text that writes to log, whose formatter it sets; verbose adds every line of
// the steps' output.
func NewText(log *logrus.Logger, verbose bool) *Text {
	log.SetFormatter(Formatter{})
	return &Text{
		log: log, verbose: verbose,
		started: map[string]time.Time{}, waiting: map[string]time.Time{}, fetches: map[string]int{},
	}
}

// Event shows e. It shows no files that were already in the source store.
func (t *Text) Event(e Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	name := Name(e.Step)
	switch e.Kind {
	case PlanReady:
		t.log.Infof("%s", count(e.Total, "step"))
	case FetchStart, FetchDone, FetchRetry, FetchProgress:
		t.fetch(e, name)
	case StepStart:
		t.started[e.Step] = e.Time
		t.log.Infof("%s %s started (%d running)", at(e), name, len(e.Running))
	case StepLog:
		if t.verbose {
			t.log.Infof("%s | %s", name, Clean(e.Text))
		}
	case StepDone:
		t.log.Infof("%s %s done in %s (%d running)", at(e), name, Took(e.Duration), len(e.Running))
	case StepRestored:
		t.log.Infof("%s restored from the store", name)
	case StepFetched:
		t.fetches[e.Step]--
		t.log.Infof("%s fetched from %s", name, Clean(e.Text))
	case StepCached:
		if t.verbose {
			t.log.Infof("%s %s is up to date", at(e), name)
		}
	case StepFailed:
		t.log.Errorf("%s %s failed%s: %s", at(e), name, after(e.Duration), oneLine(e.Err))
	case StepSkipped:
		t.log.Warnf("%s %s skipped because %s failed", at(e), name, Name(e.Text))
	case StepCancelled:
		t.log.Warnf("%s %s stopped%s", at(e), name, after(e.Duration))
	case StepRetry:
		t.log.Warnf("%s is built again (%s): %s", name, Clean(e.Text), oneLine(e.Err))
	case Heartbeat:
		t.heartbeat(e)
	case Warning:
		t.log.Warn(prefix(name, Clean(e.Text)))
	case Notice:
		t.log.Info(prefix(name, Clean(e.Text)))
	case PlanDone: // the end report says it better
	}
	switch e.Kind {
	case StepDone, StepFailed, StepSkipped, StepCancelled:
		delete(t.started, e.Step)
		delete(t.waiting, e.Step)
		delete(t.fetches, e.Step)
	}
}

func (t *Text) fetch(e Event, name string) {
	switch e.Kind {
	case FetchStart:
		if t.fetches[e.Step] == 0 {
			t.waiting[e.Step] = e.Time
		}
		t.fetches[e.Step]++
		if e.Text != "" {
			t.log.Info(prefix(name, "fetching "+Clean(e.Text)))
		}
	case FetchRetry:
		t.log.Warn(prefix(name, fmt.Sprintf("fetching again: %s: %s", Clean(e.Text), oneLine(e.Err))))
	case FetchProgress:
		t.log.Info(prefix(name, Clean(e.Text)))
	case FetchDone:
		t.fetches[e.Step]--
		t.log.Info(prefix(name, fmt.Sprintf("fetched %s in %s", Clean(e.Text), Took(e.Duration))))
	}
}

// heartbeat shows the steps being worked on, and for how long.
func (t *Text) heartbeat(e Event) {
	var parts []string
	for _, id := range e.Running {
		switch start, ok := t.started[id]; {
		case ok:
			parts = append(parts, fmt.Sprintf("%s (%s)", Name(id), Took(e.Time.Sub(start))))
		case t.fetches[id] > 0:
			parts = append(parts, fmt.Sprintf("%s (fetching, %s)", Name(id),
				Took(e.Time.Sub(t.waiting[id]))))
		default:
			parts = append(parts, Name(id)+" (checking sources)")
		}
	}
	if e.Text != "" {
		parts = append(parts, Clean(e.Text))
	}
	t.log.Infof("%s still running: %s", at(e), strings.Join(parts, ", "))
}

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
