// The page in a real browser.

package report

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"buildsys/internal/buildtest/browser"
	"buildsys/internal/history"
)

func openPage(t *testing.T, text string) *browser.Page {
	t.Helper()
	path := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return browser.Open(t, path)
}

// TestPageInBrowser opens the page of a run with everything, hostile texts as well.
func TestPageInBrowser(t *testing.T) {
	m := model(t, history.Failure, story()...)
	p := openPage(t, html(t, m, model(t, history.Success, story()...)))
	for _, selector := range []string{"svg.timeline .bar", "svg.graph .box", "svg.graph .edge",
		"#table tbody tr", "#critical tbody tr", "#compare tbody tr"} {
		if n := p.Count(selector); n < 3 {
			t.Errorf("%s: %d", selector, n)
		}
	}
	if browser.Value[bool](p, `"hit" in window || document.images.length > 0`) {
		t.Error("text of a build was executed")
	}
	p.Fits()
	works(t, p)
	prints(t, p)
	p.StandsAlone()
}

// works checks what the script does: filter, sort and open.
func works(t *testing.T, p *browser.Page) {
	t.Helper()
	const names = `[...document.querySelectorAll("#table tbody tr:not([hidden]) th")]
		.map(th => th.textContent).join(" ")`
	const filter = chromedp.CSS("#filter")
	p.Do(chromedp.SendKeys(filter, "musl"))
	if got := browser.Value[string](p, names); got != "musl" {
		t.Errorf("filtered: %s", got)
	}
	p.Do(chromedp.SendKeys(filter, strings.Repeat("\b", len("musl"))))
	browser.Value[any](p, `document.querySelectorAll("#table thead button")[2].click()`)
	if got := browser.Value[string](p, names); !strings.HasPrefix(got, "slow bad top musl low ") {
		t.Errorf("sorted by time: %s", got)
	}
	browser.Value[string](p, `location.hash = "#step-0"`)
	p.Do(chromedp.WaitReady(chromedp.CSS("#step-0 details[open]")))
}

// prints checks that a printer gets pages.
func prints(t *testing.T, p *browser.Page) {
	t.Helper()
	pdf := browser.Get(p, chromedp.PrintToPDF(chromedp.PDFPrintBackground()))
	if !bytes.HasPrefix(pdf, []byte("%PDF-")) || len(pdf) < 10_000 {
		t.Errorf("a PDF of %d bytes", len(pdf))
	}
}

// TestLargePageInBrowser: a run of thousands of steps opens, and still fits.
func TestLargePageInBrowser(t *testing.T) {
	p := openPage(t, html(t, model(t, history.Success, large(2000)...), nil))
	if n := p.Count("#table tbody tr"); n != 2000 {
		t.Errorf("%d steps", n)
	}
	p.Fits()
	t.Logf("ready after %.0f ms", browser.Value[float64](p,
		"performance.getEntriesByType('navigation')[0].domComplete"))
	p.StandsAlone()
}
