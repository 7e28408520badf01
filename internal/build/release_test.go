// release_test: which licences a tree lets into releases.

package build

import (
	"os"
	"strings"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/image"
)

func TestLicences(t *testing.T) {
	for name, tt := range map[string]struct{ file, licence, want string }{
		"none allowed by name": {`deny = ["GPL-3.0-only"]`, "MIT", ""},
		"denied":               {`deny = ["GPL-3.0-only"]`, "GPL-3.0-only", "it is denied"},
		"one of two":           {`deny = ["GPL-3.0-only"]`, "GPL-3.0-only OR MIT", ""},
		"both":                 {`deny = ["GPL-3.0-only"]`, "GPL-3.0-only AND MIT", "or is denied"},
		"not allowed":          {`allow = ["MIT"]`, "Apache-2.0", "not among those that are allowed"},
		"no expression":        {`allow = ["MIT"]`, "as is", "no SPDX expression"},
		"said otherwise":       {"allow = [\"MIT\"]\n[packages]\nshell = \"MIT\"", "as is", ""},
		"own": {"allow = [\"LicenseRef-Firmware\"]\n[packages]\nshell = \"LicenseRef-Firmware\"",
			"as is", ""},
		"unknown key":        {`alow = ["MIT"]`, "MIT", "unknown key alow"},
		"unknown identifier": {`allow = ["MIIT"]`, "MIT", "no SPDX identifiers of licences: MIIT"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Session{c: Config{Root: t.TempDir()}}
			buildtest.Must(t, os.WriteFile(s.c.Root+"/licences.toml", []byte(tt.file), 0o644))
			p, err := s.licences()
			if err == nil {
				err = p.check([]image.Package{{Name: "shell", License: tt.licence}})
			}
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
