// The page in a real browser: what no reading of its text can show.

package report

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"buildsys/internal/buildtest/need"
	"buildsys/internal/history"
)

// browser is a page in a browser, and what the browser complained about.
type browser struct {
	context.Context
	mu     sync.Mutex
	faults []string
	asked  []string // addresses
}

// openPage opens a page in a browser without a network.
func openPage(t *testing.T, text string) *browser {
	t.Helper()
	need.Time(t)
	path := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(need.Program(t, "chromium-headless-shell")),
		chromedp.NoSandbox) // root has none, and the page is ours
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{Context: ctx}
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	call(t, b, network.Enable, network.EnableParams{})
	call(t, b, log.Enable, cdp.Empty{})
	call(t, b, runtime.Enable, cdp.Empty{})
	b.do(t, chromedp.Navigate("file://"+path))
	return b
}

// hear notes what the browser says.
func (b *browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		b.faults = append(b.faults, fmt.Sprintf("console.%s", e.Type))
	case *runtime.EventExceptionThrown:
		b.faults = append(b.faults, e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		b.faults = append(b.faults, e.Entry.Text)
	case *network.EventRequestWillBeSent:
		b.asked = append(b.asked, e.Request.URL)
	}
}

func (b *browser) do(t *testing.T, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(b, actions...); err != nil {
		t.Fatal(err)
	}
}

// call sends a command.
func call[P, R any](t *testing.T, b *browser, command cdp.Command[P, R], params P) R {
	t.Helper()
	got, err := chromedp.Call(b, command, params)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// value returns the value of an expression.
func value[T any](t *testing.T, b *browser, expression string) T {
	t.Helper()
	v, err := chromedp.Run(b, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestPageInBrowser opens the page of a run with everything, hostile texts as well.
func TestPageInBrowser(t *testing.T) {
	m := model(t, history.Failure, story()...)
	b := openPage(t, html(t, m, model(t, history.Success, story()...)))

	for what, expression := range map[string]string{
		"bars of the timeline": `document.querySelectorAll("svg.timeline .bar").length`,
		"boxes of the graph":   `document.querySelectorAll("svg.graph .box").length`,
		"edges of the graph":   `document.querySelectorAll("svg.graph .edge").length`,
		"steps":                `document.querySelectorAll("#table tbody tr").length`,
		"critical path":        `document.querySelectorAll("#critical tbody tr").length`,
		"comparison":           `document.querySelectorAll("#compare tbody tr").length`,
	} {
		if n := value[int](t, b, expression); n < 3 {
			t.Errorf("%s: %d", what, n)
		}
	}
	if bad := value[[]string](t, b, `[...document.querySelectorAll("a, link")].filter(a => {
		const to = a.getAttribute("href");
		return !(to === "data:," || to[0] === "#" && document.getElementById(to.slice(1)));
	}).map(a => a.outerHTML)`); len(bad) > 0 {
		t.Errorf("links that lead nowhere here: %q", bad)
	}
	if value[bool](t, b, `"hit" in window || document.images.length > 0`) {
		t.Error("text of a build was executed")
	}
	fits(t, b)
	works(t, b)
	prints(t, b)

	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.faults) > 0 {
		t.Errorf("the browser complains: %q", b.faults)
	}
	for _, address := range b.asked {
		if !strings.HasPrefix(address, "file:///") && address != "data:," {
			t.Errorf("the page asks for %s", address)
		}
	}
}

// fits checks that the page is as wide as the screen, in the light and in the dark.
func fits(t *testing.T, b *browser) {
	t.Helper()
	for _, width := range []int64{320, 390, 768, 1280, 2560} {
		b.do(t, chromedp.EmulateViewport(width, 900))
		if got := value[int64](t, b, "document.documentElement.scrollWidth"); got > width {
			t.Errorf("on a screen of %d the page is %d wide", width, got)
		}
	}
	paper := map[string]bool{}
	for _, scheme := range []string{"light", "dark"} {
		call(t, b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		paper[value[string](t, b, "getComputedStyle(document.body).backgroundColor")] = true
	}
	if len(paper) != 2 {
		t.Errorf("the same in the dark: %v", paper)
	}
}

// works checks what the script does: filter, sort and open.
func works(t *testing.T, b *browser) {
	t.Helper()
	const names = `[...document.querySelectorAll("#table tbody tr:not([hidden]) th")]
		.map(th => th.textContent).join(" ")`
	const filter = chromedp.CSS("#filter")
	b.do(t, chromedp.SendKeys(filter, "musl"))
	if got := value[string](t, b, names); got != "musl" {
		t.Errorf("filtered: %s", got)
	}
	b.do(t, chromedp.SendKeys(filter, strings.Repeat("\b", len("musl"))))
	value[any](t, b, `document.querySelectorAll("#table thead button")[2].click()`)
	if got := value[string](t, b, names); !strings.HasPrefix(got, "slow bad top musl low ") {
		t.Errorf("sorted by time: %s", got)
	}
	value[string](t, b, `location.hash = "#step-0"`)
	b.do(t, chromedp.WaitReady(chromedp.CSS("#step-0 details[open]")))
}

// prints checks that a printer gets pages.
func prints(t *testing.T, b *browser) {
	t.Helper()
	pdf, err := chromedp.Run(b, chromedp.PrintToPDF(chromedp.PDFPrintBackground()))
	if err != nil || !bytes.HasPrefix(pdf, []byte("%PDF-")) || len(pdf) < 10_000 {
		t.Errorf("a PDF of %d bytes, %v", len(pdf), err)
	}
}

// TestLargePageInBrowser: a run of thousands of steps opens, and still fits.
func TestLargePageInBrowser(t *testing.T) {
	b := openPage(t, html(t, model(t, history.Success, large(2000)...), nil))
	if n := value[int](t, b, `document.querySelectorAll("#table tbody tr").length`); n != 2000 {
		t.Errorf("%d steps", n)
	}
	fits(t, b)
	t.Logf("ready after %.0f ms", value[float64](t, b,
		"performance.getEntriesByType('navigation')[0].domComplete"))
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.faults) > 0 {
		t.Errorf("the browser complains: %q", b.faults)
	}
}
