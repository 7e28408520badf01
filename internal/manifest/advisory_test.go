// advisory_test: advisories and audit.toml, with every mistake by its line.

package manifest

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const goodAdvisory = `[advisory]
id = "BRSA-1j0o73qa"
title = "a title"
cve = "CVE-2024-12345"
severity = "medium"
description = "what is wrong"

[[advisory.products]]
package-name = "runc"
patched-version = "1.1.14"
patched-epoch = "1"
patched-release = "2"

[[advisory.products]]
package-name = "kernel-6.1"
patched-version = "6.1.112"

[updateinfo]
author = "somebody"
issue-date = 2024-07-08T23:14:32Z
arches = ["x86_64"]
version = "1.2.0"
`

func TestParseAdvisory(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	const file = "advisories/1.2.0/BRSA-1j0o73qa.toml"
	a, problems := ParseAdvisory(file, []byte(goodAdvisory), Rules{}, now)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if got := fmt.Sprintf("%s %s %q %v %s %s %v", a.ID, a.CVE, a.GHSA, a.Severity, a.Version,
		a.Issued.Format(time.DateOnly), a.Arches); got !=
		`BRSA-1j0o73qa CVE-2024-12345 "" moderate 1.2.0 2024-07-08 [x86_64]` {
		t.Errorf("got %s", got)
	}
	if got := fmt.Sprint(a.Products); got !=
		"[{runc 1.1.14 1.1.14 1 9} {kernel-6.1 6.1.112 6.1.112 0 15}]" {
		t.Errorf("products %s", got)
	}
	for _, tt := range []struct{ from, to, file, want string }{
		{`id = "BRSA-1j0o73qa"`, `id = "BRSA_1"`, "", `:2: "BRSA_1" cannot be the id of an advisory`},
		{`id = "BRSA-1j0o73qa"`, `id = "BRSA-2"`, "", `:2: the id "BRSA-2" is not the name of the file`},
		{`id = "BRSA-1j0o73qa"`, ``, "", `"id" is missing`},
		{`title = "a title"`, ``, "", `"title" is missing`},
		{`description = "what is wrong"`, ``, "", `"description" is missing`},
		{`cve = "CVE-2024-12345"`, `cve = "CVE-24-1"`, "", `:4: "CVE-24-1" in [advisory] is not of the form of a CVE`},
		{`cve = "CVE-2024-12345"`, `ghsa = "GHSA-23cf-78vw-9xqr"`, "", ""},
		{`cve = "CVE-2024-12345"`, `ghsa = "GHSA-0000-78vw-9xqr"`, "", `:4: "GHSA-0000-78vw-9xqr" in [advisory] is not`},
		{`cve = "CVE-2024-12345"`, ``, "", `neither "cve" nor "ghsa" is given`},
		{`severity = "medium"`, `severity = "bad"`, "", `:5: `},
		{`severity = "medium"`, ``, "", `"severity" is missing`},
		{`package-name = "kernel-6.1"`, `package-name = "runc"`, "", `product "runc" is named twice`},
		{`patched-version = "1.1.14"`, ``, "", `"patched-version" is missing`},
		{`"6.1.112"`, `"kernel-6.1.112-2.amzn2"`, "",
			`"kernel-6.1.112-2.amzn2" is not the version of an RPM: it is read as "6.1.112"`},
		{`"6.1.112"`, `"6.1.112-2"`, "", `it is read as "6.1.112"`},
		{`"6.1.112"`, `"six"`, "", ""},
		{`"6.1.112"`, `"6 1"`, "", `:16: "6 1" is not the version of an RPM`},
		{`patched-epoch = "1"`, `patched-epoch = "one"`, "", `:11: "one" is not an epoch`},
		{`patched-epoch = "1"`, `patched-epoch = 1`, "", `:11: `},
		{`patched-release = "2"`, `patched-release = "a b"`, "", `:12: "a b" is not the release of an RPM`},
		{`author = "somebody"`, ``, "", `"author" is missing`},
		{`2024-07-08T23:14:32Z`, `2026-01-05T00:00:00Z`, "", `the date 2026-01-05 is in the future`},
		{`2024-07-08T23:14:32Z`, `1998-01-05T00:00:00Z`, "", `the date 1998-01-05 is before`},
		{`2024-07-08T23:14:32Z`, `"soon"`, "", `issue-date`},
		{`issue-date = 2024-07-08T23:14:32Z`, ``, "", `"issue-date" is missing`},
		{`["x86_64"]`, `["riscv"]`, "", `"riscv" is not an architecture`},
		{`version = "1.2.0"`, `version = "1.3.0"`, "", `the version "1.3.0" is not the name of the directory, "1.2.0"`},
		{``, ``, "advisories/staging/BRSA-1j0o73qa.toml", `the version is "1.2.0", but the file is in staging`},
		{`version = "1.2.0"`, `version = "staging"`, "advisories/staging/BRSA-1j0o73qa.toml", ""},
		{`version = "1.2.0"`, `version = "next"`, "advisories/next/BRSA-1j0o73qa.toml", `"next" is no version`},
		{`[updateinfo]`, `[other]`, "", `updateinfo`},
		{`[advisory]`, `[advisory`, "", `invalid TOML`},
		{`[updateinfo]`, "[updateinfo]\nmore = 1", "", `"more"`},
	} {
		at := tt.file
		if at == "" {
			at = file
		}
		_, problems := ParseAdvisory(at, []byte(strings.Replace(goodAdvisory, tt.from, tt.to, 1)),
			Rules{}, now)
		var lines []string
		for _, p := range problems {
			lines = append(lines, p.String())
		}
		if got := strings.Join(lines, "\n"); !strings.Contains(got, tt.want) ||
			(got == "") != (tt.want == "") {
			t.Errorf("%s for %s in %s: got %q, want %q", tt.to, tt.from, at, got, tt.want)
		}
	}
}

