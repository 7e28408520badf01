// compare: what differs between two runs.

package report

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"buildsys/internal/bytesize"
	"buildsys/internal/progress"
)

type comparison struct {
	With  string
	Facts []change
	Steps []changedStep
	Left  string
	Parts []Parts
}

// change is a number before and after.
type change struct{ Name, Before, After, Delta, Class string }

type changedStep struct {
	N                                 int // in the later run; -1 if it is not there
	Name, Before, After, Delta, Class string
	Size                              string
	weight                            time.Duration
}

// maxChanges is how many steps a comparison has.
const maxChanges = 200

// Keys calls do with each step that both runs have, and its keys.
func Keys(m, was *Model, do func(step, before, after string)) {
	for _, s := range m.Steps {
		if at, ok := was.index[s.ID]; ok {
			do(s.ID, was.Steps[at].Key, s.Key)
		}
	}
}

// maxParts is how many differences of the parts of an image are shown.
const maxParts = 500

// AddParts adds how the parts of the outputs of a step differ.
func (m *Model) AddParts(step string, lines []string) {
	p := Parts{Step: progress.Name(step), Lines: lines}
	if n := len(lines) - maxParts; n > 0 {
		p.Lines, p.Left = lines[:maxParts], fmt.Sprintf("%d more differ", n)
	}
	m.Parts = append(m.Parts, p)
}

// compare compares a run with an earlier one.
func compare(m, was *Model) *comparison {
	c := &comparison{With: fmt.Sprintf("run %d of %s", was.Run.ID,
		was.Run.Began.Local().Format(time.DateTime))}
	saved := durations("Saved by caches", was.Saved().Time, m.Saved().Time)
	saved.Class = "" // less is not worse: there may have been more to build
	c.Facts = []change{durations("Elapsed", was.Took, m.Took),
		durations("Work", was.Work(), m.Work()), saved, sizes("Outputs", was, m)}
	for i, s := range m.Steps {
		at, ok := was.index[s.ID]
		if !ok {
			c.Steps = append(c.Steps, changedStep{N: i, Name: progress.Name(s.ID), Before: "–",
				After: s.short(), Delta: "new", Size: delta(s.Bytes), weight: s.Build.Took()})
			continue
		}
		if one, differs := differ(was.Steps[at], s); differs {
			one.N = i
			c.Steps = append(c.Steps, one)
		}
	}
	for _, s := range was.Steps {
		if _, ok := m.index[s.ID]; !ok {
			c.Steps = append(c.Steps, changedStep{N: -1, Name: progress.Name(s.ID), Before: s.short(),
				After: "–", Delta: "gone", Size: delta(-s.Bytes), weight: s.Build.Took()})
		}
	}
	slices.SortStableFunc(c.Steps, func(a, b changedStep) int {
		return cmp.Compare(b.weight, a.weight)
	})
	if n := len(c.Steps) - maxChanges; n > 0 {
		c.Steps = c.Steps[:maxChanges]
		c.Left = fmt.Sprintf("%d more differ less", n)
	}
	return c
}

// differ compares a step with itself in an earlier run.
func differ(was, is Step) (changedStep, bool) {
	c := changedStep{Name: progress.Name(is.ID), Before: was.short(), After: is.short()}
	took := is.Build.Took() - was.Build.Took()
	if was.ran() && is.ran() {
		c.Delta, c.Class = signed(took), direction(took)
	}
	if was.Bytes > 0 && is.Bytes > 0 && was.Bytes != is.Bytes {
		c.Size = delta(is.Bytes - was.Bytes)
	}
	c.weight = took.Abs()
	// Times of the same work differ a little each time.
	slower := took.Abs() > max(time.Second, was.Build.Took()/10)
	return c, was.Status != is.Status || c.Size != "" || slower
}

// short returns how a step ended, and after how long.
func (s Step) short() string {
	if s.ran() {
		return fmt.Sprintf("%s in %s", s.Status, progress.Took(s.Build.Took()))
	}
	return string(s.Status)
}

func durations(name string, before, after time.Duration) change {
	return change{name, progress.Took(before), progress.Took(after), signed(after - before),
		direction(after - before)}
}

// sizes compares the outputs of all steps whose size is known.
func sizes(name string, was, is *Model) change {
	sum := func(m *Model) (bytes int64) {
		for _, s := range m.Steps {
			bytes += s.Bytes
		}
		return bytes
	}
	before, after := sum(was), sum(is)
	return change{name, bytesize.Format(before), bytesize.Format(after), delta(after - before), ""}
}

func signed(d time.Duration) string {
	if d < 0 {
		return "−" + progress.Took(-d)
	}
	return "+" + progress.Took(d)
}

func direction(d time.Duration) string {
	switch {
	case d > time.Second:
		return "worse"
	case d < -time.Second:
		return "better"
	}
	return ""
}

func delta(bytes int64) string {
	switch {
	case bytes < 0:
		return "−" + bytesize.Format(-bytes)
	case bytes > 0:
		return "+" + bytesize.Format(bytes)
	}
	return ""
}
