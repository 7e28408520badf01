// Who vouches for a new source: signatures that gpg makes, by the manifest and by the caller.

package build

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/buildtest/need"
	"buildsys/internal/cachedir"
)

// signedTree makes a tree with the package a, whose version 1.0 it has, and a server with 1.1 in
// it, signed. It returns the tree, and the signer's public key.
func signedTree(t *testing.T, entries string) (s *Session, key []byte) {
	t.Helper()
	gpg, home := need.Program(t, "gpg"), t.TempDir()
	t.Cleanup(func() { _ = exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run() })
	run := func(in []byte, args ...string) []byte {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), gpg, append([]string{"--homedir", home, "--batch",
			"--pinentry-mode", "loopback", "--passphrase", ""}, args...)...)
		cmd.Stdin = bytes.NewReader(in)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("gpg %s: %v", args, err)
		}
		return out
	}
	run(nil, "--quick-generate-key", "Ann", "ed25519", "sign", "never")
	tar := []byte("the source\n")
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write(tar)
	_ = w.Close()
	web := map[string][]byte{"/a-1.1.tar.gz": packed.Bytes(),
		"/a-1.1.tar.gz.sig": run(packed.Bytes(), "--detach-sign"),
		"/a-1.1.tar.sign":   run(tar, "--armor", "--detach-sign"),
		"/bad.sig":          run([]byte("another"), "--detach-sign")}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if data, ok := web[r.URL.Path]; ok {
			_, _ = w.Write(data)
		} else {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(server.Close)
	root := t.TempDir()
	for name, text := range map[string]string{"Release.toml": "version = \"1.0.0\"\n",
		"packages/a/Cargo.toml": "[package]\nname = \"a\"\n" + strings.ReplaceAll(entries, "WEB",
			server.URL),
		"packages/a/a.spec": "Name: a\nVersion: 1.0\nSource0: a-%{version}.tar.gz\n"} {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s = (&Session{out: silent{}}).with(Config{Root: root, CacheDir: cachedir.Dir(t.TempDir()),
		Sources: SourcesConfig{Upstream: true, Private: true}})
	return s, run(nil, "--armor", "--export")
}

func external(name, digit string) string {
	return "[[package.metadata.build-package.external-files]]\nurl = \"WEB/" + name +
		"\"\nsha512 = \"" + strings.Repeat(digit, 128) + "\"\n"
}

func TestProofs(t *testing.T) {
	one := external("a-1.0.tar.gz", "0")
	for _, c := range []struct {
		what, entries string
		key           bool // by --key; else in the package
		without       bool // any key
		proofs        Proofs
		want          string // proof, or error
	}{
		{what: "nothing", entries: one, want: "nothing, not even TLS"},
		{what: "in the manifest", entries: one + external("a-1.0.tar.gz.sig", "1"),
			want: " of packages/a/ann.asc"},
		{what: "in the manifest, without a key", entries: one + external("a-1.0.tar.gz.sig", "1"),
			without: true, want: "nothing, not even TLS"},
		{what: "of what is packed, in the manifest", entries: one + external("a-1.0.tar.sign", "1"),
			want: "signature by Ann, key "},
		{what: "beside it", entries: one, key: true, proofs: Proofs{Signature: ".sig"},
			want: " of --key "},
		{what: "of something else", entries: one, key: true, proofs: Proofs{Signature: "WEB/bad.sig"},
			want: "its signature "},
		{what: "missing", entries: one, proofs: Proofs{Signature: ".asc"}, want: "404 Not Found"},
	} {
		t.Run(c.what, func(t *testing.T) {
			s, key := signedTree(t, c.entries)
			at := filepath.Join(s.c.Root, "packages/a/ann.asc")
			if c.key {
				at = filepath.Join(t.TempDir(), "ann.asc")
				c.proofs.Keys = []string{at}
			}
			if err := os.WriteFile(at, key, 0o644); err != nil || c.without {
				_ = os.Remove(at)
			}
			manifest := filepath.Join(s.c.Root, "packages/a/Cargo.toml")
			before, _ := os.ReadFile(manifest)
			_, web, _ := strings.Cut(string(before), `url = "`)
			web, _, _ = strings.Cut(web, "/a-1.0")
			c.proofs.Signature = strings.Replace(c.proofs.Signature, "WEB", web, 1)
			got, err := s.Bump(t.Context(), Bump{Package: "a", Version: "1.1", Proofs: c.proofs})
			after, _ := os.ReadFile(manifest)
			text := ""
			if err != nil {
				text = err.Error()
			} else {
				text = got.Sources[0].Proof
			}
			if !strings.Contains(text, c.want) || (err != nil) != bytes.Equal(before, after) {
				t.Errorf("%q, want %q; written: %v", text, c.want, !bytes.Equal(before, after))
			}
			warned := strings.Contains(strings.Join(got.Warnings, "\n"), "is not checked")
			if warned != c.without {
				t.Errorf("warnings: %q", got.Warnings)
			}
		})
	}
}