// TestLenientAdvisory: what advisories of Bottlerocket name besides a version is read over.
func TestLenientAdvisory(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for written, want := range map[string]string{"kernel-5.10.226-214.879.amzn2": "5.10.226",
		"5.10.226-214": "5.10.226", "5.10.226": "5.10.226"} {
		text := strings.Replace(goodAdvisory, "6.1.112", written, 1)
		a, problems := ParseAdvisory("advisories/1.2.0/BRSA-1j0o73qa.toml", []byte(text),
			Rules{Lenient: true}, now)
		if len(problems) > 0 || a.Products[1].Version != want || a.Products[1].Written != written {
			t.Errorf("%s: %v, %+v", written, problems, a.Products)
		}
	}
}

func TestParseIgnores(t *testing.T) {
	const good = "[[ignore]]\nid = \"CVE-2024-1\"\npackage = \"runc\"\nreason = \"no\"\n" +
		"until = 2027-01-31\n"
	for _, tt := range []struct{ from, to, want string }{
		{"", "", ""},
		{`id = "CVE-2024-1"`, "", `"id" is missing`},
		{`package = "runc"`, "", ""},
		{`reason = "no"`, "", `"reason" is missing`},
		{`until = 2027-01-31`, "", `"until" is missing`},
		{`2027-01-31`, `"never"`, `:5: `},
		{`until = 2027-01-31`, "until = 2027-01-31\nmore = 1", `:6: `},
		{`[[ignore]]`, `[[leave]]`, `"leave"`},
	} {
		all, problems := ParseIgnores("audit.toml", []byte(strings.Replace(good, tt.from, tt.to, 1)),
			Rules{})
		got := ""
		for _, p := range problems {
			got += p.String() + "\n"
		}
		if !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("%s: got %q, want %q", tt.to, got, tt.want)
		}
		if tt.want == "" && (len(all) != 1 || all[0].Line != 1 || all[0].ID != "CVE-2024-1" ||
			!all[0].Until.Equal(time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC))) {
			t.Errorf("%s: %+v", tt.to, all)
		}
	}
}

func FuzzParseAdvisory(f *testing.F) {
	f.Add([]byte(goodAdvisory))
	f.Add([]byte("[[ignore]]\nid = \"CVE-2024-1\"\nreason = \"no\"\nuntil = 2027-01-31\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, problems := ParseAdvisory("advisories/1.2.0/BRSA-1j0o73qa.toml", data, Rules{}, time.Time{})
		if problems.Err() == nil && len(a.Products) == 0 {
			t.Error("it is about nothing")
		}
		for _, i := range first(ParseIgnores("audit.toml", data, Rules{})) {
			if i.ID == "" || i.Reason == "" || i.Until.IsZero() {
				t.Errorf("%+v", i)
			}
		}
	})
}

func first[T, U any](t T, _ U) T { return t }
