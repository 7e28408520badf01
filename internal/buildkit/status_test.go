// Tests of the status stream: splitting, cleaning and limiting lines.

package buildkit

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"

	"buildsys/internal/progress"
)

func TestCleanLine(t *testing.T) {
	for in, want := range map[string]string{
		"plain text\twith tab":                       "plain text\twith tab",
		"\x1b[31;1mred\x1b[0m":                       "red",
		"a\x1b]0;title\x07b":                         "ab",
		"a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\b": "alinkb",
		"a\x1bP1$qx\x1b\\b":                          "ab",
		"a\x1b(Bb\x1bcc\x1b7":                        "abc",
		"never ends \x1b]0;x":                        "never ends ",
		"lone \x1b":                                  "lone ",
		"half \x1b[12;":                              "half ",
		"csi \u009b31mred":                           "csi red",
		"osc \u009d0;t\u009cend":                     "osc end",
		"bell\a back\b del\x7f nul\x00":              "bell back del nul",
		"10%\r50%\r100%":                             "100%",
		"crlf\r":                                     "crlf",
		"all\rgone\r":                                "gone",
		"\xff\xfeok":                                 "\ufffd\ufffdok",
		"grüße 日本":                                   "grüße 日本",
		"abc\u202edcba":                              "abcdcba",
		"":                                           "",
	} {
		if got := cleanLine([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzCleanLine(f *testing.F) {
	f.Add([]byte("\x1b[1;2H\x1b]0;x\x07 \x9b \xc2\x9b1m"))
	f.Add([]byte("a\rb\r\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		got := cleanLine(in)
		if !utf8.ValidString(got) {
			t.Fatalf("%q: not UTF-8: %q", in, got)
		}
		if i := strings.IndexFunc(got, func(r rune) bool {
			return r != '\t' &&
				unicode.IsControl(r)
		}); i >= 0 {
			t.Fatalf("%q: control character left in %q", in, got)
		}
	})
}

func TestStatusLogLines(t *testing.T) {
	var got []string
	l := newStatusLog(func(line string) { got = append(got, line) })
	send := func(vertex digest.Digest, stream int, data string) {
		l.add(&client.SolveStatus{Logs: []*client.VertexLog{{Vertex: vertex, Stream: stream,
			Data: []byte(data)}}})
	}
	send("v", 1, "one\ntw")
	send("v", 2, "error\n") // another stream does not break a line in two
	send("w", 1, "other")
	send("v", 1, "o\n\nthr\xc3")
	send("v", 1, "\xa9e") // a character in two chunks
	l.flush()
	want := []string{"one", "error", "two", "", "thrée", "other"}
	if !slices.Equal(got, want) {
		t.Errorf("lines %q, want %q", got, want)
	}
	if !slices.Equal(l.tail, want) {
		t.Errorf("tail %q, want %q", l.tail, want)
	}
}

func TestStatusLogLimits(t *testing.T) {
	var got []string
	l := newStatusLog(func(line string) { got = append(got, line) })
	for range 1000 { // one line of 1 MB
		l.write(logStream{}, bytes.Repeat([]byte("x"), 1000))
	}
	l.write(logStream{}, []byte("\nnext\n"))
	if len(got) != 2 || len(got[0]) > maxLine+100 || !strings.HasSuffix(got[0], "(line cut)") ||
		got[1] != "next" {
		t.Errorf("%d lines, the first of %d bytes", len(got), len(got[0]))
	}
	for i := range 100 {
		l.write(logStream{}, fmt.Appendf(nil, "%d\n", i))
	}
	if len(l.tail) != tailLines || l.tail[0] != "60" || l.tail[tailLines-1] != "99" {
		t.Errorf("tail %q", l.tail)
	}
}

func TestStatusLogFailedVertex(t *testing.T) {
	l := newStatusLog(func(string) {})
	l.add(&client.SolveStatus{Vertexes: []*client.Vertex{{Name: "fine"},
		{Name: "first", Error: "exit code: 1"}}})
	l.add(&client.SolveStatus{Vertexes: []*client.Vertex{{Name: "second", Error: "canceled"}}})
	if l.failed == nil || l.failed.Name != "first" {
		t.Errorf("failed vertex %v", l.failed)
	}
}

func TestReporterWarnsOnceOfDroppedOutput(t *testing.T) {
	var got []progress.Event
	report := reporter(func(ev progress.Event) { got = append(got, ev) })
	for _, line := range []string{"a", "[output clipped, log limit 1MiB reached]",
		"[output clipped, log limit 200KiB/s reached]"} {
		report(line)
	}
	var kinds []progress.Kind
	for _, ev := range got {
		kinds = append(kinds, ev.Kind)
	}
	if want := []progress.Kind{progress.StepLog, progress.StepLog, progress.Warning,
		progress.StepLog}; !slices.Equal(kinds, want) {
		t.Errorf("events %v, want %v", kinds, want)
	}
	reporter(nil)("nobody listens")
}
