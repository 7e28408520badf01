// Signatures are those that gpg makes; lists of sums are those that coreutils and BSD write.

package upstream

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/buildtest/need"
)

// signer is a home of gpg with one key.
type signer struct {
	t         *testing.T
	gpg, home string
}

func newSigner(t *testing.T, owner, algorithm string) signer {
	s := signer{t, need.Program(t, "gpg"), t.TempDir()}
	t.Cleanup(func() { _ = exec.Command("gpgconf", "--homedir", s.home, "--kill", "all").Run() })
	s.run(nil, "--quick-generate-key", owner, algorithm, "sign", "never")
	return s
}

func (s signer) run(in []byte, args ...string) []byte {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), s.gpg, append([]string{"--homedir", s.home, "--batch",
		"--pinentry-mode", "loopback", "--passphrase", ""}, args...)...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("gpg: %v\n%s", err, stderr.String())
	}
	return out
}

func (s signer) keys() *Keys {
	s.t.Helper()
	k := &Keys{}
	if err := k.Add(s.t.Context(), "keys.asc", s.run(nil, "--armor", "--export")); err != nil {
		s.t.Fatal(err)
	}
	return k
}

func TestSignatures(t *testing.T) {
	data := []byte("a source\n")
	other := newSigner(t, "mallory", "ed25519")
	for _, algorithm := range []string{"rsa3072", "ed25519"} {
		ann := newSigner(t, "ann \x1b[31m<ann@example.org>", algorithm)
		both := ann.keys()
		err := both.Add(t.Context(), "others.gpg", other.run(nil, "--export"))
		if err != nil || both.Len() != 2 {
			t.Errorf("%d keys, %v", both.Len(), err)
		}
		for _, how := range [][]string{{"--detach-sign"}, {"--armor", "--detach-sign"}} {
			signature := ann.run(data, how...)
			by, err := both.Check(t.Context(), bytes.NewReader(data), signature)
			if err != nil || !strings.HasPrefix(by, "ann") || strings.Contains(by, "\x1b") ||
				!strings.HasSuffix(by, " of keys.asc") {
				t.Errorf("%s %s: %q, %v", algorithm, how, by, err)
			}
			if by, err := both.Check(t.Context(), strings.NewReader("a sourcf\n"), signature); err == nil {
				t.Errorf("%s: other data is signed by %s", algorithm, by)
			}
			if by, err := other.keys().Check(t.Context(), bytes.NewReader(data), signature); err == nil {
				t.Errorf("%s: with another's key: %s", algorithm, by)
			}
		}
	}
	for _, bad := range []string{"", "nonsense", strings.Repeat("x", maxSignature+1)} {
		if _, err := other.keys().Check(t.Context(), bytes.NewReader(data), []byte(bad)); err == nil {
			t.Errorf("%d bytes are a signature", len(bad))
		}
	}
	if err := new(Keys).Add(t.Context(), "a", []byte("no key")); err == nil {
		t.Error("text is a key")
	}
}

func TestSums(t *testing.T) {
	data := "a source\n"
	small, large := sha256.Sum256([]byte(data)), sha512.Sum512([]byte(data))
	for what, list := range map[string]string{
		"sha256sum":     fmt.Sprintf("%x  b.tar\n%x *a.tar\n", large[:32], small),
		"sha512sum":     fmt.Sprintf("# list\n%x  ./a.tar\r\n", large),
		"BSD":           fmt.Sprintf("MD5 (a.tar) = %032x\nSHA256 (a.tar) = %X\n", 1, small),
		"one":           fmt.Sprintf("%x\n", small),
		"wrong":         fmt.Sprintf("%x  a.tar\n", large[:32]),
		"one of two":    fmt.Sprintf("%x  a.tar\n%x  a.tar\n", small, large[1:33]),
		"only md5":      fmt.Sprintf("%032x  a.tar\n", 1),
		"another file":  fmt.Sprintf("%x  b.tar\n", small),
		"another place": fmt.Sprintf("%x  aa.tar\n", small),
	} {
		sums, err := ParseSums(t.Context(), []byte(list), &Keys{})
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		good := map[string]bool{"sha256sum": true, "sha512sum": true, "BSD": true, "one": true}[what]
		if kind, err := sums.Check("a.tar", strings.NewReader(data)); (err == nil) != good {
			t.Errorf("%s: %s, %v", what, kind, err)
		}
	}
	if _, err := ParseSums(t.Context(), []byte("<html>"), &Keys{}); err == nil {
		t.Error("a page is a list")
	}
}

func TestSignedSums(t *testing.T) {
	ann := newSigner(t, "ann", "ed25519")
	small := sha256.Sum256([]byte("x"))
	list := ann.run(fmt.Appendf(nil, "%x  a.tar\n", small), "--clear-sign")
	sums, err := ParseSums(t.Context(), list, ann.keys())
	if err != nil || !strings.HasPrefix(sums.Signer, "ann") {
		t.Fatalf("%+v, %v", sums, err)
	}
	if _, err := sums.Check("a.tar", strings.NewReader("x")); err != nil {
		t.Error(err)
	}
	changed := bytes.Replace(list, []byte("a.tar"), []byte("b.tar"), 1)
	if _, err := ParseSums(t.Context(), changed, ann.keys()); err == nil {
		t.Error("a changed list is signed")
	}
	if sums, err := ParseSums(t.Context(), changed, &Keys{}); err != nil || sums.Signer != "" {
		t.Errorf("without keys: %+v, %v", sums, err)
	}
}

