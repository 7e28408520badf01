// Package browser opens pages in a real browser: what no reading of their text can show.
package browser

import (
	"context"
	"fmt"
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
)

// Page is a page in a browser, and what the browser complained about.
type Page struct {
	context.Context
	t      *testing.T
	mu     sync.Mutex
	faults []string
	asked  []string // addresses
}

// Open opens the page in the file at path.
func Open(t *testing.T, path string) *Page {
	t.Helper()
	need.Time(t)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(need.Program(t, "chromium-headless-shell")),
		chromedp.NoSandbox) // root has none, and the page is ours
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	p := &Page{Context: ctx, t: t}
	if err := chromedp.Listen(ctx, p.hear); err != nil {
		t.Fatal(err)
	}
	call(p, network.Enable, network.EnableParams{})
	call(p, log.Enable, cdp.Empty{})
	call(p, runtime.Enable, cdp.Empty{})
	p.Do(chromedp.Navigate("file://" + path))
	return p
}

// hear notes what the browser says.
func (p *Page) hear(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		p.faults = append(p.faults, fmt.Sprintf("console.%s", e.Type))
	case *runtime.EventExceptionThrown:
		p.faults = append(p.faults, e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		p.faults = append(p.faults, e.Entry.Text)
	case *network.EventRequestWillBeSent:
		p.asked = append(p.asked, e.Request.URL)
	}
}

// Do does what a user would.
func (p *Page) Do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p, actions...); err != nil {
		p.t.Fatal(err)
	}
}

// Get returns what an action finds.
func Get[T any](p *Page, action chromedp.Action[T]) T {
	p.t.Helper()
	v, err := chromedp.Run(p, action)
	if err != nil {
		p.t.Fatal(err)
	}
	return v
}

// Value returns the value of an expression.
func Value[T any](p *Page, expression string) T {
	p.t.Helper()
	return Get(p, chromedp.Evaluate[T](expression))
}

// Count returns how many elements a CSS selector finds.
func (p *Page) Count(selector string) int {
	p.t.Helper()
	return Value[int](p, fmt.Sprintf("document.querySelectorAll(%q).length", selector))
}

// call sends a command.
func call[P, R any](p *Page, command cdp.Command[P, R], params P) R {
	p.t.Helper()
	got, err := chromedp.Call(p, command, params)
	if err != nil {
		p.t.Fatal(err)
	}
	return got
}

// wider lists elements that reach beyond a width, or whose text does.
const wider = `[...document.querySelectorAll("body *")].filter(e => {
	const range = document.createRange();
	range.selectNodeContents(e);
	return !e.ownerSVGElement && !e.closest(".scroll") && [e, range].some(
		b => b.getBoundingClientRect().right > %d);
}).map(e => e.outerHTML.slice(0, 100)).slice(0, 9)`

// Fits checks that the page is as wide as the screen, and is dark where that is wished.
func (p *Page) Fits() {
	p.t.Helper()
	for _, width := range []int64{320, 390, 768, 1280, 2560} {
		p.Do(chromedp.EmulateViewport(width, 900))
		if got := Value[int64](p, "document.documentElement.scrollWidth"); got > width {
			p.t.Errorf("on a screen of %d the page is %d wide, because of %q", width, got,
				Value[[]string](p, fmt.Sprintf(wider, width)))
		}
	}
	paper := map[string]bool{}
	for _, scheme := range []string{"light", "dark"} {
		call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		paper[Value[string](p, "getComputedStyle(document.body).backgroundColor")] = true
	}
	if len(paper) != 2 {
		p.t.Errorf("the same in the dark: %v", paper)
	}
}

// StandsAlone checks that all links lead to places in the page, that it asked for nothing else, and
// that the browser had nothing to complain about. It is the last check.
func (p *Page) StandsAlone() {
	p.t.Helper()
	if bad := Value[[]string](p, `[...document.querySelectorAll("a, link")].filter(a => {
		const to = a.getAttribute("href");
		return !(to === "data:," || to[0] === "#" && document.getElementById(to.slice(1)));
	}).map(a => a.outerHTML)`); len(bad) > 0 {
		p.t.Errorf("links that lead nowhere here: %q", bad)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.faults) > 0 {
		p.t.Errorf("the browser complains: %q", p.faults)
	}
	for _, address := range p.asked {
		if !strings.HasPrefix(address, "file:///") && address != "data:," {
			p.t.Errorf("the page asks for %s", address)
		}
	}
}
