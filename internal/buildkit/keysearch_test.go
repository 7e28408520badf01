// Tests of the search for private keys in outputs.

package buildkit

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"slices"
	"strings"
	"testing"

	"buildsys/internal/engine"
	"buildsys/internal/errkind"
)

// privateKeys returns keys of several kinds in PEM, and one in armor, with their binary form.
func privateKeys(t *testing.T) (text, binary map[string][]byte) {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	text, binary = map[string][]byte{}, map[string][]byte{}
	for name, key := range map[string]any{"rsa": rsaKey, "curve": curve, "edwards": edwards} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		must(t, err)
		text[name] = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		binary[name] = der
	}
	packet := make([]byte, 1000)
	_, _ = rand.Read(packet)
	armor := "-----BEGIN PGP PRIVATE KEY BLOCK-----\nComment: nothing\n\n"
	for line := range slices.Chunk([]byte(base64.StdEncoding.EncodeToString(packet)), 76) {
		armor += string(line) + "\n"
	}
	text["pgp"] = []byte(armor + "=AbCd\n-----END PGP PRIVATE KEY BLOCK-----\n")
	binary["pgp"] = packet
	return text, binary
}

func TestKeysAreFoundInOutputs(t *testing.T) {
	text, binary := privateKeys(t)
	parts := keyParts(text)
	filling := bytes.Repeat([]byte("no key"), 10_000)
	for _, forms := range []map[string][]byte{text, binary} {
		for name, key := range forms {
			data := slices.Concat(filling, key, filling)
			err := received(t, t.TempDir(), false, engine.Limits{}, archive(t, []sent{
				file("a"), holding("disk.img", data)}), parts...)
			if !errkind.Is[*OutputError](err) || !strings.Contains(err.Error(),
				`file "disk.img": has a part of the private key `+name) {
				t.Errorf("%s: error %v", name, err)
			}
			// The engine may send it in pieces of any size.
			one := &keySearch{parts: parts}
			for piece := range slices.Chunk(data, 7) {
				_, _ = one.Write(piece)
			}
			if one.found != name {
				t.Errorf("%s in pieces of 7 bytes: found %q", name, one.found)
			}
		}
	}
}

func TestOtherSecretsMayBeInOutputs(t *testing.T) {
	der := make([]byte, 1000)
	_, _ = rand.Read(der)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	parts := keyParts(map[string][]byte{"db.crt": certificate, "root.json": []byte("{}")})
	err := received(t, t.TempDir(), false, engine.Limits{}, archive(t, []sent{
		holding("db.crt", certificate)}), parts...)
	must(t, err)
}

// holding is a file with data.
func holding(name string, data []byte) sent {
	s := file(name)
	s.Size, s.data = int64(len(data)), string(data)
	return s
}

// TestKeysAreFoundInNames: names are published as contents are. The error does not repeat the key.
func TestKeysAreFoundInNames(t *testing.T) {
	const line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
	err := received(t, t.TempDir(), false, engine.Limits{}, archive(t, []sent{
		file("a"), file("x." + line)}), keyPart{"code-sign.key", []byte(line)})
	if !errkind.Is[*OutputError](err) || strings.Contains(err.Error(), line) ||
		!strings.Contains(err.Error(), "a name has a part of the private key code-sign.key") {
		t.Errorf("error %v", err)
	}
}
