// pictures: the timeline and the graph of the page. Widths in the timeline are parts of the whole,
// so that it fits every screen while its letters keep their size.

package report

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"buildsys/internal/graph"
	"buildsys/internal/progress"
)

// Dimensions of the timeline in pixels.
const (
	rowHeight   = 24
	titleHeight = 26
	axisHeight  = 22
)

type timeline struct {
	Height int
	Ticks  []tick
	Titles []title
	Rows   []int // top of each
	Bars   []bar
	Left   string // what is left out
}

type tick struct{ X, Label string }

type title struct {
	Y    int
	Text string
}

type bar struct {
	X, Width         string
	Y, N             int
	Class, Name, Tip string
}

// Limits of the pictures: a run of thousands of steps still opens at once.
const (
	maxBars      = 4000
	maxDownloads = 8   // lanes
	maxBoxes     = 400 // of the graph
)

func (m *Model) timeline() *timeline {
	lanes := m.Lanes()
	if len(lanes) == 0 || m.Took <= 0 {
		return nil
	}
	t := &timeline{Ticks: m.ticks()}
	y, name, left, downloads := 0, "\x00", 0, 0
	for _, lane := range lanes {
		isDownload := lane.Parts[0].Get != nil
		if isDownload {
			downloads++
		}
		all := len(lane.Parts)
		if isDownload {
			lane.Parts = slices.DeleteFunc(lane.Parts, func(p Part) bool { return p.Took() < m.Took/200 })
		}
		if downloads > maxDownloads || len(t.Bars)+len(lane.Parts) > maxBars {
			lane.Parts = nil
		}
		if left += all - len(lane.Parts); len(lane.Parts) == 0 {
			continue
		}
		if lane.Name != name {
			name = lane.Name
			t.Titles = append(t.Titles, title{y + titleHeight - 8, m.laneTitle(name, isDownload)})
			y += titleHeight
		}
		t.Rows = append(t.Rows, y)
		for _, p := range lane.Parts {
			t.Bars = append(t.Bars, m.bar(p, y))
		}
		y += rowHeight
	}
	if left > 0 {
		t.Left = plural(left, "short part") + " left out: builds and downloads that would hardly be seen"
	}
	t.Height = y + axisHeight
	return t
}

func (m *Model) laneTitle(engine string, downloads bool) string {
	if downloads {
		return "Downloads"
	}
	return cmp.Or(engine, m.Engines, "Engine")
}

func (m *Model) bar(p Part, y int) bar {
	s := m.Steps[p.Step]
	b := bar{X: m.x(p.Start), Width: percent(max(0.15, 100*p.Took().Seconds()/m.Took.Seconds())),
		Y: y + 2, N: p.Step, Class: s.Status.Class(), Name: progress.Name(s.ID)}
	what := string(s.Status)
	if p.Get != nil {
		b.Class, what = "download", "fetching "+cmp.Or(p.Get.Name, "its outputs")
	} else if s.Critical {
		b.Class += " critical"
		what += ", on the critical path"
	}
	b.Tip = fmt.Sprintf("%s: %s, %s from %s to %s", b.Name, what, progress.Took(p.Took()),
		progress.Took(p.Start), progress.Took(p.End))
	return b
}

func (m *Model) x(at time.Duration) string {
	return percent(100 * at.Seconds() / max(m.Took.Seconds(), 0.001))
}

// ticks are round times, some five of them.
func (m *Model) ticks() (ticks []tick) {
	steps := []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute,
		2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, time.Hour,
		2 * time.Hour, 5 * time.Hour}
	i := slices.IndexFunc(steps, func(d time.Duration) bool { return m.Took/d <= 5 })
	step := m.Took / 5
	if i >= 0 {
		step = steps[i]
	}
	for at := time.Duration(0); at <= m.Took && step > 0; at += step {
		ticks = append(ticks, tick{m.x(at), progress.Took(at)})
	}
	return ticks
}

type drawing struct {
	Width, Height float64
	Boxes         []box
	Curves        []curve
	Left          string
}

type box struct {
	graph.Box
	N          int
	TextX      float64
	TextY      float64
	Class, Tip string
}

type curve struct{ Path, Class string }

// drawing draws the steps of the run and what they wait for. Of many it has those that something
// happened to, those that took longest first.
func (m *Model) drawing() *drawing {
	if len(m.Steps) == 0 {
		return nil
	}
	shown := m.drawn()
	g := graph.New()
	byName := map[string]int{}
	for _, i := range shown {
		byName[m.Steps[i].ID] = i
		g.AddNode(m.Steps[i].ID)
	}
	var ids []string
	for _, i := range shown {
		ids = append(ids, m.Steps[i].ID)
		for _, d := range m.Steps[i].After {
			if g.Has(m.Steps[d].ID) {
				g.AddBuild(m.Steps[i].ID, m.Steps[d].ID)
			}
		}
	}
	l := graph.NewView(g, "", ids, false).Layout()
	d := &drawing{Width: l.Width, Height: l.Height}
	if n := len(m.Steps) - len(shown); n > 0 {
		d.Left = fmt.Sprintf("%d steps are left out: 'buildsys graph' draws all", n)
	}
	for _, b := range l.Boxes {
		i := byName[b.Name]
		s := m.Steps[i]
		one := box{Box: b, N: i, TextX: b.X + 8, TextY: b.Y + 14, Class: s.Status.Class()}
		if s.Critical {
			one.Class += " critical"
		}
		one.Name = progress.Name(b.Name)
		one.Tip = fmt.Sprintf("%s: %s", one.Name, s.Status)
		d.Boxes = append(d.Boxes, one)
	}
	for _, c := range l.Curves {
		d.Curves = append(d.Curves, curve{c.Path, m.curveClass(byName[c.From], byName[c.To], c.Implied)})
	}
	return d
}

func (m *Model) curveClass(from, to int, implied bool) string {
	at := slices.Index(m.Critical, to)
	switch {
	case at > 0 && m.Critical[at-1] == from:
		return "edge critical"
	case implied:
		return "edge implied"
	}
	return "edge"
}

// drawn returns the steps that the graph has.
func (m *Model) drawn() []int {
	all := make([]int, len(m.Steps))
	for i := range all {
		all[i] = i
	}
	if len(all) <= maxBoxes {
		return all
	}
	rank := func(i int) int {
		switch s := m.Steps[i]; {
		case s.Critical, s.Status == Failed:
			return 0
		case s.ran():
			return 1
		case s.Status != UpToDate:
			return 2
		}
		return 3
	}
	slices.SortStableFunc(all, func(a, b int) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)),
			cmp.Compare(m.Steps[b].Build.Took(), m.Steps[a].Build.Took()))
	})
	all = all[:maxBoxes]
	slices.Sort(all)
	return all
}
