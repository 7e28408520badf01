// Package telemetry sends a run that has ended to a collector of OpenTelemetry: a span for the run,
// below it one for each step that something was done for, and below that its downloads and its
// build. The environment of the caller alone says where to. A collector that does not answer delays
// the end of a run by some seconds, never its builds.
package telemetry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"buildsys/internal/history"
	"buildsys/internal/progress"
	"buildsys/internal/report"
	"buildsys/internal/safetext"
)

// patience is how long all spans of a run may take to be sent. Tests have less.
var patience = 5 * time.Second

// atOnce is how many spans are sent in a request.
const atOnce = 512

// Wanted reports whether the environment names a collector.
func Wanted(getenv func(string) string) bool {
	return !strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") &&
		!strings.EqualFold(getenv("OTEL_TRACES_EXPORTER"), "none") &&
		getenv("OTEL_EXPORTER_OTLP_ENDPOINT")+getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// Send sends a run to the collector of the environment. TRACEPARENT there names the span that the
// run belongs to. It returns soon, whatever the collector does.
func Send(ctx context.Context, r history.Run, getenv func(string) string) error {
	if p := getenv("OTEL_EXPORTER_OTLP_PROTOCOL"); p != "" && p != "http/protobuf" {
		return fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q: only http/protobuf is spoken",
			safetext.Line(p))
	}
	m, err := report.New(r, report.Sources{})
	if err != nil {
		return err
	}
	// A run that was cancelled is sent as well.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	var faults faults
	otel.SetErrorHandler(&faults) // the library would print what a collector says
	to, err := otlptracehttp.New(ctx, otlptracehttp.WithTimeout(patience),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{}))
	if err != nil {
		return err
	}
	spans, err := spansOf(ctx, m, getenv)
	for len(spans) > 0 && err == nil {
		n := min(len(spans), atOnce)
		err = to.ExportSpans(ctx, spans[:n])
		spans = spans[n:]
	}
	return errors.Join(err, to.Shutdown(ctx), faults.first())
}

// faults keeps the first thing that the library complains about.
type faults struct {
	mu  sync.Mutex
	err error
}

// Handle implements otel.ErrorHandler.
func (f *faults) Handle(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *faults) first() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// collected are spans that have ended. The library's own ways to collect them drop what does not
// fit their queues.
type collected struct{ spans []sdktrace.ReadOnlySpan }

func (*collected) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (c *collected) OnEnd(s sdktrace.ReadOnlySpan)                 { c.spans = append(c.spans, s) }
func (*collected) Shutdown(context.Context) error                  { return nil }
func (*collected) ForceFlush(context.Context) error                { return nil }

// spansOf makes the spans of a run.
func spansOf(ctx context.Context, m *report.Model, getenv func(string) string) (
	[]sdktrace.ReadOnlySpan, error) {
	res, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "buildsys")), resource.WithFromEnv())
	if err != nil {
		return nil, err
	}
	var all collected
	provider := sdktrace.NewTracerProvider(sdktrace.WithResource(res),
		sdktrace.WithSpanProcessor(&all))
	t := tracer{provider.Tracer("buildsys"), m}
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{
		"traceparent": getenv("TRACEPARENT"), "tracestate": getenv("TRACESTATE")})
	t.run(ctx)
	return all.spans, nil
}

type tracer struct {
	trace.Tracer
	m *report.Model
}

// span makes a span of a part of the run, and what is below it.
func (t tracer) span(ctx context.Context, name string, s report.Span, fault string,
	attributes map[string]any, below func(ctx context.Context)) {
	began := t.m.Run.Began
	ctx, span := t.Start(ctx, name, trace.WithTimestamp(began.Add(s.Start)))
	for key, value := range attributes {
		span.SetAttributes(attributeOf("buildsys."+key, value))
	}
	if fault != "" {
		span.SetStatus(codes.Error, fault)
	}
	if below != nil {
		below(ctx)
	}
	span.End(trace.WithTimestamp(began.Add(s.End)))
}

func attributeOf(key string, value any) attribute.KeyValue {
	switch v := value.(type) {
	case int:
		return attribute.Int(key, v)
	case int64:
		return attribute.Int64(key, v)
	case bool:
		return attribute.Bool(key, v)
	case []string:
		return attribute.StringSlice(key, v)
	}
	return attribute.String(key, fmt.Sprint(value))
}

func (t tracer) run(ctx context.Context) {
	r := t.m.Run
	about := map[string]any{"run": r.ID, "command": r.Command, "arch": r.Arch, "root": r.Root}
	if r.Variant != "" {
		about["variant"] = r.Variant
	}
	fault := ""
	if r.End != nil {
		about["outcome"] = string(r.End.Outcome)
		if r.End.Outcome != history.Success {
			fault = cmp.Or(r.End.Error, string(r.End.Outcome))
		}
		about["built"], about["cached"], about["failed"] = r.End.Built, r.End.Cached, r.End.Failed
	}
	about["saved_seconds"] = int64(t.m.Saved().Time.Seconds())
	name := "buildsys"
	if len(r.Command) > 0 {
		name += " " + r.Command[0]
	}
	t.span(ctx, name, report.Span{End: t.m.Took}, fault, about, func(ctx context.Context) {
		for _, s := range t.m.Steps {
			if whole := s.Whole(); whole != (report.Span{}) {
				t.span(ctx, progress.Name(s.ID), whole, s.Err, s.Attributes(), func(ctx context.Context) {
					t.step(ctx, s)
				})
			}
		}
	})
}

// step makes the spans below that of a step.
func (t tracer) step(ctx context.Context, s report.Step) {
	for _, g := range s.Gets {
		name := "fetch outputs"
		if g.Name != "" {
			name = "fetch " + g.Name
		}
		t.span(ctx, name, g.Span, "", map[string]any{"bytes": g.Bytes}, nil)
	}
	if s.Build != (report.Span{}) {
		t.span(ctx, "build", s.Build, s.Err, nil, nil)
	}
}
