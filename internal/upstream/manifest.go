// manifest: the text of a manifest with other sources, and nothing else changed.

package upstream

import (
	"reflect"
	"regexp"
	"strings"

	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
)

// Manifest returns the text of the manifest with the new sources, whose hashes are by their URLs.
// Everything else of it stays as it is.
func (c *Change) Manifest(text string, sums map[string]string, rules manifest.Rules) (string,
	error) {
	file := c.named.pkg.File
	want, problems := manifest.ParsePackage(file, []byte(text), rules)
	if err := problems.Err(); err != nil {
		return "", err
	}
	after := text
	for _, m := range c.Moves {
		to := m.To
		to.SHA512 = sums[to.URL]
		for _, v := range []struct{ key, old, new string }{
			{"url", m.From.URL, to.URL}, {"sha512", m.From.SHA512, to.SHA512},
			{"path", m.From.Path, to.Path}, {"bundle-output-path", m.From.BundleOutput, to.BundleOutput},
			{"bundle-root-path", m.From.BundleRoot, to.BundleRoot},
		} {
			after = setString(after, v.key, v.old, v.new)
		}
		for i, f := range want.ExternalFiles {
			if f == m.From {
				to.Line = f.Line
				want.ExternalFiles[i] = to
			}
		}
	}
	got, problems := manifest.ParsePackage(file, []byte(after), rules)
	if err := problems.Err(); err != nil {
		return "", err
	}
	if !reflect.DeepEqual(got, want) {
		return "", errkind.Usagef("%s: the sources of %s cannot be written into it without changing "+
			"more: its values are written in another way than key = \"value\"; change it by hand", file,
			c.New)
	}
	return after, nil
}

// setString replaces a value of a key, wherever a line that is no comment has both.
func setString(text, key, old, new string) string {
	if old == new || old == "" {
		return text
	}
	rule := regexp.MustCompile(`(\b` + regexp.QuoteMeta(key) + `\b["']?\s*=\s*)(["'])` +
		regexp.QuoteMeta(old) + `(["'])`)
	var out strings.Builder
	for l := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(l), "#") {
			l = rule.ReplaceAllStringFunc(l, func(found string) string {
				m := rule.FindStringSubmatch(found)
				return m[1] + m[2] + new + m[3]
			})
		}
		out.WriteString(l)
	}
	return out.String()
}
