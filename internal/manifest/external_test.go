// external_test: the names of external files.

package manifest

import (
	"strings"
	"testing"
)

func TestExternalFileName(t *testing.T) {
	for url, want := range map[string]string{
		"https://musl.libc.org/releases/musl-1.2.5.tar.gz": "musl-1.2.5.tar.gz",
		"https://x/a.tar.gz?download=/b#/c":                "a.tar.gz",
		"https://x/libstdc%2B%2B.tar":                      "libstdc%2B%2B.tar",
		"https://x/%2e%2e":                                 "%2e%2e",
		"https://x/dir/":                                   "",
		"https://x":                                        "",
		"https://x/\x7f":                                   "",
		"https://x/..":                                     "..",
	} {
		if got := (ExternalFile{URL: url}).Name(); got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
	if got := (ExternalFile{URL: "https://x/v1.tar.gz",
		Path: "foo-1.tar.gz"}).Name(); got != "foo-1.tar.gz" {
		t.Errorf("path key: %q", got)
	}
}

// TestManyExternalFiles: each is compared with each, so that a megabyte of them would take hours.
func TestManyExternalFiles(t *testing.T) {
	text := "[package]\nname = \"a\"\n[package.metadata.build-package]\nexternal-files = [" +
		strings.Repeat("{},", 300_000) + "]\n"
	_, problems := ParsePackage("Cargo.toml", []byte(text), Rules{})
	if len(problems) != 1 || !strings.Contains(problems[0].Msg, "more than 5000 external files") {
		t.Errorf("%d problems", len(problems))
	}
}
