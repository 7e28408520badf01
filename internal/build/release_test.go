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
		"denied":               {`deny = ["GPL-3.0-only"]`, "GPL-3.0-only", "or is denied"},
		"one of two":           {`deny = ["GPL-3.0-only"]`, "GPL-3.0-only OR MIT", ""},
		"both":                 {`deny = ["GPL-3.0-only"]`, "GPL-3.0-only AND MIT", "or is denied"},
		"not allowed":          {`allow = ["MIT"]`, "Apache-2.0", "not among those that are allowed"},
		"no expression":        {`allow = ["MIT"]`, "as is", "no SPDX expression"},
		"said otherwise":       {"allow = [\"MIT\"]\n[packages]\nshell = \"MIT\"", "as is", ""},
		"own": {"allow = [\"LicenseRef-Firmware\"]\n[packages]\nshell = \"LicenseRef-Firmware\"",
			"as is", ""},
		"one of three, deep": {`deny = ["GPL-3.0-only"]`,
			"GPL-3.0-only OR (ISC AND (GPL-3.0-only OR MIT))", ""},
		"denied in parentheses": {`deny = ["GPL-3.0-only"]`, "((GPL-3.0-only))", "or is denied"},
		"denied, older name":    {`deny = ["GPL-3.0-only"]`, "GPL-3.0", "or is denied"},
		"denied, or later":      {`deny = ["GPL-3.0-only"]`, "GPL-3.0-or-later", "or is denied"},
		"denied, plus":          {`deny = ["AGPL-3.0-only"]`, "AGPL-3.0+ OR AGPL-3.0", "or is denied"},
		"denied, with exception": {`deny = ["GPL-3.0-only"]`,
			"GPL-3.0-only WITH GCC-exception-3.1", "or is denied"},
		"denied with the exception": {`deny = ["GPL-3.0-only WITH GCC-exception-3.1"]`,
			"GPL-3.0-only WITH GCC-exception-3.1", "or is denied"},
		"denied without":      {`deny = ["GPL-3.0-only WITH GCC-exception-3.1"]`, "GPL-3.0-only", ""},
		"denied from 2 on":    {`deny = ["GPL-2.0-or-later"]`, "GPL-3.0-only", "or is denied"},
		"denied from 3 on":    {`deny = ["GPL-3.0-or-later"]`, "GPL-2.0-or-later", ""},
		"denied in some case": {`deny = ["LicenseRef-X"]`, "LicenseRef-x", "or is denied"},
		"denied of a document": {`deny = ["LicenseRef-X"]`, "DocumentRef-a:LicenseRef-X",
			"or is denied"},
		"allowed in a range, denied": {`allow = ["GPL-2.0-or-later"]` + "\n" +
			`deny = ["GPL-3.0-only"]`, "GPL-3.0-only", "or is denied"},
		"allowed with a choice":        {`allow = ["GPL-2.0-or-later"]`, "GPL-3.0-only", "not among"},
		"allowed, a newer one":         {`allow = ["GPL-2.0-or-later"]`, "GPL-3.0-or-later", "not among"},
		"allowed, one of its versions": {`allow = ["GPL-2.0-only"]`, "GPL-2.0-or-later", ""},
		"allowed, the same":            {`allow = ["GPL-2.0-or-later"]`, "GPL-2.0+", ""},
		"allowed without exception": {`allow = ["GPL-2.0-only"]`,
			"GPL-2.0-only WITH Classpath-exception-2.0", "not among"},
		"more choices than can be written out": {`allow = ["MIT"]`,
			strings.Repeat("(ISC OR 0BSD) AND ", 40) + "MIT", "not among"},
		"too long":             {`allow = ["MIT"]`, strings.Repeat("(", 1<<20) + "MIT", "too long"},
		"expression in a list": {`deny = ["MIT AND ISC"]`, "MIT", "no SPDX identifiers"},
		"unknown key":          {`alow = ["MIT"]`, "MIT", "unknown key alow"},
		"unknown identifier":   {`allow = ["MIIT"]`, "MIT", "no SPDX identifiers of licences: MIIT"},
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
