package dockerfile

import (
	"fmt"
	"strings"
	"testing"
)

// TestPoints: which mounts of a RUN need something in the context, because they lie in a mount of
// it.
func TestPoints(t *testing.T) {
	for name, c := range map[string]struct{ mounts, want string }{
		"a cache in a directory": {"source=src,target=/b type=cache,target=/b/x/y", "src/x/y"},
		"in any order":           {"type=cache,target=/b/x/y source=src,target=/b", "src/x/y"},
		"in the whole context":   {"target=/host type=tmpfs,target=/host/x", "x"},
		"in a relative place":    {"source=src,target=b type=cache,target=/place/b/x", "src/x"},
		"a relative one":         {"source=src,target=/place/b type=cache,target=b/x", "src/x"},
		"spelled otherwise":      {"source=src,dst=/b type=cache,destination=/b/x", "src/x"},
		"by an argument":         {"source=src,target=/b type=cache,target=/b/$A", "src/value"},
		"by dots":                {"source=src,target=/b type=cache,target=/b/x/../y", "src/y"},
		"a bind":                 {"source=src,target=/b source=etc/f,target=/b/x", "src/x<etc/f"},
		"a bind of a stage":      {"source=src,target=/b from=s,target=/b/x", "src/x"},
		"in a bind of a stage":   {"from=s,source=src,target=/b type=cache,target=/b/x", ""},
		"in a bind of an image":  {"from=i,source=src,target=/b type=cache,target=/b/x", ""},
		"twice": {"source=src,target=/b type=cache,target=/b/x source=etc,target=/b/y " +
			"type=cache,target=/b/y/z", "src/x src/y<etc etc/z"},
		"in another mount": {"source=src,target=/b type=cache,target=/b/x type=tmpfs,target=/b/x/y",
			"src/x"},
		"secrets and agents": {"source=src,target=/b type=secret,id=s,target=/b/s " +
			"type=secret,id=t type=ssh,target=/b/t type=ssh", ""},
		"beside it": {"source=src,target=/b type=cache,target=/bc/x", ""},
	} {
		var run []string
		for _, m := range strings.Fields(c.mounts) {
			run = append(run, "--mount="+m)
		}
		f := parse(t, "FROM scratch AS s\nFROM scratch AS t\nARG A\nWORKDIR /place\nRUN "+
			strings.Join(run, " ")+" true\n")
		n, err := f.Needs("t", map[string]string{"A": "value"})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := names(n.Points, func(p Point) string {
			if p.Source != "" {
				return p.Name + "<" + p.Source
			}
			return p.Name
		})
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	many := "FROM scratch AS t\nRUN"
	for i := range maxMounts + 1 {
		many += fmt.Sprintf(" --mount=type=tmpfs,target=/%d", i)
	}
	if _, err := parse(t, many+" true\n").Needs("t", nil); err == nil ||
		!strings.Contains(err.Error(), "1001 mounts") {
		t.Errorf("error %v", err)
	}
}
