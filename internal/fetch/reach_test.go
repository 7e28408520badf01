// reach_test: where the URLs of a tree may lead, and those of the caller.

package fetch

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"buildsys/internal/manifest"
)

// TestURLOfTreeReachesPublicServersOnly: neither the URL in a manifest nor a lookaside cache that a
// tree names makes this machine ask servers of its own network, and nothing of an answer is shown.
func TestURLOfTreeReachesPublicServersOnly(t *testing.T) {
	b := content(1000)
	asked := 0
	local := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		_, _ = w.Write([]byte("secret"))
	})
	port := local[strings.LastIndexByte(local, ':')+1:]
	for _, base := range []string{local, "http://localhost:" + port,
		"http://[::ffff:127.0.0.1]:" + port, "http://169.254.169.254", "http://[fd00:ec2::254]"} {
		for _, lookaside := range []bool{false, true} {
			t.Run(fmt.Sprint(base, lookaside), func(t *testing.T) {
				w := newWorld(t)
				w.Private = false
				f := source(base, b)
				if lookaside {
					f.URL, w.Upstream, w.Lookaside = "http://example.invalid/a", false, []string{base}
				}
				err := w.Fetch(t.Context(), step, []manifest.ExternalFile{f})
				if !isMissing(err) || !strings.Contains(err.Error(), "it is not a public address") ||
					!strings.Contains(err.Error(), "--trust-tree") ||
					strings.Contains(err.Error(), sum([]byte("secret"))) {
					t.Errorf("%v", err)
				}
				if asked > 0 || len(w.slept) > 0 {
					t.Errorf("asked %d times, waited %v", asked, w.slept)
				}
			})
		}
	}
}

// TestPlaceOfCallerMayBeAnywhere, even though the tree is not trusted.
func TestPlaceOfCallerMayBeAnywhere(t *testing.T) {
	b := content(1000)
	w := newWorld(t)
	w.Private, w.PrivateLookaside = false, true
	has := func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write(b) }
	w.Lookaside = []string{serve(t, has)}
	w.good(source("http://example.invalid", b), b)
}

// TestAnswerThroughProxyIsNotShown: whose answer it is, nobody here knows.
func TestAnswerThroughProxyIsNotShown(t *testing.T) {
	b := content(1000)
	w := newWorld(t)
	f := source("http://example.invalid", b)
	p, err := openPart(t.Context(), w.Path(f), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.release(nil)
	if _, err := p.Write([]byte("<html>secret")); err != nil {
		t.Fatal(err)
	}
	for _, hidden := range []bool{false, true} {
		p.hidden = hidden
		a := p.wrong(t.Context(), place{label: "there"}, p.hex())
		j := &job{name: "a"}
		text := a.String() + a.warning(j, "here", 5) +
			(&IntegrityError{Name: "a", Tried: []Attempt{a}}).Error()
		for _, word := range []string{p.hex(), "12 bytes", "7 bytes", "HTML"} {
			if strings.Contains(text, word) == hidden {
				t.Errorf("hidden: %v, but %q", hidden, text)
			}
		}
	}
}
