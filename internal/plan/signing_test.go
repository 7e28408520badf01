package plan

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestKeysAreApart checks that a container of the recipe that sees private keys sees nothing else
// of others but the files to sign.
func TestKeysAreApart(t *testing.T) {
	mount := regexp.MustCompile(`--mount=(\S+)`)
	want := []string{
		"from=buildsys.invalid/recipe,target=/host/recipe",
		"from=buildsys.invalid/image,source=keys,target=/host/keys",
		"from=unfinished,source=/unfinished/state/sign,target=/host/sign",
		"type=secret,id=code-sign.key,target=/host/secrets/code-sign.key",
		"type=secret,id=config-sign.key,target=/host/secrets/config-sign.key",
		"type=secret,id=shim-sign.key,target=/host/secrets/shim-sign.key",
		"type=secret,id=uki-sign.key,target=/host/secrets/uki-sign.key",
	}
	for name, text := range recipes(t) {
		for _, kind := range []Kind{Variant, Repack} {
			found := 0
			part := strings.ReplaceAll(string(section(text, string(kind))), "\\\n", " ")
			for line := range strings.Lines(part) {
				if !strings.Contains(line, "type=secret") {
					continue
				}
				found++
				var got []string
				for _, m := range mount.FindAllStringSubmatch(line, -1) {
					got = append(got, m[1])
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s, %s: the keys are seen beside %q, want %q", name, kind, got, want)
				}
			}
			if found != 1 {
				t.Errorf("%s, %s: %d containers see the keys, want 1", name, kind, found)
			}
		}
	}
}
