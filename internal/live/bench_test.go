// What the view costs, beside the lines for pipes.

package live

import (
	"io"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"buildsys/internal/progress"
)

// linesPerSecond is the output of a step that says much: a kernel's build has less than a hundred.
const linesPerSecond = 10_000

// BenchmarkView prints what lines of output and frames cost: the ratio to the sink for pipes, and
// the share of a processor that they take of a build with 10,000 lines a second.
func BenchmarkView(b *testing.B) {
	log := logrus.New()
	log.SetOutput(io.Discard)
	screen := NewScreen(Device{Out: io.Discard, Size: func() (int, int) { return 120, 40 }})
	plain := progress.NewText(log, false)
	view := NewView(screen, Style{Color: true}, progress.NewText(log, false), false)
	view.stop, view.stopped = make(chan struct{}), make(chan struct{})
	for _, e := range opening() {
		plain.Event(e)
		view.Event(e)
	}
	e := progress.Event{Time: at(9), Kind: progress.StepLog, Step: "package/kernel",
		Text: "  CC      net/ipv4/tcp_input.o"}
	timed := func(sink progress.Sink) float64 {
		begin := time.Now()
		for range b.N {
			sink.Event(e)
		}
		return float64(time.Since(begin).Nanoseconds()) / float64(b.N)
	}
	text, rows := timed(plain), timed(view)
	const frames = 200
	begin := time.Now()
	for i := range frames {
		view.Draw(at(10 + i))
	}
	frame := float64(time.Since(begin).Nanoseconds()) / frames
	b.ReportMetric(rows, "ns/line")
	b.ReportMetric(rows/text, "of-plain")
	b.ReportMetric(frame/1000, "µs/frame")
	perSecond := linesPerSecond*rows + float64(time.Second/perFrame)*frame
	b.ReportMetric(perSecond/float64(time.Second.Nanoseconds())*100, "%-of-a-CPU")
}
