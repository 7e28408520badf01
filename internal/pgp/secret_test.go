// The public half of a key that gpg exports is the one that gpg exports as such.

package pgp

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"buildsys/internal/buildtest/bound"
	"buildsys/internal/buildtest/need"
)

// gpgKey returns what gpg exports of a new key.
func gpgKey(t *testing.T, passphrase string) (armored, secret, public []byte) {
	t.Helper()
	gpg, home := need.Program(t, "gpg"), t.TempDir()
	run := func(args ...string) []byte {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), gpg, append([]string{"--homedir", home, "--batch",
			"--pinentry-mode", "loopback", "--passphrase", passphrase}, args...)...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("gpg: %v\n%s", err, stderr.String())
		}
		return out
	}
	t.Cleanup(func() { _ = exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run() })
	run("--quick-generate-key", "someone", "rsa2048", "sign", "never")
	return run("--armor", "--export-secret-keys"), run("--export-secret-keys"), run("--export")
}

func TestPublicOf(t *testing.T) {
	armored, secret, public := gpgKey(t, "")
	for name, key := range map[string][]byte{"armored": armored, "binary": secret,
		"CR LF": bytes.ReplaceAll(armored, []byte("\n"), []byte("\r\n"))} {
		got, err := PublicOf(key)
		if err != nil || len(got) < 256 || !bytes.HasPrefix(public, got) {
			t.Errorf("%s: %x, %v; want the start of %x", name, got, err, public)
		}
	}
	locked, _, _ := gpgKey(t, "secret")
	for name, c := range map[string]struct {
		key  []byte
		want string
	}{
		"passphrase": {locked, "the secret key is encrypted"},
		"public":     {public, "it begins with a packet of kind 6"},
		"text":       {[]byte("-----BEGIN PRIVATE KEY-----"), "does not begin with a secret key"},
		"cut off":    {secret[:100], "it is cut off"},
		"armor":      {armored[:100], "the ASCII armor is cut off"},
		"nothing":    {nil, "it is cut off"},
	} {
		if _, err := PublicOf(c.key); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func FuzzPublicOf(f *testing.F) {
	f.Add(packet(tagSecretKey, append([]byte{4, 0, 0, 0, 0, algorithmRSA}, 0, 1, 1, 0, 1, 1, 0)))
	f.Add([]byte("-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQ==\n=AAAA\n-----END"))
	f.Fuzz(func(t *testing.T, key []byte) {
		bound.Work(t, 64<<20, func() {
			if public, err := PublicOf(key); err == nil && len(public) > len(key)+9 {
				t.Errorf("%d bytes of %d", len(public), len(key))
			}
		})
	})
}
