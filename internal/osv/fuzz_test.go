// fuzz_test: entries of strangers take little time and memory.

package osv

import (
	"strings"
	"testing"

	"buildsys/internal/buildtest/bound"
)

func FuzzEntry(f *testing.F) {
	for _, text := range []string{
		`{"id":"A","affected":[{"package":{"ecosystem":"Go","name":"p"},"ranges":[{"type":"SEMVER",` +
			`"events":[{"introduced":"0"},{"fixed":"1.2.0"},{"last_affected":"2"},{"limit":"*"}]}]}]}`,
		`{"id":"B","withdrawn":"x","affected":[{"ranges":[{"type":"GIT","repo":"https://x/y"}]}]}`,
		`{"id":"C","affected":[{"package":{"ecosystem":"Our OS:1","name":"p"},"versions":["1:1-1"]}]}`,
		`{"id":"D","affected":[null,{"ranges":[null,{"events":[null]}],"database_specific":7}]}`,
		strings.Repeat(`{"affected":[`, 1000),
	} {
		f.Add([]byte(text))
	}
	subjects := []Subject{{Go, "p", "1.0.0"}, {Crates, "p", "1.0.0"}, {"Our OS", "p", "1:1.0"},
		Repo("https://x/y", "v1"), {}}
	f.Fuzz(func(t *testing.T, data []byte) {
		bound.Work(t, 16<<20+uint64(400*len(data)), func() {
			m := NewMatcher(subjects)
			if err := m.entry(file{"X.json", data}); err != nil {
				t.Fatal(err)
			}
			if r := m.Result(); len(r.Hits) > len(subjects) || len(r.Notes) > maxReasons+1 {
				t.Errorf("%d hits, %d notes", len(r.Hits), len(r.Notes))
			}
		})
	})
}