func TestSigns(t *testing.T) {
	for _, c := range []struct {
		signature, file string
		signs, unpacked bool
	}{
		{"a.tar.xz.sig", "a.tar.xz", true, false}, {"a.tar.sign", "a.tar.xz", true, true},
		{"a.tar.asc", "a.tar", true, false}, {"a.tar.sig", "b.tar", false, false},
		{"a.tar.xz", "a.tar.xz", false, false}, {"a.asc", "a.tar.xz", false, false},
	} {
		signs, unpacked := Signs(c.signature, c.file)
		if signs != c.signs || signs && unpacked != c.unpacked {
			t.Errorf("%s of %s: %v, %v", c.signature, c.file, signs, unpacked)
		}
	}
}

func FuzzProofs(f *testing.F) {
	f.Add([]byte("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nx\n" +
		"-----BEGIN PGP SIGNATURE-----"))
	f.Add([]byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nlQ==\n=AAAA\n" +
		"-----END PGP PUBLIC KEY BLOCK-----"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var k Keys
		_ = k.Add(t.Context(), "a", data)
		if by, err := new(Keys).Check(t.Context(), strings.NewReader("data"), data); err == nil {
			t.Errorf("signed by %s, whom nobody knows", by)
		}
		if sums, err := ParseSums(t.Context(), data, &Keys{}); err == nil && sums.Signer != "" {
			t.Error("signed by somebody whom nobody knows")
		}
	})
}

// TestPatches looks at patches that apply, that the source has, and that do not apply.
func TestPatches(t *testing.T) {
	dir := t.TempDir()
	text := func(from, to int) string {
		var b strings.Builder
		for i := from; i <= to; i++ {
			fmt.Fprintf(&b, "line %d\n", i)
		}
		return b.String()
	}
	for name, data := range map[string]string{"a": text(1, 20), "new": "here\n"} {
		at := filepath.Join(dir, "a-1.3", name)
		_ = os.MkdirAll(filepath.Dir(at), 0o755)
		if err := os.WriteFile(at, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), need.Program(t, "tar"), "-C", dir, "-czf",
		filepath.Join(dir, "a.tar.gz"), "a-1.3").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	patch := func(before, after string) string {
		return "--- a/a\n+++ b/a\t2024\n@@ -3,3 +3,3 @@ what\n line 3\n-" + before + "\n+" + after +
			"\n line 5\n"
	}
	files := map[string]string{
		"good.patch": patch("line 4", "LINE 4"), "next.patch": patch("LINE 4", "four"),
		"there.patch": strings.ReplaceAll(patch("old", "line 8"), "line 3\n", "line 7\n"),
		"bad.patch":   patch("nothing", "something"),
		"gone.patch":  "--- a/gone\n+++ b/gone\n@@ -1 +1 @@\n-a\n+b\n",
		"adds.patch":  "--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+here\n",
		"makes.patch": "--- /dev/null\n+++ b/made\n@@ -0,0 +1 @@\n+made\n",
		"uses.patch":  "--- a/made\n+++ b/made\n@@ -1 +1 @@\n-made\n+used\n",
	}
	files["there.patch"] = strings.ReplaceAll(files["there.patch"], "line 5\n", "line 9\n")
	spec := "Name: a\nVersion: 1.2\nSource0: a-%{version}.tar.gz\n"
	for i, name := range []string{"good", "next", "there", "bad", "gone", "adds", "makes", "uses"} {
		spec += fmt.Sprintf("Patch%d: %s.patch\n", i+1, name)
	}
	n := named(t, "a", "1.2", "https://e/a-1.2.tar.gz")
	c := Change{Spec: spec + "%prep\n%autosetup -p1\n", named: n}
	got, err := c.Patches(t.Context(), filepath.Join(dir, "a.tar.gz"),
		func(name string) []byte { return []byte(files[name]) })
	want := []string{
		"there.patch is in the new source already: remove it, and its lines of the spec",
		"bad.patch does not apply: hunk 1 of a",
		"gone.patch changes gone, which the new source does not have",
		"adds.patch is in the new source already: remove it, and its lines of the spec",
	}
	for i := range want {
		want[i] = "packages/a/" + want[i]
	}
	if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%v, got\n%s", err, strings.Join(got, "\n"))
	}
}

func FuzzPatches(f *testing.F) {
	f.Add("--- a/a\n+++ b/a\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n", "a\nb\n")
	f.Fuzz(func(_ *testing.T, patch, file string) {
		looks := 1 << 20
		judge(parsePatch(patch), map[string][]string{"a": strings.Split(file, "\n")}, &looks)
	})
}
