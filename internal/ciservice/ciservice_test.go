package ciservice

import (
	"bytes"
	"encoding/xml"
	"errors"
	"strings"
	"testing"
	"time"

	"buildsys/internal/golden"
	"buildsys/internal/progress"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// runs are a run with each outcome, and texts that look like commands, tags and tables.
func runs() []Run {
	var r Results
	for _, e := range []progress.Event{
		{Kind: progress.StepDone, Step: "package/none"}, // before a run
		{Kind: progress.PlanReady, Time: start, Plan: &progress.Plan{Arch: "x86_64",
			Steps: []progress.PlannedStep{{ID: "package/a"}, {ID: "package/b"}, {ID: "package/c"},
				{ID: "package/d"}, {ID: "package/e"}, {ID: "package/f"}, {ID: "variant/qemu-dev"}}}},
		{Kind: progress.StepCached, Step: "package/a"},
		{Kind: progress.StepDone, Step: "package/b", Duration: 61 * time.Second},
		{Kind: progress.StepFailed, Step: "package/c", Duration: 1500 * time.Millisecond,
			Cause: &progress.Cause{Phase: "%build", Text: "c.c:3: <b>|bad|</b> ::error::x\x1b[31m",
				Hint: "add *this*", Lines: []string{"::set-output name=x::y", "##[error]z",
					"</pre><script>", "plain"}}},
		{Kind: progress.StepFailed, Step: "package/d", Err: errors.New("exit code: 1\nDockerfile:3")},
		{Kind: progress.StepCancelled, Step: "package/e", Duration: time.Second},
		{Kind: progress.StepSkipped, Step: "variant/qemu-dev", Text: "package/c"},
		{Kind: progress.StepDone, Step: "package/unknown"},
		{Kind: progress.PlanDone, Duration: 2 * time.Minute},
	} {
		r.Event(e)
	}
	r.Ended(progress.Summary{Failures: []progress.Failure{
		{Step: "package/c", Tail: []string{"not these"}},
		{Step: "package/d", Tail: []string{"last\x00 line"}},
	}})
	return r.Runs()
}

func TestJUnit(t *testing.T) {
	var b bytes.Buffer
	if err := WriteJUnit(&b, runs()); err != nil {
		t.Fatal(err)
	}
	golden.Equal(t, "testdata/junit.xml", b.Bytes())
	var back junitSuites
	if err := xml.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	s := back.Suites[0]
	if len(s.Cases) != 7 || s.Tests != 7 || s.Failures != 2 || s.Skipped != 3 {
		t.Errorf("%d cases, %d tests, %d failures, %d skipped", len(s.Cases), s.Tests, s.Failures,
			s.Skipped)
	}
}

func TestSummary(t *testing.T) {
	var b bytes.Buffer
	if err := WriteSummary(&b, runs()); err != nil {
		t.Fatal(err)
	}
	golden.Equal(t, "testdata/summary.md", b.Bytes())
}

// TestNothingIsACommand: only what this package means as a command is one.
func TestNothingIsACommand(t *testing.T) {
	for _, s := range Services {
		var b bytes.Buffer
		lines := []string{"::error::x", "  ::stop-commands::t", "##[group]", "a\r::warning::y",
			"\x1b[0Ksection_end:1:x\r\x1b[0K", "::endgroup::"}
		if err := s.Fold(&b, "a/b:c\n", "title\n::error::no", lines, start); err != nil {
			t.Fatal(err)
		}
		if err := s.Annotate(&b, Note{Error: true, File: "a,b:c.spec", Line: 3, Title: "t\n::x::",
			Text: "100%\n::error::no"}); err != nil {
			t.Fatal(err)
		}
		golden.Equal(t, "testdata/"+string(s)+".txt", b.Bytes())
		for i, line := range strings.Split(b.String(), "\n") {
			command := strings.Contains(line, "::") || strings.Contains(line, "##[") ||
				strings.Contains(line, "section_")
			begins := strings.HasPrefix(line, "::group::") || line == "::endgroup::" ||
				strings.HasPrefix(line, "::error ") || strings.HasPrefix(line, "\x1b[0Ksection_")
			if command && !begins && strings.HasPrefix(strings.TrimSpace(line), "::") {
				t.Errorf("%s: line %d is a command: %q", s, i, line)
			}
		}
	}
}

func TestDetect(t *testing.T) {
	for env, want := range map[string]Service{"GITHUB_ACTIONS=true": GitHub, "GITLAB_CI=true": GitLab,
		"CODEBUILD_BUILD_ID=x:1": CodeBuild, "CI=true": None} {
		name, value, _ := strings.Cut(env, "=")
		got := Detect(func(n string) string {
			if n == name {
				return value
			}
			return ""
		})
		if got != want {
			t.Errorf("%s: %s, want %s", env, got, want)
		}
	}
}
