// learn_test: what is fetched without a hash, and how it is bounded.

package fetch

import (
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
)

func TestLearn(t *testing.T) {
	b := content(3000)
	w := newWorld(t)
	url := serve(t, func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/page.tar":
			_, _ = io.WriteString(rw, "<html>gone</html>")
		case "/missing.tar":
			rw.WriteHeader(http.StatusNotFound)
		default:
			_, _ = rw.Write(b)
		}
	})
	got, err := w.Learn(t.Context(), Wanted{Step: step, URL: url + "/a.tar", Name: "a.tar"})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(got.Path)
	if err != nil || string(kept) != string(b) || got.SHA512 != sum(b) || !got.Plain ||
		got.Size != 3000 {
		t.Errorf("%+v: %d bytes, %v", got, len(kept), err)
	}
	if files := strings.Join(w.files(), " "); files != "a.tar" {
		t.Errorf("left in the store: %s", files)
	}
	for name, want := range map[string]string{"page.tar": "an HTML page", "missing.tar": "404"} {
		_, err := w.Learn(t.Context(), Wanted{Step: step, URL: url + "/" + name, Name: name})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if files := strings.Join(w.files(), " "); files != "a.tar" {
		t.Errorf("left in the store: %s", files)
	}
}

// TestLearnHeedsWhereItMayAsk: the URLs of a tree lead to public servers, those of the caller
// anywhere.
func TestLearnHeedsWhereItMayAsk(t *testing.T) {
	w := newWorld(t)
	w.Private = false
	asked := 0
	url := serve(t, func(rw http.ResponseWriter, _ *http.Request) {
		asked++
		_, _ = rw.Write([]byte("data"))
	})
	one := Wanted{Step: step, URL: url + "/a", Name: "a", Max: 10}
	_, err := w.Learn(t.Context(), one)
	_, _, err2 := w.Page(t.Context(), one)
	for _, err := range []error{err, err2} {
		if err == nil || !strings.Contains(err.Error(), "not a public address") || asked > 0 {
			t.Errorf("asked %d times: %v", asked, err)
		}
	}
	one.Mine = true
	if _, err := w.Learn(t.Context(), one); err != nil {
		t.Error(err)
	}
	if data, from, err := w.Page(t.Context(), one); err != nil || string(data) != "data" ||
		from.Path != "/a" {
		t.Errorf("%q of %v: %v", data, from, err)
	}
	w.Upstream = false // that is about builds
	if _, err := w.Learn(t.Context(), one); err != nil {
		t.Error(err)
	}
}

func TestPageIsBounded(t *testing.T) {
	w := newWorld(t)
	fails, whole := 0, make(chan bool, 9)
	url := serve(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/busy" && fails < 2 {
			fails++
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		size := 64 << 20 // more than is on the way
		if r.URL.Path == "/busy" {
			size = 1 << 20
		}
		for ; size > 0; size -= 1 << 16 {
			if _, err := rw.Write(make([]byte, 1<<16)); err != nil {
				whole <- false
				return
			}
		}
		whole <- true
	})
	if _, _, err := w.Page(t.Context(), Wanted{URL: url, Max: 1000}); err == nil ||
		!strings.Contains(err.Error(), "larger than the limit") {
		t.Error(err)
	}
	if <-whole {
		t.Error("a page was read to its end")
	}
	if _, _, err := w.Page(t.Context(), Wanted{URL: url + "/busy", Max: 1 << 20}); err != nil ||
		fails != 2 || len(w.slept) != 2 {
		t.Errorf("%v after %d failures, waited %v", err, fails, w.slept)
	}
	if _, _, err := w.Page(t.Context(), Wanted{URL: "file:///etc/passwd", Max: 9}); err == nil {
		t.Error("a file was read")
	}
}
