// Tests of signatures and of the verification of a release by them.

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/x509"
	"debug/buildinfo"
	"encoding/pem"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

// keyFiles writes the two halves of a key.
func keyFiles(t *testing.T, private any, public any) (privateFile, publicFile string) {
	t.Helper()
	dir := t.TempDir()
	privateFile, publicFile = filepath.Join(dir, "private.pem"), filepath.Join(dir, "public.pem")
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	put(t, privateFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	if der, err = x509.MarshalPKIXPublicKey(public); err != nil {
		t.Fatal(err)
	}
	put(t, publicFile, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	return privateFile, publicFile
}

func edKey(t *testing.T, seed byte) (privateFile, publicFile string) {
	t.Helper()
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	return keyFiles(t, private, private.Public())
}

// proven makes a release of two files with its provenance.
func proven(t *testing.T, private string) string {
	t.Helper()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "a.tar.gz"), "archive")
	put(t, filepath.Join(dir, "b.deb"), "package")
	r := &release{source: source{version: "0.2.0", commit: strings.Repeat("ab", 20)}, files: dir,
		tools: toolchain{version: "go1.26.8"},
		built: []binary{{info: &buildinfo.BuildInfo{Deps: []*debug.Module{{Path: "example.com/m",
			Version: "v1.0.0", Sum: "h1:Khu2En+0gcYPZ2kuIihfswbzxv/mIHXgzPZ018Oty48="}}}}}}
	if private != "" {
		var err error
		if r.signer, err = readKey(private); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.prove(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := writeSums(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestVerify(t *testing.T) {
	private, public := edKey(t, 1)
	_, strange := edKey(t, 2)
	change := func(name, text string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) { put(t, filepath.Join(dir, name), text) }
	}
	for name, test := range map[string]struct {
		private, public string
		change          func(t *testing.T, dir string)
		want, fault     string
	}{
		"signed":      {private: private, public: public, want: "2 files are as its provenance says"},
		"not checked": {private: private, want: "NOT CHECKED"},
		"not signed":  {want: "NOT SIGNED"},
		"must be":     {public: public, fault: "it is not signed"},
		"strange key": {private: private, public: strange, fault: "accepted signatures do not match"},
		"changed": {private: private, public: public, change: change("b.deb", "Package"),
			fault: "b.deb is not the file of the release"},
		"added": {private: private, public: public, change: change("c.deb", ""),
			fault: "does not know c.deb"},
		"forged": {private: private, public: public, change: func(t *testing.T, dir string) {
			at := filepath.Join(dir, "buildsys-0.2.0"+signedEnding)
			data, _ := os.ReadFile(at)
			put(t, at, strings.Replace(string(data), `"payload":"ewog`, `"payload":"ICAgewog`, 1))
		}, fault: "accepted signatures do not match"},
		"a part": {private: private, public: public, change: func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, "a.tar.gz"))
		}, want: "1 files are as its provenance says, 1 of the release are not here"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := proven(t, test.private)
			if test.change != nil {
				test.change(t, dir)
			}
			var out bytes.Buffer
			err := verify(context.Background(), &out, dir, test.public)
			switch {
			case test.fault == "" && (err != nil || !strings.Contains(out.String(), test.want)):
				t.Errorf("%q, %v, want %q", &out, err, test.want)
			case test.fault != "" && (err == nil || !strings.Contains(err.Error(), test.fault)):
				t.Errorf("%v, want %q", err, test.fault)
			}
		})
	}
}

// TestKeysOfOtherKinds: their signatures would differ from run to run.
func TestKeysOfOtherKinds(t *testing.T) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), nil)
	if err != nil {
		t.Fatal(err)
	}
	private, public := keyFiles(t, k, k.Public())
	if _, err := readKey(private); err == nil || !strings.Contains(err.Error(), "no Ed25519 key") {
		t.Errorf("private: %v", err)
	}
	if _, err := readPublicKey(public); err == nil ||
		!strings.Contains(err.Error(), "no Ed25519 key") {
		t.Errorf("public: %v", err)
	}
	if _, err := readKey(public); err == nil || !strings.Contains(err.Error(), "PRIVATE KEY") {
		t.Errorf("the wrong half: %v", err)
	}
}

// TestStatementIsStable: the same release has the same bytes, also in another process.
func TestStatementIsStable(t *testing.T) {
	read := func() string {
		data, err := os.ReadFile(filepath.Join(proven(t, ""), "buildsys-0.2.0"+unsignedEnding))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	first := read()
	if second := read(); first != second || !strings.Contains(first,
		`"dirHash1": "2a1bb6127fb481c60f67692e22285fb306f3c6ffe62075e0ccf674d7c3adcb8f"`) {
		t.Errorf("%s\n%s", first, second)
	}
}

func TestExpression(t *testing.T) {
	mit := []byte(`Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
`)
	for want, files := range map[string]map[string][]byte{
		"MIT": {"LICENSE": mit, "sub/LICENSE.txt": mit, "NOTICE": []byte("It is ours.")},
		"":    {"LICENSE": mit, "COPYING": []byte("Do what you like.")},
	} {
		if got := expression(files); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
