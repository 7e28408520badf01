package loopbench

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEditsFit checks that every edit still finds its place in this repository.
func TestEditsFit(t *testing.T) {
	edits := []edit{firstParty}
	for _, s := range subjects {
		edits = append(edits, s.code, s.header, s.config)
	}
	for _, e := range edits {
		if e == none {
			continue
		}
		text, err := os.ReadFile(filepath.Join("../..", e.file))
		if err != nil {
			t.Error(err)
		} else if n := bytes.Count(text, []byte(e.old)); n != 1 {
			t.Errorf("%s has %q %d times, not once", e.file, e.old, n)
		}
	}
}

func TestReport(t *testing.T) {
	r := Results{Facts: "a machine", Rounds: 3, samples: map[string][]sample{
		"qemu-dev, nothing changed": {{wall: 0.05, cpu: 0.06}},
		"musl, cold, without":       {{wall: 10, cpu: 20}, {wall: 30, cpu: 40}, {wall: 20, cpu: 60}},
		"musl, one file, local":     {{wall: 5, cpu: 4, busy: 0.5}},
	}}
	text := r.Report()
	for _, want := range []string{
		"medians of 3 rounds. a machine.\n", "| nothing changed | 0.05 | 0.06 |\n",
		"The machine was not quiet: others kept up to 0.5 processors busy.\n",
		"| musl | without | 20.0 s (40.0 s; 1.00) | | | |\n",
		"| musl | local | | 5.0 s (4.0 s; 0.25) | | |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if run := r.Figures(); run.Quiet || len(run.Figures) != 6 {
		t.Errorf("figures: %+v", run)
	}
}
