// The report of a real build, in a real browser.

package e2e

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/buildtest/browser"
)

// keptRun is a run, as buildsys runs --json lists it.
type keptRun struct {
	ID    int
	Steps struct{ Total, Built, Cached int }
}

// TestReportOfSampleOS opens the report of the run that built most in this checkout: on a machine
// that has nothing, it built the sample OS from its sources.
func TestReportOfSampleOS(t *testing.T) {
	needEngine(t)
	buildSample(t, "x86_64", "qemu-dev")
	root := repository(t)
	r := buildsys(t, root, nil, "runs", "--json")
	r.must(t, 0)
	var listed struct{ Runs []keptRun }
	buildtest.Must(t, json.Unmarshal([]byte(r.stdout), &listed))
	var run keptRun
	for _, one := range listed.Runs {
		if one.Steps.Built >= run.Steps.Built && one.Steps.Total > 1 {
			run = one
		}
	}
	page := filepath.Join(t.TempDir(), "report.html")
	buildsys(t, root, nil, "report", strconv.Itoa(run.ID), "-o", page).must(t, 0)
	p := browser.Open(t, page)
	t.Logf("run %d: %d steps, %d of them built", run.ID, run.Steps.Total, run.Steps.Built)
	for selector, least := range map[string]int{
		"svg.timeline .bar":  run.Steps.Built,
		"svg.graph .box":     run.Steps.Total,
		"svg.graph .edge":    run.Steps.Total - 1,
		"#critical tbody tr": min(1, run.Steps.Built),
		"#table tbody tr":    run.Steps.Total,
	} {
		if n := p.Count(selector); n < least {
			t.Errorf("%s: %d, want at least %d", selector, n, least)
		}
	}
	p.Fits()
	p.StandsAlone()
}
