// hold_test: files that differ, are missing or are there besides are named, and no others.

package contents

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
)

func sumOf(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }

func TestHold(t *testing.T) {
	img := openImage(t, ext4(t, tree(t, map[string]string{"real/bin/sh": "sh", "bin -> real/bin": "",
		"etc/passwd": "root", "etc/more": "more", "etc/to -> passwd": "", "loop -> loop": ""})))
	long := "/" + strings.Repeat("x/", 1<<20) + "end"
	for _, tt := range []struct {
		name string
		want map[string]string // texts by paths
		same int
		diff string
	}{
		{"all", map[string]string{"/bin/sh": "sh", "/etc/passwd": "root", "/etc/more": "more"}, 3, ""},
		{"changed", map[string]string{"/real/bin/sh": "bash", "/etc/passwd": "root",
			"/etc/more": "more"}, 2, "changed /real/bin/sh"},
		{"missing", map[string]string{"/bin/sh": "sh", "/etc/passwd": "root", "/etc/more": "more",
			"/bin/none": "", "/none/x": "", "/loop/y": "", "/etc/to": "root"}, 3,
			"removed /etc/to, removed /loop/y, removed /none/x, removed /real/bin/none"},
		{"added", map[string]string{"/etc/passwd": "root"}, 1,
			"added /etc/more, added /real/bin/sh"},
		{"two of one path", map[string]string{"/bin/sh": "sh", "/real/bin/sh": "bash",
			"/etc/passwd": "root", "/etc/more": "more"}, 3, "removed /real/bin/sh"},
		{"no path", map[string]string{"/bin/sh": "sh", "/etc/passwd": "root", "/etc/more": "more",
			long: ""}, 3, "removed " + long},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := map[string]string{}
			for name, text := range tt.want {
				want[name] = sumOf(text)
			}
			same, all, err := img.Hold(t.Context(), want)
			must(t, err)
			var words []string
			for _, u := range all {
				words = append(words, u.Change+" "+u.Path)
			}
			if got := strings.Join(words, ", "); same != tt.same || got != tt.diff {
				t.Errorf("%d the same, %.300q; want %d, %.300q", same, got, tt.same, tt.diff)
			}
		})
	}
}
