// early_test: the forms of [sdk] and [toolchain] from before kits.

package manifest

import (
	"strings"
	"testing"
)

func TestParseEarlyProject(t *testing.T) {
	for _, c := range []struct{ text, sdk, toolchain, want string }{
		{"[sdk]\nregistry = \"r.example.com/acme\"\nname = \"sdk\"\nversion = \"v0.35.0\"\n" +
			"[toolchain]\nname = \"tools\"\nversion = \"v1\"\n",
			"r.example.com/acme/sdk-aarch64:v0.35.0", "tools-aarch64:v1", ""},
		{"release-version = \"1.20.5\"\n[sdk]\nregistry = \"r.example.com:5000/acme\"\nrepo = \"sdk\"\n" +
			"tag = \"v0.41.0\"\n", "r.example.com:5000/acme/sdk:v0.41.0", "", ""},
		{"", "", "", ""},
		{"[sdk]\nrepo = \"sdk\"\n", "", "", `Twoliter.toml:2: "tag" is missing in [sdk]`},
		{"[sdk]\nname = \"a b\"\nversion = \"v1\"\n", "", "",
			`Twoliter.toml:3: "a b" is not the name of an image`},
		{"[sdk]\nname = \"a\"\nversion = \"v1\"\nregistry = \"https://x\"\n", "", "",
			`Twoliter.toml:5: "https://x" is not the name of a registry`},
	} {
		p, problems := ParseEarlyProject("Twoliter.toml", []byte("schema-version = 1\n"+c.text), Rules{})
		if got := problems.Error(); p.SDK.Ref("aarch64") != c.sdk ||
			p.Toolchain.Ref("aarch64") != c.toolchain || (c.want == "") != (got == "") ||
			!strings.HasPrefix(got, c.want) {
			t.Errorf("%q: %q, %q, %v", c.text, p.SDK.Ref("aarch64"), p.Toolchain.Ref("aarch64"), got)
		}
	}
}
