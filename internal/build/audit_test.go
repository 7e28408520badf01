// audit_test: under which names databases know the sources of a package.

package build

import "testing"

func TestTaggedSource(t *testing.T) {
	const hub = "https://github.com/o/app/"
	for address, want := range map[string]string{
		hub + "archive/v1.2.0.tar.gz":                                   "github.com/o/app v1.2.0",
		hub + "archive/v1.2.0/app.tar.gz":                               "github.com/o/app v1.2.0",
		hub + "archive/refs/tags/v1.2.0.tar.gz":                         "github.com/o/app v1.2.0",
		hub + "releases/download/v1.2.0/x.tar.xz":                       "github.com/o/app v1.2.0",
		hub + "archive/20240101.tar.gz":                                 "github.com/o/app 20240101",
		hub + "tarball/v1.2.0":                                          "github.com/o/app v1.2.0",
		"http://www.GitHub.com:443/o/app.git/archive/v1.2.0.zip?a=b":    "github.com/o/app v1.2.0",
		"https://github.com//o/./%61pp/archive/%761.2.0.tar.gz#x":       "github.com/o/app v1.2.0",
		"https://codeload.github.com/o/app/tar.gz/refs/tags/v1.2.0":     "github.com/o/app v1.2.0",
		"https://codeload.github.com/o/app/zip/v1.2.0":                  "github.com/o/app v1.2.0",
		hub + "archive/refs/heads/main.tar.gz":                          " ",
		hub + "archive/0123456789abcdef0123456789abcdef01234567.tar.gz": " ",
		hub + "archive/0123abc.tar.gz":                                  " ",
		"https://github.com.evil.example/o/app/archive/v1.2.0.tar.gz":   " ",
		"ftp://github.com/o/app/archive/v1.2.0.tar.gz":                  " ",
	} {
		if repo, tag := taggedSource(address); repo+" "+tag != want {
			t.Errorf("%s: got %q %q, not %q", address, repo, tag, want)
		}
	}
}
