// keys: the keys of statements: Ed25519 or ECDSA P-256 in PEM, in files or held by a program. All
// make the same signature of the same bytes each time, but for programs that do otherwise.

package provenance

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"

	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/safetext"
)

const maxKey = 64 << 10

// HowToMake says how a key is made, for errors.
const HowToMake = "make one with: openssl genpkey -algorithm ed25519 -out KEY.pem; " +
	"its public half: openssl pkey -in KEY.pem -pubout -out KEY.pub"

// key verifies, and signs if it has a way to.
type key struct {
	public crypto.PublicKey // ed25519.PublicKey or *ecdsa.PublicKey
	sign   func(ctx context.Context, data []byte) ([]byte, error)
}

// ReadKey returns the private key in a file of the caller. One with a password is refused: a
// program can hold it (Program).
func ReadKey(file string) (dsse.SignerVerifier, error) {
	der, err := readPEM(file, "PRIVATE KEY", "EC PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	private, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		var ec *ecdsa.PrivateKey
		if ec, err = x509.ParseECPrivateKey(der); err == nil {
			private = ec
		}
	}
	k := key{}
	switch p := private.(type) {
	case ed25519.PrivateKey:
		k.public = p.Public()
		k.sign = func(_ context.Context, data []byte) ([]byte, error) {
			return ed25519.Sign(p, data), nil
		}
	case *ecdsa.PrivateKey:
		k.public = p.Public()
		k.sign = func(_ context.Context, data []byte) ([]byte, error) {
			sum := sha256.Sum256(data)
			return p.Sign(nil, sum[:], crypto.SHA256) // without a source of chance, as in RFC 6979
		}
	}
	if err := k.check(); err != nil {
		return nil, errkind.Usagef("the key %s: %w; %s", file, err, HowToMake)
	}
	return k, nil
}

// ReadPublicKey returns the public key in a file of the caller.
func ReadPublicKey(file string) (dsse.Verifier, error) {
	der, err := readPEM(file, "PUBLIC KEY")
	if err != nil {
		return nil, err
	}
	k, err := parsePublic(der)
	if err != nil {
		return nil, errkind.Usagef("the key %s: %w", file, err)
	}
	return k, nil
}

func parsePublic(der []byte) (k key, err error) {
	if k.public, err = x509.ParsePKIXPublicKey(der); err != nil {
		return k, err
	}
	return k, k.check()
}

// check refuses other kinds of keys: RSA signs as well, but one kind fewer is one fewer to trust.
func (k key) check() error {
	switch p := k.public.(type) {
	case ed25519.PublicKey:
		return nil
	case *ecdsa.PublicKey:
		if p.Curve == elliptic.P256() {
			return nil
		}
	}
	return errors.New("it is neither Ed25519 nor ECDSA P-256")
}

func readPEM(file string, kinds ...string) ([]byte, error) {
	data, err := confined.Path{Name: file}.Read(maxKey)
	if err != nil {
		return nil, errkind.Usagef("the key: %w", err)
	}
	return decodePEM(file, data, kinds...)
}

// decodePEM returns the first block of one of some kinds. openssl writes the parameters of a curve
// before an EC key.
func decodePEM(name string, data []byte, kinds ...string) ([]byte, error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		for _, kind := range kinds {
			if block.Type == kind && block.Headers["DEK-Info"] == "" {
				return block.Bytes, nil
			}
		}
	}
	return nil, errkind.Usagef(`the key %s has no "%s" in PEM without a password`, name, kinds[0])
}

// Sign implements dsse.Signer.
func (k key) Sign(ctx context.Context, data []byte) ([]byte, error) { return k.sign(ctx, data) }

// Verify implements dsse.Verifier.
func (k key) Verify(_ context.Context, data, sig []byte) error {
	good := false
	switch p := k.public.(type) {
	case ed25519.PublicKey:
		good = ed25519.Verify(p, data, sig)
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(data)
		good = ecdsa.VerifyASN1(p, sum[:], sig)
	}
	if !good {
		return errors.New("the signature is not of this key")
	}
	return nil
}

// KeyID returns the sha256 of the public key, as openssl pkey -pubout -outform DER writes it.
func (k key) KeyID() (string, error) {
	der, err := x509.MarshalPKIXPublicKey(k.public)
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), err
}

// Public returns the public key.
func (k key) Public() crypto.PublicKey { return k.public }

// programTime is how long a program that holds a key may take: somebody may have to touch a token.
const programTime = 5 * time.Minute

// Program returns the key that a program of the caller holds, for instance in a hardware token or
// at a cloud's service. Called with the argument "public-key" it writes the public key in PEM;
// called with "sign" it reads what is to be signed and writes the signature in base64: of Ed25519
// over the bytes, of ECDSA P-256 in ASN.1 over their SHA-256.
func Program(ctx context.Context, program string) (dsse.SignerVerifier, error) {
	text, err := ask(ctx, program, "public-key", nil)
	if err != nil {
		return nil, err
	}
	der, err := decodePEM("of the signer "+program, text, "PUBLIC KEY")
	if err != nil {
		return nil, err
	}
	k, err := parsePublic(der)
	if err != nil {
		return nil, errkind.Usagef("the key of the signer %s: %w", program, err)
	}
	k.sign = func(ctx context.Context, data []byte) ([]byte, error) {
		text, err := ask(ctx, program, "sign", data)
		if err != nil {
			return nil, err
		}
		sig, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
		if err == nil {
			err = k.Verify(ctx, data, sig)
		}
		if err != nil {
			err = errkind.Environmentf("the signer %s wrote no signature of its key: %w", program, err)
		}
		return sig, err
	}
	return k, nil
}

// ask calls a program. It gets no shell.
func ask(ctx context.Context, program, what string, in []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, programTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, what)
	cmd.Stdin, cmd.WaitDelay = bytes.NewReader(in), time.Second
	var out, complaint bounded
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		said := safetext.Line(strings.TrimSpace(string(complaint.text)))
		if said != "" {
			said = ": " + said
		}
		return nil, errkind.Environmentf("the signer %s %s: %w%s", program, what, err, said)
	}
	return out.text, nil
}

// bounded is a buffer that refuses more than a key or a signature has.
type bounded struct{ text []byte }

func (b *bounded) Write(p []byte) (int, error) {
	if len(b.text)+len(p) > maxKey {
		return 0, io.ErrShortWrite
	}
	b.text = append(b.text, p...)
	return len(p), nil
}
