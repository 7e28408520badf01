// Any bytes can be given as a key and a signature.

package pgp

import (
	"crypto/rand"
	"crypto/rsa"
	"testing"

	"buildsys/internal/buildtest/bound"
)

func FuzzVerify(f *testing.F) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		f.Fatal(err)
	}
	public, err := PublicKey(key, "owner", 1)
	if err != nil {
		f.Fatal(err)
	}
	body := []byte{4, ofFile, algorithmRSA, hashSHA512, 0, 0, 0, 10, 9, subIssuer, 0, 0, 0, 0, 0, 0,
		0, 0, 1, 2}
	f.Add(public, packet(tagSignature, body))
	f.Add(packet(tagPublicKey, append([]byte{4, 0, 0, 0, 0, algorithmRSA}, 0xff, 0xff)), []byte{})
	f.Fuzz(func(t *testing.T, public, signature []byte) {
		bound.Work(t, 64<<20, func() {
			if Verify(public, []byte("data"), signature) == nil {
				t.Error("a signature that nobody made is right")
			}
		})
	})
}
