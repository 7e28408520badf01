// An image that is stated, checked, tampered with and made again, as its users have it.

package e2e

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/buildtest"
)

// signingKey writes a key and its public half, and returns their names.
func signingKey(t *testing.T, dir, name string) (private, public string) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(nil)
	buildtest.Must(t, err)
	for end, of := range map[string]any{".pem": key, ".pub": pub} {
		kind, marshal := "PRIVATE KEY", x509.MarshalPKCS8PrivateKey
		if end == ".pub" {
			kind, marshal = "PUBLIC KEY", x509.MarshalPKIXPublicKey
		}
		der, err := marshal(of)
		buildtest.Must(t, err)
		text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		buildtest.Must(t, os.WriteFile(filepath.Join(dir, name+end), text, 0o600))
	}
	return filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".pub")
}

// commitTree makes a repository of a tree.
func commitTree(t *testing.T, root string) {
	t.Helper()
	write(t, root, ".gitignore", "/build/\n")
	for _, args := range [][]string{{"init", "-q"}, {"add", "-A"}, {"-c", "user.name=t", "-c",
		"user.email=t@example.com", "commit", "-q", "-m", "tree"}} {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", args, err, out)
		}
	}
}

// TestVerify states an image, checks it, and makes it again apart from all that was built before.
// Then it changes one thing after the other: each is refused by its name.
func TestVerify(t *testing.T) {
	root, keys := imageTree(t), t.TempDir()
	key, public := signingKey(t, keys, "ours")
	_, other := signingKey(t, keys, "other")
	commitTree(t, root)
	build := []string{"build-variant", "--arch", "x86_64", "--sign-key", key, "try-raw"}
	buildsys(t, root, nil, build...).must(t, 0)
	at, err := filepath.EvalSymlinks(filepath.Join(root, "build/images/x86_64-try-raw/latest"))
	buildtest.Must(t, err)
	papers, err := filepath.Glob(at + "/*.intoto.jsonl")
	if err != nil || len(papers) != 1 {
		t.Fatalf("the papers are %v, %v", papers, err)
	}
	paper := filepath.Base(papers[0])
	disk := strings.TrimSuffix(paper, ".intoto.jsonl") + ".img.lz4"
	before, err := os.ReadFile(papers[0])
	buildtest.Must(t, err)

	r := buildsys(t, root, nil, "verify", "--key", public, "--rebuild", "--arch", "x86_64", at)
	r.must(t, 0)
	for _, want := range []string{"good: the statement is signed", "good: the bill of materials has",
		" files of the image have the bytes that the bill of materials says",
		"good: 1 root file system", "good: made again from commit"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("no %q in\n%s%s", want, r.stdout, r.stderr)
		}
	}
	buildsys(t, root, nil, build...).must(t, 0, "nothing to do")
	if after, err := os.ReadFile(papers[0]); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the paper of the same image is another: %v", err)
	}
	for _, tt := range []struct {
		name   string
		key    string
		tamper func(dir string)
		code   int
		want   string
	}{
		{"other key", other, func(string) {}, 10, "signature: " + paper + ", line 1: it is signed with"},
		{"payload", public, edit(t, paper, `"payload":"ey`, `"payload":"ez`), 10, "signature: " + paper},
		{"step gone", public, func(dir string) {
			lines := strings.SplitAfter(string(before), "\n")
			write(t, dir, paper, lines[0]+strings.Join(lines[2:], ""))
		}, 12, "step: "},
		{"disk", public, flip(t, disk, 4000), 13, "files: " + disk + ": its "},
		{"SPDX", public, flip(t, "spdx-sbom.json", 300), 13, "files: spdx-sbom.json: its "},
		{"missing", public, remove(t, "spdx-sbom.json"), 13, "files: spdx-sbom.json: it is missing"},
		{"added", public, func(dir string) { write(t, dir, "more", "x") }, 13,
			"files: more: it was added"},
		{"link", public, func(dir string) {
			remove(t, "spdx-sbom.json")(dir)
			buildtest.Must(t, os.Symlink("/etc/passwd", filepath.Join(dir, "spdx-sbom.json")))
		}, 13, "files: spdx-sbom.json: it is a link"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "image")
			tool(t, "cp", "-a", at, dir)
			tt.tamper(dir)
			buildsys(t, root, nil, "verify", "--key", tt.key, dir).must(t, tt.code, tt.want)
		})
	}
}

// edit returns what replaces a text in a file, once.
func edit(t *testing.T, name, from, to string) func(dir string) {
	return func(dir string) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		buildtest.Must(t, err)
		if !strings.Contains(string(data), from) {
			t.Fatalf("%s has no %q", name, from)
		}
		write(t, dir, name, strings.Replace(string(data), from, to, 1))
	}
}

func remove(t *testing.T, name string) func(dir string) {
	return func(dir string) { buildtest.Must(t, os.Remove(filepath.Join(dir, name))) }
}

// flip returns what changes one bit of a file.
func flip(t *testing.T, name string, at int) func(dir string) {
	return func(dir string) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		buildtest.Must(t, err)
		data[at] ^= 1
		write(t, dir, name, string(data))
	}
}
