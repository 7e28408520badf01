// slow_test: servers that send just enough to be waited for.

package fetch

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"buildsys/internal/manifest"
	"buildsys/internal/network"
)

// trickle sends one byte of a large file, and then nothing while the client waits.
func trickle(asked *int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		*asked++
		w.Header().Set("Content-Length", fmt.Sprint(2<<30))
		_, _ = w.Write([]byte("a"))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

// TestTrickleIsTooSlow: a byte now and then feeds the timer of silence, and is still too slow.
func TestTrickleIsTooSlow(t *testing.T) {
	asked := 0
	w := newWorld(t)
	w.tuned.idle = time.Hour
	w.tuned.floor = network.Floor{Bytes: 1000, Window: 20 * time.Millisecond}
	err := w.Fetch(t.Context(), step,
		[]manifest.ExternalFile{source(serve(t, trickle(&asked)), content(10))})
	if !isMissing(err) || !strings.Contains(err.Error(), "too slow: 1 byte") &&
		!strings.Contains(err.Error(), "too slow: 0 bytes") || asked != maxAttempts {
		t.Errorf("asked %d times: %v", asked, err)
	}
}

// TestDownloadHasAnEnd: whatever a server sends, and however often it is asked again.
func TestDownloadHasAnEnd(t *testing.T) {
	asked := 0
	w := newWorld(t)
	w.tuned.idle, w.tuned.maxTime = time.Hour, 50*time.Millisecond
	err := w.Fetch(t.Context(), step,
		[]manifest.ExternalFile{source(serve(t, trickle(&asked)), content(10))})
	if !isMissing(err) || !strings.Contains(err.Error(), "not complete after 50ms") || asked != 1 {
		t.Errorf("asked %d times: %v", asked, err)
	}
}

func isMissing(err error) bool { return errors.As(err, new(*MissingError)) }

// TestEndlessHeaderIsCut: what a client keeps of a header is bounded.
func TestEndlessHeaderIsCut(t *testing.T) {
	sent := make(chan int, maxAttempts)
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		line := []byte("X-More: " + strings.Repeat("x", 1000) + "\r\n")
		n, _ := conn.Write([]byte("HTTP/1.1 200 OK\r\n"))
		for err == nil && n < 64<<20 {
			var more int
			more, err = conn.Write(line)
			n += more
		}
		sent <- n
	})
	w := newWorld(t)
	err := w.Fetch(t.Context(), step, []manifest.ExternalFile{source(srv, content(10))})
	if !isMissing(err) {
		t.Error(err)
	}
	// What the kernel's buffers of both sides hold may have been sent as well.
	if n := <-sent; n >= 9<<20 {
		t.Errorf("%d bytes of header were sent", n)
	}
}
