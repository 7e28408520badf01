// range_test: which versions an entry affects, in each kind of range and ecosystem.

package osv

import (
	"archive/zip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// answer says what an entry says of a subject: "hit", with versions that have the fix, "withdrawn",
// or why it could not be compared; "" if it does not affect it.
func answer(t *testing.T, entry string, s Subject) string {
	t.Helper()
	m := NewMatcher([]Subject{s})
	if err := m.entry(file{"X.json", []byte(entry)}); err != nil {
		t.Fatal(err)
	}
	r := m.Result()
	switch {
	case len(r.Hits) > 0:
		return strings.TrimSpace("hit " + strings.Join(r.Hits[0].Fixed, " "))
	case r.Withdrawn > 0:
		return "withdrawn"
	case r.Elsewhere > 0:
		return "elsewhere"
	case len(r.Notes) > 0:
		return r.Notes[0].Why
	}
	return ""
}

// TestRanges has what the OSV format says of events, in the words of its section on evaluation.
func TestRanges(t *testing.T) {
	const semverType, ecosystemType = "SEMVER", "ECOSYSTEM"
	ours := func(version string) Subject { return Subject{"Our OS", "p", version} }
	module := func(version string) Subject { return Subject{Go, "p", version} }
	for _, tt := range []struct {
		kind, events string // events as words with "=", separated by spaces
		s            Subject
		want         string
	}{
		{semverType, "introduced=0 fixed=1.2.0", module("1.1.9"), "hit 1.2.0"},
		{semverType, "introduced=0 fixed=1.2.0", module("1.2.0"), ""},
		{semverType, "introduced=0 fixed=1.2.0", module("1.2.0-rc.1"), "hit 1.2.0"},
		{semverType, "introduced=0", module("9.9.9"), "hit"},
		{semverType, "introduced=0", module("0.0.0-20200101000000-abcdefabcdef"), "hit"},
		{semverType, "introduced=1.0.0 fixed=1.0.3", module("0.9.0"), ""},
		{semverType, "introduced=1.0.0 fixed=1.0.3", module("1.0.0"), "hit 1.0.3"},
		{semverType, "fixed=1.0.3 introduced=1.0.0", module("1.0.2"), "hit 1.0.3"},
		{semverType, "introduced=0 fixed=1.0.0 introduced=2.0.0 fixed=2.1.0", module("1.5.0"), ""},
		{semverType, "introduced=0 fixed=1.0.0 introduced=2.0.0 fixed=2.1.0", module("2.0.5"),
			"hit 2.1.0"},
		{semverType, "introduced=0 fixed=1.0.0 introduced=2.0.0 fixed=2.1.0", module("0.5.0"),
			"hit 1.0.0 2.1.0"},
		{semverType, "introduced=0 last_affected=1.4.0", module("1.4.0"), "hit"},
		{semverType, "introduced=0 last_affected=1.4.0", module("1.4.1"), ""},
		{semverType, "introduced=0 limit=1.5.0", module("1.4.9"), "hit"},
		{semverType, "introduced=0 limit=1.5.0", module("1.5.0"), ""},
		{semverType, "introduced=0 limit=*", module("7.0.0"), "hit"},
		{semverType, "introduced=0 limit=1.0.0 limit=2.0.0", module("1.5.0"), "hit"},
		{semverType, "introduced=0 fixed=1.2.0", module("(devel)"),
			`an entry cannot be compared: "(devel)" is no semantic version`},
		{semverType, "introduced=0 fixed=soon", module("1.0.0"),
			`an entry cannot be compared: "soon" is no semantic version`},
		{semverType, "introduced=0 ends=1.0.0", module("1.0.0"),
			"an entry cannot be compared: it has an event of a kind that is not known"},
		{semverType, "", module("1.0.0"), ""},
		{semverType, "introduced=0 fixed=0.10.0", Subject{Crates, "p", "0.9.0"}, "hit 0.10.0"},

		{ecosystemType, "introduced=0 fixed=1.10-3", ours("0:1.9"), "hit 1.10-3"},
		{ecosystemType, "introduced=0 fixed=1.10-3", ours("0:1.10"), ""},
		{ecosystemType, "introduced=0 fixed=1:1.0", ours("0:7.0"), "hit 1:1.0"},
		{ecosystemType, "introduced=0 fixed=1:1.0", ours("1:1.0"), ""},
		{ecosystemType, "introduced=0 fixed=2.0", ours("0:2.0~rc1"), "hit 2.0"},
		{ecosystemType, "introduced=0 last_affected=1.4-9", ours("0:1.4"), "hit"},

		{"GIT", "introduced=0", module("1.0.0"), "an entry cannot be compared: it names no versions"},
		{"DATE", "introduced=0", module("1.0.0"),
			"an entry cannot be compared: its ranges are of a kind that is not known"},
	} {
		var events []string
		for word := range strings.FieldsSeq(tt.events) {
			name, version, _ := strings.Cut(word, "=")
			events = append(events, fmt.Sprintf(`{%q:%q}`, name, version))
		}
		entry := fmt.Sprintf(`{"id":"X","affected":[{"package":{"ecosystem":%q,"name":"p"},`+
			`"ranges":[{"type":%q,"events":[%s]}]}]}`, tt.s.Ecosystem, tt.kind, strings.Join(events, ","))
		if got := answer(t, entry, tt.s); got != tt.want {
			t.Errorf("%s %s of %s: %q, want %q", tt.kind, tt.events, tt.s.Version, got, tt.want)
		}
	}
}

// TestEntries has what is not in a range.
func TestEntries(t *testing.T) {
	affected := func(text string) string { return `{"id":"X","affected":[` + text + `]}` }
	const mod = `"package":{"ecosystem":"Go","name":"p"}`
	const repo = `"ranges":[{"type":"GIT","repo":"https://GitHub.com/O/p.git/",` +
		`"events":[{"introduced":"0"},{"fixed":"abc"}]}]`
	module, tag := Subject{Go, "p", "1.1.0"}, Repo("https://github.com/o/p", "v1.1.0")
	for name, tt := range map[string]struct {
		entry string
		s     Subject
		want  string
	}{
		"listed":           {affected(`{` + mod + `,"versions":["1.1.0"]}`), module, "hit"},
		"listed with v":    {affected(`{` + mod + `,"versions":["v1.1.0"]}`), module, "hit"},
		"not listed":       {affected(`{` + mod + `,"versions":["1.1.1"]}`), module, ""},
		"of another":       {affected(`{"package":{"ecosystem":"Go","name":"q"},"versions":["1.1.0"]}`), module, ""},
		"names in case":    {affected(`{"package":{"ecosystem":"Go","name":"P"},"versions":["1.1.0"]}`), module, ""},
		"second of two":    {affected(`{` + mod + `,"versions":["1"]},{` + mod + `,"versions":["1.1.0"]}`), module, "hit"},
		"listed, no range": {affected(`{` + mod + `,"versions":["1.1.0"],"ranges":[{"type":"X"}]}`), module, "hit"},
		"withdrawn": {`{"id":"X","withdrawn":"2025-01-01T00:00:00Z","affected":[{` + mod +
			`,"versions":["1.1.0"]}]}`, module, "withdrawn"},
		"another system": {affected(`{` + mod + `,"versions":["1.1.0"],"ecosystem_specific":` +
			`{"imports":[{"path":"p","goos":["windows"]}]}}`), module, "elsewhere"},
		"this system too": {affected(`{` + mod + `,"versions":["1.1.0"],"ecosystem_specific":` +
			`{"imports":[{"goos":["windows"]},{"goos":["linux"]}]}}`), module, "hit"},
		"any system": {affected(`{` + mod + `,"versions":["1.1.0"],"ecosystem_specific":` +
			`{"imports":[{"goos":["windows"]},{}]}}`), module, "hit"},
		"tag":             {affected(`{` + repo + `,"versions":["v1.1.0"]}`), tag, "hit"},
		"other tag":       {affected(`{` + repo + `,"versions":["v1.2.0"]}`), tag, ""},
		"a tag is a name": {affected(`{` + repo + `,"versions":["1.1.0"]}`), tag, ""},
		"commits": {affected(`{` + repo + `}`), tag,
			"an entry cannot be compared: it names commits only, and the tree has versions"},
		"with a suffix": {affected(`{"package":{"ecosystem":"Our OS:2","name":"p"},"versions":["1.1-1"]}`),
			Subject{"Our OS", "p", "0:1.1"}, "hit"},
		"epoch": {affected(`{"package":{"ecosystem":"Our OS","name":"p"},"versions":["1:1.1"]}`),
			Subject{"Our OS", "p", "0:1.1"}, ""},
		"another ecosystem": {affected(`{"package":{"ecosystem":"npm","name":"p"}}`), module,
			"nothing of the tree is in the ecosystem npm"},
		"library": {affected(`{"package":{"ecosystem":"Go","name":"stdlib"}}`), module,
			"which Go compiles is not known (--go): stdlib"},
		"format 2": {`{"schema_version":"2.0.0","id":"X"}`, module,
			"it has version 2.0.0 of the format, and only 1 is known"},
		"format 1.9": {`{"schema_version":"1.9.1","id":"X","affected":[{` + mod +
			`,"versions":["1.1.0"]}]}`, module, "hit"},
		"no id": {`{"affected":[]}`, module, "it is no entry of the OSV format: it has no id"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := answer(t, tt.entry, tt.s); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestHit: what a finding is told with.
func TestHit(t *testing.T) {
	m := NewMatcher([]Subject{{Go, "p", "1.0.0"}})
	const end = `"affected":[{"package":{"ecosystem":"Go","name":"p"},"versions":["1.0.0"]}]}`
	for _, text := range []string{
		`{"id":"A","aliases":["CVE-1","GHSA-1"],"summary":"s","severity":[{"type":"CVSS_V3","score":"x"}],` +
			end,
		`{"id":"B","database_specific":{"severity":"HIGH","informational":"unmaintained"},` + end,
		`{"id":"C","database_specific":{"severity":7,"informational":[]},"summary":"` +
			strings.Repeat("é", 500) + `",` + end,
	} {
		if err := m.entry(file{"X.json", []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	hits := m.Result().Hits
	if len(hits) != 3 {
		t.Fatalf("%d hits", len(hits))
	}
	if a := hits[0]; strings.Join(a.Aliases, " ") != "CVE-1 GHSA-1" || a.Summary != "s" ||
		a.Severity != "CVSS_V3 x" || a.Informational != "" {
		t.Errorf("%+v", a)
	}
	if b := hits[1]; b.Severity != "high" || b.Informational != "unmaintained" {
		t.Errorf("%+v", b)
	}
	if c := hits[2]; c.Severity != "" || c.Informational != "" ||
		c.Summary != strings.Repeat("é", maxText/2)+"…" {
		t.Errorf("%+v", c)
	}
}

// TestArchives: entries in .zip files count, alone and in a directory; what is no entry does not.
func TestArchives(t *testing.T) {
	dir := t.TempDir()
	at := filepath.Join(dir, "all.zip")
	f, err := os.Create(at)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	for name, text := range map[string]string{
		"Go/A.json": `{"id":"A","affected":[{"package":{"ecosystem":"Go","name":"p"},` +
			`"versions":["1.0.0"]}]}`,
		"index/db.json": `{"id":"B","affected":[{"package":{"ecosystem":"Go","name":"p"},` +
			`"versions":["1.0.0"]}]}`,
		"README.md": "no entry", "bad.json": "{",
	} {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, db := range []string{at, dir} {
		m := NewMatcher([]Subject{{Go, "p", "1.0.0"}})
		if err := m.Read(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		r := m.Result()
		if r.Entries != 1 || len(r.Hits) != 1 || r.Hits[0].ID != "A" || len(r.Notes) != 1 ||
			!strings.HasSuffix(r.Notes[0].Examples[0], "bad.json") {
			t.Errorf("%s: %+v", db, r)
		}
	}
	if err := NewMatcher(nil).Read(t.Context(), t.TempDir()); err == nil ||
		!strings.Contains(err.Error(), "it has no .json file") {
		t.Errorf("an empty directory: %v", err)
	}
}
