// osv_test: what entries say of versions, and what cannot be compared is named.

package osv

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"A.json": `{"id":"A","affected":[{"package":{"ecosystem":"Go","name":"m"},"ranges":[{"type":` +
			`"SEMVER","events":[{"fixed":"1.2.0"},{"introduced":"0"},{"introduced":"2.0.0-0"}]}]}]}`,
		"B.json": `{"id":"B","withdrawn":"2026-01-01T00:00:00Z","affected":[{"package":` +
			`{"ecosystem":"Go","name":"m"},"versions":["1.1.0"]}]}`,
		"C.json": `{"id":"C","affected":[{"package":{"ecosystem":"Go","name":"m"},"ranges":[{"type":` +
			`"SEMVER","events":[{"introduced":"0"},{"fixed":"soon"}]}]}]}`,
		"D.json": `{"id":"D","affected":[{"ranges":[{"type":"GIT","repo":"https://github.com/O/n.git",` +
			`"events":[{"introduced":"0"}]}],"versions":["R_2"]}]}`,
		"E.json": `{"id":"E","affected":[null,{"package":{"ecosystem":"Debian:12","name":"m"}}]}`,
		"F.json": `[]`,
		"G.json": `{"id":"G","affected":` + strings.Repeat("[", 300_000) + `}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := NewMatcher([]Subject{{Go, "m", "1.1.0"}, {Go, "m", "1.2.0"},
		Repo("https://github.com/o/n", "R_2"),
		{}})
	if err := m.Read(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	r := m.Result()
	var got []string
	for _, h := range r.Hits {
		got = append(got, h.ID+" "+m.subjects[h.Subject].Version)
	}
	if want := "A 1.1.0, D R_2"; strings.Join(got, ", ") != want {
		t.Errorf("hits are %q, not %q", got, want)
	}
	if r.Withdrawn != 1 || r.Entries != 5 {
		t.Errorf("%d withdrawn of %d entries", r.Withdrawn, r.Entries)
	}
	var notes []string
	for _, n := range r.Notes {
		notes = append(notes, n.Why)
	}
	for _, part := range []string{`"soon" is no semantic version`, "ecosystem Debian", "200000 objects",
		"no JSON"} {
		if !strings.Contains(strings.Join(notes, "\n"), part) {
			t.Errorf("no note has %q: %q", part, notes)
		}
	}
}

// TestLongTexts: what is kept of an entry is short, and one line.
func TestLongTexts(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"A.json": `{"id":"A` + long + `","aliases":["` + long + `"],"severity":[{"type":"T","score":"` + long +
			`"}],"affected":[{"package":{"ecosystem":"Go","name":"m"},"ranges":[{"type":"SEMVER","events":` +
			`[{"introduced":"0"},{"fixed":"9.0.0-` + long + `"}]}]}]}`,
		"B.json": `{"id":"B","schema_version":"2\n::error::` + long + `"}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := NewMatcher([]Subject{{Go, "m", "1.1.0"}})
	if err := m.Read(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(m.Result())
	if err != nil || len(m.Result().Hits) != 1 || len(m.Result().Notes) != 1 {
		t.Fatalf("%.200s, %v", text, err)
	}
	if len(text) > 10_000 || strings.Contains(string(text), `\n`) {
		t.Errorf("%d bytes: %.200s", len(text), text)
	}
}
