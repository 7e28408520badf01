// page: what the page shows, as words and numbers ready for its template.

package report

import (
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"
	"time"

	"buildsys/internal/bytesize"
	"buildsys/internal/history"
	"buildsys/internal/progress"
)

// page is what the template gets.
type page struct {
	Security string
	Style    template.CSS
	Script   template.JS
	Head
	Compare  *comparison
	Failures []failure
	Timeline *timeline
	Critical []criticalRow
	Graph    *drawing
	Steps    []stepRow
	Caches   []fact
	Sizes    []sizeRow
	Warnings []string
}

// Head is the top of the page.
type Head struct {
	Title  string
	Result string // the class of the badge
	Badge  string
	Facts  []fact
	Cards  []card
	Error  string
	Note   string
}

type fact struct{ Name, Value string }

// card is a number that counts.
type card struct{ Value, Name, Note, Class string }

func newPage(m *Model) page {
	p := page{Head: m.head(), Failures: m.failures(), Timeline: m.timeline(), Graph: m.drawing(),
		Critical: m.criticalRows(), Caches: m.cacheFacts(), Sizes: m.sizeRows(), Warnings: m.Warnings}
	for i := range m.Steps {
		p.Steps = append(p.Steps, m.stepRow(i))
	}
	return p
}

// badges are the words for the outcomes of runs, and their classes.
var badges = map[history.Outcome][2]string{
	history.Success: {"succeeded", "ok"}, history.Failure: {"failed", "bad"},
	history.Cancelled: {"cancelled", "warn"}, history.Broken: {"broke off", "bad"},
}

func (m *Model) head() Head {
	r := m.Run
	h := Head{Title: fmt.Sprintf("Run %d", r.ID), Badge: "running", Result: "warn"}
	if m.Killed {
		h.Badge = "ended without an end"
		h.Note = "The process of this run was killed, or the machine stopped: what follows is what it " +
			"had written until then."
	}
	if r.End != nil {
		badge := badges[r.End.Outcome]
		h.Badge, h.Result, h.Error, h.Note = badge[0], badge[1], r.End.Error, r.End.Left
	}
	h.Facts = []fact{
		{"Command", "buildsys " + strings.Join(r.Command, " ")}, {"Tree", r.Root},
		{"For", strings.TrimSpace(m.Arch + " " + r.Variant)},
		{"Began", r.Began.Local().Format(time.DateTime)}, {"Machine", r.Host}, {"Engine", m.Engines},
	}
	h.Facts = slices.DeleteFunc(h.Facts, func(f fact) bool { return f.Value == "" })
	h.Cards = m.cards()
	return h
}

func (m *Model) cards() []card {
	count := map[Status]int{}
	for _, s := range m.Steps {
		count[s.Status]++
	}
	saved, work := m.Saved(), m.Work()
	cards := []card{{progress.Took(m.Took), "elapsed", atOnce(work, m.Took), ""},
		{fmt.Sprint(count[Built]), "built", progress.Took(work) + " of work", ""}}
	if n := count[Failed]; n > 0 {
		one := card{Value: fmt.Sprint(n), Name: "failed", Class: "bad"}
		if skipped := count[Skipped]; skipped > 0 {
			one.Note = plural(skipped, "step") + " skipped"
		}
		cards = append(cards, one)
	}
	if n := count[Cancelled] + count[Running] + count[Waiting]; n > 0 {
		cards = append(cards, card{fmt.Sprint(n), "not finished", "", "warn"})
	}
	cards = append(cards, card{fmt.Sprint(saved.Steps), "from caches",
		progress.Took(saved.Time) + " saved", ""})
	if len(m.Critical) > 0 {
		first, last := m.Steps[m.Critical[0]], m.Steps[m.Critical[len(m.Critical)-1]]
		cards = append(cards, card{progress.Took(last.Build.End - first.Build.Start), "critical path",
			plural(len(m.Critical), "build"), ""})
	}
	return cards
}

