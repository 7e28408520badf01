package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"buildsys/internal/image"
	"buildsys/internal/progress"
	"buildsys/internal/safetext"
)

// hostileName could be the name of anything in a tree, an image or a registry.
const hostileName = "v1\n::error file=a::pwned\n##vso[task.complete]\x1b]0;owned\x07\x1b[2J"

// checkSafe fails the test if a terminal or a CI service would obey text.
func checkSafe(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "::") || strings.Contains(line, "##vso[") ||
			strings.Contains(line, "\x1b") || strings.Contains(line, "\x07") {
			t.Errorf("printed %q", line)
		}
	}
	if !strings.Contains(text, "v1") {
		t.Errorf("%q does not show the name", text)
	}
}

// TestPrintedTextIsSafe: every message and report passes one place that makes it safe.
func TestPrintedTextIsSafe(t *testing.T) {
	for name, args := range map[string][]string{
		"an error":     {"inspect", filepath.Join(t.TempDir(), hostileName+".img")},
		"a wrong flag": {"plan", "--" + hostileName},
		"a wrong name": {hostileName},
	} {
		t.Run(name, func(t *testing.T) {
			var out, log bytes.Buffer
			status := Main(System{Args: args, Dir: t.TempDir(), Stdout: &out, Stderr: &log,
				Stdin: strings.NewReader(""), Getenv: func(string) string { return "" }})
			if status == ExitOK || out.Len() > 0 {
				t.Errorf("status %d, output %q", status, out.String())
			}
			checkSafe(t, log.String())
		})
	}
}

// TestEventsAndJSONAreSafe: what a session says, and the documents that commands print.
func TestEventsAndJSONAreSafe(t *testing.T) {
	var out, log bytes.Buffer
	a := &app{sys: &System{Stdout: &out, Stderr: &log}}
	a.sys.display = &display{sys: a.sys}
	console := a.newConsole()
	console.Event(progress.Event{Kind: progress.Warning, Text: hostileName})
	console.Notice(hostileName)
	checkSafe(t, log.String())
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("%d lines of two texts: %q", n, log.String())
	}
	if err := a.printJSON("names", map[string]string{"name": hostileName}); err != nil {
		t.Fatal(err)
	}
	checkSafe(t, out.String())
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got["name"] != hostileName {
		t.Errorf("%q, %v", got, err)
	}
}

// TestReportOfImageKeepsItsLines: no name in an image makes a line of the report.
func TestReportOfImageKeepsItsLines(t *testing.T) {
	var plain, hostile strings.Builder
	report := func(name string) inspected {
		return inspected{Image: name, Report: image.Report{Notes: []string{name},
			Faults: []string{name}, OSRelease: map[string]string{name: name},
			Partitions: []image.PartitionReport{{Label: name, Role: name, UUID: name}}}}
	}
	for to, name := range map[*strings.Builder]string{&plain: "v1", &hostile: hostileName} {
		if err := writeInspected(to, report(name)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := strings.Count(hostile.String(), "\n"), strings.Count(plain.String(),
		"\n"); got != want {
		t.Errorf("%d lines instead of %d:\n%s", got, want, hostile.String())
	}
}

// TestLibrariesDoNotReachTheTerminal: their loggers write to the standard error by themselves.
func TestLibrariesDoNotReachTheTerminal(t *testing.T) {
	ThisSystem(nil)
	_, safe := logrus.StandardLogger().Out.(*safetext.Writer)
	if log.Writer() != io.Discard || !safe {
		t.Errorf("they write to %T and %T", log.Writer(), logrus.StandardLogger().Out)
	}
}
