// bill_test: which RPM a line of an inventory means.

package build

import (
	"strconv"
	"testing"

	"buildsys/internal/image"
	"buildsys/internal/rpm"
)

func TestMatch(t *testing.T) {
	head := func(name, version, arch string) found {
		return found{kit: name, head: rpm.Header{tagName: {name}, tagVersion: {version},
			tagRelease: {"1"}, tagArch: {arch}}}
	}
	all := []found{head("my-console-os", "1", "x86_64"), head("my-os", "1", "x86_64"),
		head("my-os", "2", "x86_64"), head("my-os", "1", "noarch"), head("other", "1", "x86_64"),
		head("my-libc", "1", "x86_64"), head("my-bash", "1", "x86_64"), head("bash", "1", "x86_64"),
		head("tools", "1", "x86_64"), head("xfs-tools", "1", "x86_64"), head("xfs-more", "1", "x86_64")}
	for i, tt := range []struct {
		p    image.Package
		want string
	}{
		{image.Package{Name: "os", Version: "1", Release: "1", Architecture: "x86_64"}, "my-os"},
		{image.Package{Name: "my-os", Version: "2", Release: "1", Architecture: "x86_64"}, "my-os"},
		{image.Package{Name: "other", Version: "1", Release: "1", Architecture: "x86_64"}, "other"},
		{image.Package{Name: "os", Version: "1", Release: "2", Architecture: "x86_64"}, ""},
		{image.Package{Name: "bash", Version: "1", Release: "1", Architecture: "x86_64"}, "bashmy-bash"},
		{image.Package{Name: "tools", Version: "1", Release: "1", Architecture: "x86_64"}, "tools"},
		{image.Package{Name: "more", Version: "1", Release: "1", Architecture: "x86_64"}, "xfs-more"},
		{image.Package{Name: "s", Version: "1", Release: "1", Architecture: "x86_64"}, ""},
	} {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			got := ""
			for _, f := range match(all, prefixOf(all)+"-", tt.p) {
				got += f.kit
			}
			if got != tt.want {
				t.Errorf("%+v is %q, want %q", tt.p, got, tt.want)
			}
		})
	}
	if got := prefixOf(all); got != "my" {
		t.Errorf("the OS is %q", got)
	}
}
