// Tests of what the doctor is asked to check.

package build

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDefaultLookaside: a default directory that nobody has made yet is no fault; one that somebody
// named, or that is something else, is.
func TestDefaultLookaside(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		place     string
		byDefault bool
		want      string
	}{
		{dir, true, ""}, {dir, false, ""}, {dir + "/none", true, ""},
		{dir + "/none", false, "no such file"}, {file, true, "is not a directory"},
	} {
		err := lookasideServer(c.place, c.byDefault).Probe(t.Context())
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, default %v: %v", c.place, c.byDefault, err)
		}
	}
}
