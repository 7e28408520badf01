package remote

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestTextOfRegistryStaysInItsLine: what a registry says in an error, and the tags it claims to
// have, are in messages.
func TestTextOfRegistryStaysInItsLine(t *testing.T) {
	said := "quota\n::error file=a::pwned\n\x1b]0;owned\x07" + strings.Repeat("x", 100_000)
	f, r := stored(t)
	f.fault = func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]any{"errors": []any{
			map[string]string{"code": "DENIED", "message": said[:4000]}}})
		return true
	}
	c := newClient(t, f.place(), quick)
	for range 3 {
		r.lookup(t, c)
	}
	c.Close(t.Context(), nil)
	text := strings.Join(c.warnings, "|")
	if !strings.Contains(text, "quota") || len(text) > 1000 ||
		strings.ContainsAny(text, "\n\x1b\x07") {
		t.Errorf("warned %q", text)
	}
}

func TestOnlyTagsAreTags(t *testing.T) {
	f, _ := stored(t)
	tags := []string{"v1", "v1\n::error::x", "\x1b[31m", "", strings.Repeat("a", 200)}
	for i := range 2000 {
		tags = append(tags, fmt.Sprint("t", i))
	}
	f.fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if !strings.HasSuffix(r.URL.Path, "/tags/list") {
			return false
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"name": "x", "tags": tags})
		return true
	}
	images, err := OpenImages(f.place(), quick)
	if err != nil {
		t.Fatal(err)
	}
	defer images.Close()
	got, err := images.Tags(t.Context())
	if err != nil || len(got) != maxTags || got[0] != "v1" || got[1] != "t0" ||
		slices.ContainsFunc(got, func(tag string) bool { return !validTag.MatchString(tag) }) {
		t.Errorf("%d tags, %q…, %v", len(got), got[:min(len(got), 5)], err)
	}
}
