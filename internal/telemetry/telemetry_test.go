package telemetry

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"buildsys/internal/history"
	"buildsys/internal/progress"
)

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// silent drops events.
type silent struct{}

func (silent) Event(progress.Event) {}

// kept is a run that fetched and built musl, and failed to build each of n packages.
func kept(t *testing.T, n int) history.Run {
	t.Helper()
	d := history.Dir{Path: filepath.Join(t.TempDir(), "runs")}
	r := d.Start(history.Begin{Command: []string{"build-package", "musl"}, Arch: "x86_64",
		Began: began}, silent{})
	event := func(second int, kind progress.Kind, step, text string) {
		r.Event(progress.Event{Time: began.Add(time.Duration(second) * time.Second), Kind: kind,
			Step: "package/" + step, Text: text, Err: errors.New("exit code: 1")})
	}
	event(1, progress.FetchStart, "musl", "musl.tar.gz")
	event(3, progress.FetchDone, "musl", "musl.tar.gz")
	event(4, progress.StepStart, "musl", "")
	event(9, progress.StepDone, "musl", "")
	event(9, progress.StepCached, "attr", "")
	for i := range n {
		event(10, progress.StepStart, fmt.Sprint(i), "")
		event(11, progress.StepFailed, fmt.Sprint(i), "")
	}
	r.End(history.End{Outcome: history.Failure})
	run, err := d.Open(1)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// environment sets the environment to that of a caller, and returns how to read it.
func environment(t *testing.T, values map[string]string) func(string) string {
	for name, value := range values {
		t.Setenv(name, value)
	}
	return func(name string) string { return values[name] }
}

// collect starts a collector.
func collect(t *testing.T) (address string, spans func() []*otlp.Span) {
	var mu sync.Mutex
	var all []*otlp.Span
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		var request collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(data, &request)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL, err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, resource := range request.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				all = append(all, scope.Spans...)
			}
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, func() []*otlp.Span {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

// TestSend: a collector gets the run, its steps and what they did, below the caller's span.
func TestSend(t *testing.T) {
	address, spans := collect(t)
	getenv := environment(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": address,
		"TRACEPARENT": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
	if !Wanted(getenv) {
		t.Fatal("not wanted")
	}
	if err := Send(t.Context(), kept(t, 1), getenv); err != nil {
		t.Fatal(err)
	}
	names := map[string]string{"b7ad6b7169203331": "caller"}
	for _, s := range spans() {
		names[fmt.Sprintf("%x", s.SpanId)] = s.Name
	}
	var got []string
	for _, s := range spans() {
		start := time.Unix(0, int64(s.StartTimeUnixNano)).Sub(began)
		got = append(got, fmt.Sprintf("%s > %s %v+%v %v", names[fmt.Sprintf("%x", s.ParentSpanId)],
			s.Name, start, time.Duration(s.EndTimeUnixNano-s.StartTimeUnixNano), s.Status.GetCode()))
		if fmt.Sprintf("%x", s.TraceId) != "0af7651916cd43dd8448eb211c80319c" {
			t.Errorf("%s is of the trace %x", s.Name, s.TraceId)
		}
	}
	slices.Sort(got)
	want := []string{
		"0 > build 10s+1s STATUS_CODE_ERROR",
		"buildsys build-package > 0 10s+1s STATUS_CODE_ERROR",
		"buildsys build-package > musl 1s+8s STATUS_CODE_UNSET",
		"caller > buildsys build-package STATUS_CODE_ERROR",
		"musl > build 4s+5s STATUS_CODE_UNSET",
		"musl > fetch musl.tar.gz 1s+2s STATUS_CODE_UNSET",
	}
	for i, text := range got { // it ended when this test ran
		if rest, ok := strings.CutPrefix(text, "caller > buildsys build-package 0s+"); ok {
			_, code, _ := strings.Cut(rest, " ")
			got[i] = "caller > buildsys build-package " + code
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestSendsAll: the library's queue would drop spans of large runs.
func TestSendsAll(t *testing.T) {
	address, spans := collect(t)
	getenv := environment(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": address})
	if err := Send(t.Context(), kept(t, 1200), getenv); err != nil {
		t.Fatal(err)
	}
	if n := len(spans()); n != 1+3+2*1200 {
		t.Errorf("%d spans", n)
	}
}

// TestDeadCollector: one that takes the request and never answers is given up.
func TestDeadCollector(t *testing.T) {
	defer func(d time.Duration) { patience = d }(patience)
	patience = 200 * time.Millisecond
	over := make(chan bool)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }))
	defer server.Close()
	defer close(over)
	getenv := environment(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": server.URL})
	if err := Send(t.Context(), kept(t, 1), getenv); err == nil {
		t.Error("a collector that never answers is no error")
	}
}

func TestNotWanted(t *testing.T) {
	for _, values := range []map[string]string{
		{}, {"OTEL_SERVICE_NAME": "x"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.invalid", "OTEL_SDK_DISABLED": "true"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.invalid", "OTEL_TRACES_EXPORTER": "none"},
	} {
		if Wanted(func(name string) string { return values[name] }) {
			t.Errorf("%v: wanted", values)
		}
	}
	getenv := environment(t, map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
	err := Send(t.Context(), history.Run{}, getenv)
	if err == nil || !strings.Contains(err.Error(), "only http/protobuf") {
		t.Errorf("another protocol: %v", err)
	}
}
