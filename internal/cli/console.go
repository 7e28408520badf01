// console: how people and programs see a run: live rows, lines, or lines of JSON.

package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"buildsys/internal/live"
	"buildsys/internal/progress"
	"buildsys/internal/safetext"
	"buildsys/internal/settings"
)

// display is standard error as a terminal, if it is one. All that the commands print passes its
// screen, so that live rows are never in the way.
type display struct {
	sys    *System
	screen *live.Screen // nil: no terminal

	mu   sync.Mutex     // signals come at any time
	view *live.View     // nil: no live rows
	json *progress.JSON // nil: what is shown is text
}

// lines returns the sink of a run that is shown in lines of JSON, or nil.
func (d *display) lines() *progress.JSON {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.json
}

// useJSON shows all that follows in lines of JSON.
func (d *display) useJSON() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.json == nil {
		d.json = progress.NewJSON(d.sys.Stderr)
	}
}

// show makes a view the one that has the terminal.
func (d *display) show(v *live.View) *live.View {
	d.close()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.view = v
	return v
}

// newDisplay takes the terminal, if standard error is one.
func newDisplay(sys *System) *display {
	f, ok := sys.terminal.stderr.(*os.File)
	if !ok || !live.IsTerminal(f) {
		return &display{sys: sys}
	}
	return &display{sys: sys, screen: live.NewScreen(live.Terminal(f, sys.Getenv))}
}

// tell shows an event, or without JSON the line that says the same.
func (d *display) tell(e progress.Event, line string) {
	if lines := d.lines(); lines != nil {
		lines.Event(e)
		return
	}
	fmt.Fprintln(d.sys.Stderr, line)
}

// stderr and stdout return the writers to use in the place of the real ones.
func (d *display) stderr(real io.Writer) io.Writer {
	if d.screen == nil {
		return real
	}
	return d.screen
}

func (d *display) stdout(real io.Writer) io.Writer {
	f, ok := real.(*os.File)
	if d.screen == nil || !ok || !live.IsTerminal(f) {
		return real
	}
	return d.screen.Beside(real)
}

// close gives the terminal back.
func (d *display) close() {
	d.mu.Lock()
	v := d.view
	d.mu.Unlock()
	if v != nil {
		v.Close()
	}
}

// leave gives the terminal back before the process ends at once. A terminal that takes no more
// output must not keep the process.
func (d *display) leave() {
	done := make(chan struct{})
	go func() { d.close(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Second):
	}
}

// console shows what a session does. It implements build.Output.
type console struct {
	*display
	sink  progress.Sink
	quiet bool // only what is wrong is shown
	ci    *ciConsole
}

func (a *app) newConsole() console {
	d := a.sys.display
	c := console{display: d, ci: a.newCIConsole()}
	if lines := d.lines(); lines != nil {
		c.sink = lines
		return c
	}
	log := logrus.New()
	log.SetOutput(a.sys.Stderr)
	if a.quiet {
		log.SetLevel(logrus.WarnLevel)
	}
	text := progress.NewText(log, a.verbose)
	if d.screen != nil && a.wantsLive() && !a.quiet {
		c.sink = d.show(live.NewView(d.screen, a.style(), text, a.verbose))
		return c
	}
	c.sink, c.quiet = text, a.quiet
	return c
}

// wantsLive reports whether a terminal gets live rows. One that cannot move its cursor does not,
// and neither do the logs of CI services, some of which look like terminals.
func (a *app) wantsLive() bool {
	if a.progress != settings.Auto {
		return a.progress == settings.Live
	}
	term, ci := a.sys.Getenv("TERM"), a.sys.Getenv("CI")
	return term != "" && term != "dumb" && (ci == "" || ci == "false")
}

// style returns how rows look: https://no-color.org, and the characters of the locale.
func (a *app) style() live.Style {
	locale := a.sys.Getenv("LANG")
	for _, name := range []string{"LC_CTYPE", "LC_ALL"} {
		if value := a.sys.Getenv(name); value != "" {
			locale = value
		}
	}
	locale = strings.ToLower(locale)
	return live.Style{
		Color: a.sys.Getenv("NO_COLOR") == "",
		ASCII: !strings.Contains(locale, "utf-8") && !strings.Contains(locale, "utf8"),
	}
}

// Event shows what a step does.
func (c console) Event(e progress.Event) {
	c.ci.results.Event(e)
	c.sink.Event(e)
}

// Notice shows a line.
func (c console) Notice(text string) {
	if c.quiet {
		return
	}
	c.tell(progress.Event{Kind: progress.Notice, Text: text}, safetext.Line(text))
}

// Report shows how a run ended. Events have said all of it.
func (c console) Report(s progress.Summary) error {
	if lines := c.lines(); lines != nil {
		return errors.Join(lines.Err(), c.ci.report(s))
	}
	c.close()
	if c.quiet && len(s.Failures)+s.Cancelled == 0 {
		return c.ci.report(s)
	}
	return errors.Join(progress.WriteReport(c.sys.Stderr, s), c.ci.report(s))
}
