// Package live shows a run on a terminal while it goes on: a few rows at the end of the screen,
// and above them the lines that should stay. It reads no keys and leaves the terminal's modes
// alone but for the echo, so Ctrl-C, Ctrl-Z and resizing do what they do for any program. What it
// shows of others is cleaned here, as the rows do not pass package safetext.
package live

import (
	"sync"
	"time"

	"buildsys/internal/progress"
)

// View is a sink that shows a run on a Screen. It is safe for concurrent use.
type View struct {
	screen *Screen
	style  Style
	lines  progress.Sink // what should stay
	log    bool          // the steps' output stays as well

	mu      sync.Mutex
	model   *model
	stop    chan struct{} // closed to end the frames; nil if there are none
	stopped chan struct{} // closed when they have ended
}

// NewView returns a View that has what should stay shown by lines, which write to the screen. With
// log these include the steps' output.
func NewView(screen *Screen, style Style, lines progress.Sink, log bool) *View {
	return &View{screen: screen, style: style, lines: lines, log: log, model: newModel()}
}

const (
	// perFrame is the time between two frames.
	perFrame = 100 * time.Millisecond
	// quiet is how long a run may take that shows no rows at all.
	quiet = 300 * time.Millisecond
)

// Event implements progress.Sink.
func (v *View) Event(e progress.Event) {
	if e.Kind == progress.PlanDone {
		v.Close()
		return
	}
	v.mu.Lock()
	v.model.event(e)
	planned := v.model.planned
	v.begin(e.Kind)
	v.mu.Unlock()
	if v.stays(e.Kind, planned) {
		v.lines.Event(e)
	}
}

// stays reports whether an event is worth a line that stays.
func (v *View) stays(k progress.Kind, planned bool) bool {
	switch k {
	case progress.StepLog:
		return v.log
	case progress.StepDone, progress.StepFailed, progress.StepSkipped, progress.StepCancelled,
		progress.StepRetry, progress.FetchRetry, progress.Warning, progress.Notice:
		return true
	case progress.FetchDone:
		return !planned
	}
	return false
}

// begin starts the frames with the first event that says that something is going on.
func (v *View) begin(k progress.Kind) {
	if v.stop != nil || k != progress.PlanReady && k != progress.FetchStart {
		return
	}
	v.stop, v.stopped = make(chan struct{}), make(chan struct{})
	go v.frames(time.Now().Add(quiet), v.stop, v.stopped)
}

// frames draws until stop is closed.
func (v *View) frames(first time.Time, stop, stopped chan struct{}) {
	defer close(stopped)
	tick := time.NewTicker(perFrame)
	defer tick.Stop()
	guard := watch(v.screen)
	defer guard.close()
	for {
		select {
		case now := <-tick.C:
			if now.After(first) {
				v.Draw(now)
			}
		case <-guard.suspended():
			guard.suspend()
		case <-stop:
			v.screen.Clear()
			return
		}
	}
}

// Draw draws one frame.
func (v *View) Draw(now time.Time) {
	columns, rows := v.screen.device.Size()
	v.mu.Lock()
	// The last column stays free, as terminals differ in what follows it, and so does a row.
	shown := v.model.rows(v.style, now, columns-1, rows-1)
	v.mu.Unlock()
	v.screen.Show(shown)
}

// Close removes the rows and gives the terminal back. The next event of a run begins anew.
func (v *View) Close() {
	v.mu.Lock()
	stop, stopped := v.stop, v.stopped
	v.stop = nil
	v.model = newModel()
	v.mu.Unlock()
	if stop != nil {
		close(stop)
		<-stopped
	}
}
