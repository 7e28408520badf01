// Golden screens: what a terminal shows of a run, by an emulator that is not ours.

package live

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
	"github.com/sirupsen/logrus"

	"buildsys/internal/golden"
	"buildsys/internal/progress"
	"buildsys/internal/safetext"
)

var begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// theater is a terminal with a view that draws only when it is told.
type theater struct {
	*vt.Emulator
	bytes         bytes.Buffer
	columns, rows int
	ours          bool
	view          *View
	screen        *Screen
	out           io.Writer // for lines, as commands write them
}

func newTheater(t *testing.T, columns, rows int, style Style) *theater {
	th := &theater{Emulator: vt.NewEmulator(columns, rows), columns: columns, rows: rows, ours: true}
	th.screen = NewScreen(Device{
		Out:  io.MultiWriter(onlcr{th.Emulator}, &th.bytes),
		Size: func() (int, int) { return th.columns, th.rows },
		Ours: func() bool { return th.ours },
	})
	th.out = safetext.NewWriter(th.screen)
	log := logrus.New()
	log.SetOutput(th.out)
	th.view = NewView(th.screen, style, progress.NewText(log, false), false)
	th.view.stop, th.view.stopped = make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { _ = th.Emulator.Close() })
	return th
}

// onlcr does what a terminal's driver does with the end of a line.
type onlcr struct{ io.Writer }

func (w onlcr) Write(p []byte) (int, error) {
	_, err := w.Writer.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n")))
	return len(p), err
}

func (th *theater) resize(columns, rows int) {
	th.columns, th.rows = columns, rows
	th.Resize(columns, rows)
}

