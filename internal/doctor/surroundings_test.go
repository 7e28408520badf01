// Tests of locks, proxies and authorities.

package doctor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLocks says first that a file system has no locks, and leaves nothing behind.
func TestLocks(t *testing.T) {
	dir := t.TempDir()
	r := Request{Places: []Place{{Name: "cache", Path: dir + "/not/yet", Locks: true}, {Name: "x",
		Path: dir}}}
	if c := find(t, Run(t.Context(), r), "locks: cache"); c.Status != OK {
		t.Errorf("%+v", c)
	}
	r.flock = func(*os.File) error { return errors.New("no locks") }
	c := Run(t.Context(), r).Checks[0]
	if c.Name != "locks: cache" || c.Status != Failure || !strings.Contains(c.Detail, "no locks") ||
		!strings.Contains(c.Fix, "--cache-dir") {
		t.Errorf("%+v", c)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// certificate returns one in PEM.
func certificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestSurroundings(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "good.pem", certificate(t)+certificate(t))
	write(t, dir, "bad.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	for _, c := range []struct {
		env, check string
		want       Status
		detail     string
	}{
		{"", "proxies", OK, "none"},
		{"HTTPS_PROXY=http://me:secret@proxy:3128 NO_PROXY=.example,10.0.0.0/8", "proxies", OK,
			"HTTPS_PROXY=http://proxy:3128 NO_PROXY=.example,10.0.0.0/8 (of this process"},
		{"ALL_PROXY=me:se@cret@proxy:1 http_proxy=http://h:2", "proxies", OK,
			"http_proxy=http://h:2 ALL_PROXY=proxy:1 ("},
		{"ALL_PROXY=http://all:1", "proxies", OK, "ALL_PROXY=http://all:1 ("},
		{"", "authorities", OK, "those of the system"},
		{"SSL_CERT_DIR=/c", "authorities", OK, "SSL_CERT_DIR=/c"},
		{"SSL_CERT_FILE=" + dir + "/good.pem", "authorities", OK, "good.pem: 2 certificates"},
		{"SSL_CERT_FILE=" + dir + "/bad.pem", "authorities", Warning, "has no certificate"},
		{"SSL_CERT_FILE=" + filepath.Join(dir, "none"), "authorities", Warning, "no such file"},
	} {
		env := map[string]string{}
		for _, v := range strings.Fields(c.env) {
			name, value, _ := strings.Cut(v, "=")
			env[name] = value
		}
		r := Run(t.Context(), Request{Getenv: func(name string) string { return env[name] }})
		got := find(t, r, c.check)
		if got.Status != c.want || !strings.Contains(got.Detail, c.detail) ||
			strings.Contains(got.Detail, "cret") || (got.Fix == "") != (c.want == OK) {
			t.Errorf("%s: %+v", c.env, got)
		}
	}
}
