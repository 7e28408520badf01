// Question: a limit for everything that an engine is asked besides builds. An engine that answers
// pings may still never answer anything else.

package buildkit

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"buildsys/internal/engine"
	"buildsys/internal/errkind"
)

// longAnswer is how many times the engine's silence a question may take for which the engine works:
// it asks a registry, or unpacks an image. With the usual silence of 45 s that is three minutes,
// enough for a slow disk to finish an image of some GiB after its last byte was sent.
const longAnswer = 4

// HungError reports that the engine did not answer a question in time.
type HungError struct {
	Question string // "which image is it?"
	After    time.Duration
}

// Error names what was asked, and notes that only this question is known to hang.
func (e *HungError) Error() string {
	return fmt.Sprintf("it accepted a request (%s) and gave no sign of progress for %v: it hangs",
		e.Question, e.After)
}

// ErrorKind returns errkind.Environment.
func (*HungError) ErrorKind() errkind.Kind { return errkind.Environment }

// hungHint returns what to do about a HungError.
const hungHint = "read the engine's log (journalctl -u docker, or the output of dockerd or " +
	"buildkitd) and start it again; a full disk or a stuck container often makes it hang"

// patience is how long an engine may take for an answer.
type patience struct{ short, long time.Duration }

func patienceOf(opt engine.Options) patience {
	short := cmp.Or(opt.Silence, silence)
	return patience{short: short, long: longAnswer * short}
}

// question calls ask and ends its context when limit has passed since it began or last called
// alive. The error is then an *engine.Error with a *HungError.
func question[T any](ctx context.Context, d daemon, what string, limit time.Duration,
	ask func(ctx context.Context, alive func()) (T, error)) (T, error) {
	hung := &HungError{what, limit}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(limit, func() { cancel(hung) })
	defer timer.Stop()
	answer, err := ask(ctx, func() { timer.Reset(limit) })
	if err != nil && context.Cause(ctx) == hung {
		err = newEngineError(d, hung)
	}
	return answer, err
}

// aliveReader calls alive as bytes are read.
type aliveReader struct {
	io.Reader
	alive func()
}

func (r aliveReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 {
		r.alive()
	}
	return n, err
}

// hijack calls dial, which ignores the end of its context once it waits for the engine's answer,
// and gives up when the context ends.
func hijack(ctx context.Context, dial func() (net.Conn, error)) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		conn, err := dial()
		done <- result{conn, err}
	}()
	select {
	case r := <-done:
		return r.conn, r.err
	case <-ctx.Done():
		go func() {
			if r := <-done; r.err == nil {
				r.conn.Close()
			}
		}()
		return nil, context.Cause(ctx)
	}
}