// atOnce returns how many builds ran at once on average.
func atOnce(work, took time.Duration) string {
	if work == 0 || took < time.Second {
		return ""
	}
	return fmt.Sprintf("%.1f builds at once", work.Seconds()/took.Seconds())
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Class returns a status as the style knows it.
func (s Status) Class() string { return strings.ReplaceAll(string(s), " ", "-") }

type failure struct {
	N           int // of the step
	Name        string
	Phase, Text string
	Hint, Err   string
	Log         []string
}

// maxFailures is how many failures are shown with their logs.
const maxFailures = 50

func (m *Model) failures() (all []failure) {
	for i, s := range m.Steps {
		if s.Status != Failed || len(all) == maxFailures {
			continue
		}
		f := failure{N: i, Name: progress.Name(s.ID), Err: s.Err, Log: s.Log}
		if c := s.Cause; c != nil {
			f.Phase, f.Text, f.Hint = c.Phase, c.Text, c.Hint
		}
		all = append(all, f)
	}
	return all
}

type criticalRow struct {
	N                     int
	Name, Because, Waited string
	Took, Share, Width    string
}

// criticalRows are the builds that decided how long the run took.
func (m *Model) criticalRows() (rows []criticalRow) {
	var before time.Duration
	for n, i := range m.Critical {
		s := m.Steps[i]
		share := 100 * s.Build.Took().Seconds() / max(m.Took.Seconds(), 0.001)
		row := criticalRow{N: i, Name: progress.Name(s.ID), Took: progress.Took(s.Build.Took()),
			Share: fmt.Sprintf("%.0f %%", share), Width: percent(share)}
		switch {
		case s.ForSlot:
			row.Because = "its slot"
		case n > 0:
			row.Because = "its outputs"
		}
		if wait := s.Build.Start - before; wait >= 100*time.Millisecond {
			row.Waited = progress.Took(wait)
		}
		before = s.Build.End
		rows = append(rows, row)
	}
	return rows
}

type stepRow struct {
	N                         int
	Name, Why                 string
	Status                    Status
	Began, Took, Size         string
	BeganMS, TookMS, SizeSort int64
	Critical                  bool
	Details                   []fact
	Reasons, Notes            []string
	Files                     []fact
}

func (m *Model) stepRow(i int) stepRow {
	s := m.Steps[i]
	row := stepRow{N: i, Name: progress.Name(s.ID), Status: s.Status,
		Critical: s.Critical, Reasons: s.Reasons, SizeSort: s.Bytes, Why: s.why()}
	if s.Bytes > 0 {
		row.Size = bytesize.Format(s.Bytes)
	}
	if s.ran() {
		row.BeganMS, row.TookMS = s.Build.Start.Milliseconds(), s.Build.Took().Milliseconds()
		row.Began, row.Took = progress.Took(s.Build.Start), progress.Took(s.Build.Took())
	}
	row.Details = m.details(s)
	for _, f := range s.Files {
		row.Files = append(row.Files, fact{f.Name, bytesize.Format(f.Size)})
	}
	for _, r := range s.Retries {
		row.Notes = append(row.Notes, "built again: "+r)
	}
	row.Notes = append(row.Notes, s.Warnings...)
	return row
}

// why returns in a few words why a step was built, or why it was not.
func (s Step) why() string {
	switch {
	case s.Status == Skipped:
		return progress.Name(s.Skipper) + " failed"
	case s.Status == UpToDate:
		return "its outputs were in place"
	case s.Status == Restored:
		return "built before from the same inputs"
	case s.Status == Fetched:
		return "another machine built it"
	case len(s.Reasons) == 1:
		return s.Reasons[0]
	case len(s.Reasons) > 1:
		return fmt.Sprintf("%s, and %d more", s.Reasons[0], len(s.Reasons)-1)
	}
	return ""
}

func (m *Model) details(s Step) (facts []fact) {
	add := func(name, value string) {
		if value != "" {
			facts = append(facts, fact{name, value})
		}
	}
	add("Engine", s.Engine)
	if s.Expected > 0 {
		add("Expected", progress.Took(s.Expected))
	}
	if s.Saved > 0 {
		add("Saved", progress.Took(s.Saved))
	}
	add("From", s.Origin)
	add("Compiler cache", s.Objects)
	var after []string
	for _, d := range s.After {
		after = append(after, progress.Name(m.Steps[d].ID))
	}
	add("Waits for", list(after))
	for _, g := range s.Gets {
		add("Fetched", strings.TrimSpace(cmp.Or(g.Name, "outputs")+" in "+progress.Took(g.Took())))
	}
	add("Key", s.Key)
	return facts
}

// maxList is how many names a list has.
const maxList = 40

func list(names []string) string {
	if len(names) > maxList {
		return strings.Join(names[:maxList], ", ") + fmt.Sprintf(" and %d more", len(names)-maxList)
	}
	return strings.Join(names, ", ")
}

func (m *Model) cacheFacts() (facts []fact) {
	s := m.Saved()
	for _, part := range []struct {
		n    int
		name string
	}{{s.InPlace, "In place"}, {s.Restored, "From the store"}, {s.Fetched, "From remote caches"}} {
		if part.n > 0 {
			facts = append(facts, fact{part.name, plural(part.n, "step")})
		}
	}
	if s.Steps == 0 {
		return nil
	}
	saved := progress.Took(s.Time) + " of work"
	if s.Unknown > 0 {
		saved = fmt.Sprintf("at least %s; unknown for %s", saved, plural(s.Unknown, "step"))
	}
	facts = append(facts, fact{"Saved", saved})
	origins := map[string]int{}
	for _, step := range m.Steps {
		if step.Origin != "" {
			origins[step.Origin]++
		}
	}
	for _, o := range slices.Sorted(maps.Keys(origins)) {
		facts = append(facts, fact{o, plural(origins[o], "result")})
	}
	if end := m.Run.End; end != nil && end.Remote != nil {
		facts = append(facts, fact{"Traffic", end.Remote.String()})
	}
	return facts
}

type sizeRow struct {
	N                int
	Name, Size, Note string
	Width            string
}

// maxSizes is how many steps the section on sizes has.
const maxSizes = 40

// sizeRows are the steps with the largest outputs.
func (m *Model) sizeRows() (rows []sizeRow) {
	var steps []int
	for i, s := range m.Steps {
		if s.Bytes > 0 {
			steps = append(steps, i)
		}
	}
	slices.SortStableFunc(steps, func(a, b int) int {
		return cmp.Compare(m.Steps[b].Bytes, m.Steps[a].Bytes)
	})
	for _, i := range steps[:min(len(steps), maxSizes)] {
		s := m.Steps[i]
		row := sizeRow{N: i, Name: progress.Name(s.ID), Size: bytesize.Format(s.Bytes),
			Width: percent(100 * float64(s.Bytes) / float64(m.Steps[steps[0]].Bytes))}
		if len(s.Files) > 0 {
			row.Note = plural(len(s.Files), "file")
		}
		rows = append(rows, row)
	}
	return rows
}

// percent returns a number for an attribute of SVG.
func percent(x float64) string { return fmt.Sprintf("%.3f%%", max(0, min(x, 100))) }