// text returns the screen, without blanks at the ends of its lines and empty lines at its end.
func (th *theater) text() string {
	var b strings.Builder
	for line := range strings.Lines(th.String()) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func at(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }

// known is a step of a plan whose duration is recorded.
func known(id string, seconds int) progress.PlannedStep {
	return progress.PlannedStep{ID: id, Expected: time.Duration(seconds) * time.Second, Known: true}
}

// opening is a run of a variant until its kernel and two others are built.
func opening() []progress.Event {
	p := &progress.Plan{Arch: "x86_64", Variant: "qemu-dev", Steps: []progress.PlannedStep{
		known("package/musl", 40), known("package/filesystem", 2), known("package/kernel", 840),
		known("package/busybox", 84), {ID: "package/greet", Expected: time.Minute},
		known("package/less", 30), known("variant/qemu-dev", 60)}}
	const total = 7
	return []progress.Event{
		{Time: at(0), Kind: progress.PlanReady, Total: total, Plan: p},
		{Time: at(0), Kind: progress.StepRestored, Step: "package/musl"},
		{Time: at(0), Kind: progress.StepCached, Step: "package/musl", Done: 1, Total: total},
		{Time: at(0), Kind: progress.StepCached, Step: "package/filesystem", Done: 2, Total: total},
		{Time: at(1), Kind: progress.EngineReady, Text: "Docker engine 20.10.24", Jobs: 3},
		{Time: at(1), Kind: progress.FetchStart, Step: "package/less", Text: "less-668.tar.gz"},
		{Time: at(1), Kind: progress.StepStart, Step: "package/kernel", Done: 2, Total: total},
		{Time: at(1), Kind: progress.RunForecast, Duration: 15 * time.Minute},
		{Time: at(1), Kind: progress.StepStart, Step: "package/busybox", Done: 2, Total: total},
		{Time: at(2), Kind: progress.StepStart, Step: "package/greet", Done: 2, Total: total},
		{Time: at(3), Kind: progress.StepLog, Step: "package/kernel",
			Text: "Executing(%build): /bin/sh -e /var/tmp/rpm-tmp.x"},
		{Time: at(4), Kind: progress.StepLog, Step: "package/kernel",
			Text: "  \x1b[32mCC\x1b[0m      net/ipv4/tcp_input.o\t日本語の行 e\u0301 👩‍👩‍👧 " +
				strings.Repeat("wide 漢字 ", 20)},
		{Time: at(5), Kind: progress.StepLog, Step: "package/busybox", Text: "\x1b[2J\x1b[H 10%\r 50%"},
		{Time: at(6), Kind: progress.FetchProgress, Step: "package/less", Text: "less-668.tar.gz",
			Bytes: 3 << 20, Size: 10 << 20},
	}
}

// failure is what follows when greet fails and the image cannot be built.
func failure() []progress.Event {
	return []progress.Event{
		{Time: at(62), Kind: progress.StepFailed, Step: "package/greet", Done: 3, Total: 7,
			Duration: time.Minute, Err: errors.New("exit code: 1"), Cause: &progress.Cause{Phase: "%prep",
				Text: "patch 0001-break.patch does not apply: hunk 1 of greet.c:120"}},
		{Time: at(62), Kind: progress.StepSkipped, Step: "variant/qemu-dev", Text: "package/greet",
			Done: 4, Total: 7},
		{Time: at(63), Kind: progress.FetchDone, Step: "package/less", Text: "less-668.tar.gz"},
	}
}

func (th *theater) play(events []progress.Event) {
	for _, e := range events {
		th.view.Event(e)
	}
}

func TestScreens(t *testing.T) {
	for _, size := range []struct {
		columns, rows int
		style         Style
	}{{120, 30, Style{Color: true}}, {80, 12, Style{}}, {36, 7, Style{ASCII: true}}} {
		name := fmt.Sprintf("%dx%d", size.columns, size.rows)
		t.Run(name, func(t *testing.T) {
			th := newTheater(t, size.columns, size.rows, size.style)
			fmt.Fprintln(th.out, "$ buildsys build-variant qemu-dev")
			var b strings.Builder
			show := func(title string) { fmt.Fprintf(&b, "== %s\n%s", title, th.text()) }
			th.play(opening())
			th.view.Draw(at(8))
			show("three steps run")
			th.play(failure())
			fmt.Fprintln(th.out, "buildsys: interrupt: stopping; once more to stop at once")
			th.view.Draw(at(70))
			show("one has failed")
			th.view.Draw(at(120))
			show("a step is late")
			th.resize(size.columns-10, size.rows+2)
			th.view.Draw(at(121))
			show("the terminal is narrower")
			th.screen.Clear()
			show("the end")
			golden.Equal(t, filepath.Join("testdata", name+".txt"), []byte(b.String()))
			if style := bytes.Contains(th.bytes.Bytes(), []byte("m\x1b[")) ||
				bytes.Contains(th.bytes.Bytes(), []byte("\x1b[3")); style != size.style.Color {
				t.Errorf("colours: %v, want %v", style, size.style.Color)
			}
			if th.CursorHidden() {
				t.Error("the cursor stays hidden")
			}
		})
	}
}

// TestBackground: a shell that has the terminal meanwhile finds no rows between its own lines.
func TestBackground(t *testing.T) {
	th := newTheater(t, 60, 8, Style{})
	th.play(opening())
	th.view.Draw(at(8))
	th.ours = false // Ctrl-Z, then bg
	th.screen.Clear()
	fmt.Fprintln(th.Emulator, "[1]+ buildsys &\r")
	th.view.Draw(at(9))
	fmt.Fprintln(th.out, "warning: a line")
	th.view.Draw(at(10))
	if got, want := th.text(), "[1]+ buildsys &\nwarning: a line\n"; got != want {
		t.Errorf("in the background the terminal shows\n%swant\n%s", got, want)
	}
	th.ours = true
	th.view.Draw(at(11))
	if got := th.text(); !strings.Contains(got, "warning: a line\nvariant qemu-dev x86_64  11s") {
		t.Errorf("back in the foreground the terminal shows\n%s", got)
	}
}

// TestManyLines: lines that come faster than frames are all shown, in order, above the rows.
func TestManyLines(t *testing.T) {
	th := newTheater(t, 60, 12, Style{})
	th.play(opening())
	th.view.Draw(at(8))
	const n = 3000
	for i := range n {
		fmt.Fprintf(th.out, "line %d of a step that says much\n", i)
	}
	th.view.Draw(at(9))
	th.screen.Clear()
	var want strings.Builder
	for i := range n {
		fmt.Fprintf(&want, "line %d of a step that says much\r\n", i)
	}
	shown := th.bytes.String()
	for _, ours := range []string{beginFrame, endFrame, hideCursor, showCursor} {
		shown = strings.ReplaceAll(shown, ours, "")
	}
	var lines strings.Builder
	for line := range strings.Lines(shown) {
		if at := strings.Index(line, "line "); at >= 0 {
			lines.WriteString(line[at:])
		}
	}
	if lines.String() != want.String() {
		t.Errorf("%d bytes of lines are shown, want %d", lines.Len(), want.Len())
	}
	if frames := strings.Count(th.bytes.String(), beginFrame); frames > 10 {
		t.Errorf("%d frames for %d lines", frames, n)
	}
}

// TestRowsAreSafe: nothing that others wrote reaches the terminal as it came.
func TestRowsAreSafe(t *testing.T) {
	bad := "\x1b]0;title\x07\x1b[2J\u202e\u009b31m\x00\n::error::x\r"
	th := newTheater(t, 200, 20, Style{})
	th.play([]progress.Event{
		{Time: at(0), Kind: progress.PlanReady, Total: 2, Plan: &progress.Plan{Arch: bad,
			Steps: []progress.PlannedStep{{ID: "package/" + bad}, {ID: "package/x"}, {ID: bad}}}},
		{Time: at(0), Kind: progress.EngineReady, Text: bad},
		{Time: at(0), Kind: progress.FetchStart, Step: "package/x", Text: bad},
		{Time: at(0), Kind: progress.StepStart, Step: "package/" + bad},
		{Time: at(0), Kind: progress.StepEngine, Step: "package/" + bad, Engine: bad},
		{Time: at(0), Kind: progress.StepLog, Step: "package/" + bad, Text: bad},
		{Time: at(0), Kind: progress.StepFailed, Step: bad, Err: errors.New(bad)},
		{Time: at(0), Kind: progress.Heartbeat, Text: bad},
	})
	th.view.Draw(at(1))
	shown := th.bytes.String()
	for _, ours := range []string{
		beginFrame, endFrame, hideCursor, clearRest, clearBelow, "\r", "\n",
	} {
		shown = strings.ReplaceAll(shown, ours, "")
	}
	if shown != safetext.Line(shown) {
		t.Errorf("the terminal gets %q", shown)
	}
}

// TestRowsFit: in no size there are more rows or columns than there is room for.
func TestRowsFit(t *testing.T) {
	m := newModel()
	for _, e := range append(opening(), failure()...) {
		m.event(e)
	}
	for _, e := range opening() { // many more
		for i := range 30 {
			if e.Step != "" {
				e.Step = fmt.Sprintf("package/%d-漢字", i)
				m.event(e)
			}
		}
	}
	for columns := range 130 {
		for rows := range 12 {
			shown := m.rows(Style{Color: true}, at(80), columns, rows)
			if len(shown) > rows {
				t.Errorf("%dx%d: %d rows", columns, rows, len(shown))
			}
			for _, row := range shown {
				if w := ansi.StringWidthWc(row); w > columns {
					t.Errorf("%dx%d: a row of %d: %q", columns, rows, w, row)
				}
			}
		}
	}
}
