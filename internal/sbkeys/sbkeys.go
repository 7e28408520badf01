// Package sbkeys makes and reads the keys with which an OS is signed for Secure Boot. A profile is
// a directory of such keys.
package sbkeys

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"buildsys"
	"buildsys/internal/pgp"
	"buildsys/internal/uefi"
)

// Files of a profile, named as in Bottlerocket. In each pair, .key is secret: PEM with PKCS #8.
const (
	CodeSignKey  = "code-sign.key" // signs GRUB and kernels
	CodeSignCert = "code-sign.crt" // issued by db
	ConfigKey    = "config-sign.key"
	ConfigPublic = "config-sign.pgp" // OpenPGP public key, built into GRUB
	DBCert       = "db.crt"          // trusted by firmware
)

// authorities returns the names of the certificates that go into firmware.
func authorities() []string { return []string{"PK", "KEK", "db"} }

// Key sizes in bits. The UEFI specification requires every firmware to support bitsOfFirmware; only
// GRUB reads keys of bitsOfGRUB.
const (
	bitsOfFirmware = 2048
	bitsOfGRUB     = 3072
)

// keyTime is the date that keys claim to be made on: 2025-01-01, the date of everything in an
// image. A signature has the same date, and must not be older than its key.
const keyTime = buildsys.Epoch

// ErrExists reports that a profile already exists.
var ErrExists = errors.New("there are keys already")

// Generate makes all keys of a profile in the directory dir, which must be missing or empty: a lost
// key cannot be made again, so nothing is overwritten. The names of the certificates begin with
// name. The error is ErrExists or one of the file system.
func Generate(dir, name string) error {
	if old, err := os.ReadDir(dir); err == nil && len(old) > 0 {
		return fmt.Errorf("%w in %s: machines with these enrolled would not start an image signed with "+
			"new ones; use another directory, or move them away", ErrExists, dir)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("make keys: %w", err)
	}
	// Made in a directory beside dir, which is then renamed: all of the keys or none.
	temp, err := os.MkdirTemp(filepath.Dir(dir), ".keys-")
	if err != nil {
		return fmt.Errorf("make keys: %w", err)
	}
	defer os.RemoveAll(temp)
	if err := fill(temp, name); err != nil {
		return fmt.Errorf("make keys: %w", err)
	}
	if err := os.Rename(temp, dir); err != nil {
		return fmt.Errorf("make keys: %w", err)
	}
	return nil
}

func fill(dir, name string) error {
	var db pair
	for _, role := range authorities() {
		one, err := newPair(name+" Secure Boot "+role, nil, bitsOfFirmware)
		if err != nil {
			return err
		}
		if err := one.write(dir, role); err != nil {
			return err
		}
		if err := write(dir, role+".cer", one.cert.Raw, 0o644); err != nil {
			return err
		}
		if err := write(dir, role+".esl", uefi.SignatureList(one.cert.Raw), 0o644); err != nil {
			return err
		}
		if role == "db" {
			db = one
		}
	}
	code, err := newPair(name+" code signing", &db, bitsOfFirmware)
	if err != nil {
		return err
	}
	if err := code.write(dir, "code-sign"); err != nil {
		return err
	}
	config, err := rsa.GenerateKey(rand.Reader, bitsOfGRUB)
	if err != nil {
		return err
	}
	public, err := pgp.PublicKey(config, name+" boot configuration signing", keyTime)
	if err != nil {
		return err
	}
	if err := writeKey(dir, ConfigKey, config); err != nil {
		return err
	}
	return write(dir, ConfigPublic, public, 0o644)
}

// pair is a private key with its certificate.
type pair struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

// newPair makes a key and its certificate, issued by an authority, or self-issued as an authority
// if by is nil. Firmware has no reliable clock and ignores the dates; they span a long time for
// other programs, which check them.
func newPair(name string, by *pair, bits int) (pair, error) {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return pair{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return pair{}, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Unix(keyTime, 0).UTC(),
		NotAfter:              time.Date(2049, 12, 31, 0, 0, 0, 0, time.UTC),
		BasicConstraintsValid: true,
		SignatureAlgorithm:    x509.SHA256WithRSA,
	}
	issuer, signer := template, key
	if by == nil {
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageDigitalSignature
	} else {
		issuer, signer = by.cert, by.key
		template.KeyUsage = x509.KeyUsageDigitalSignature
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		return pair{}, err
	}
	cert, err := x509.ParseCertificate(der)
	return pair{key, cert}, err
}

func (p pair) write(dir, role string) error {
	if err := writeKey(dir, role+".key", p.key); err != nil {
		return err
	}
	return write(dir, role+".crt",
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw}), 0o644)
}

func writeKey(dir, name string, key *rsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return write(dir, name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

func write(dir, name string, data []byte, mode fs.FileMode) error {
	return os.WriteFile(filepath.Join(dir, name), data, mode)
}

// Public lists the files of a profile that anyone may see and that go into an image.
func Public() []string { return []string{CodeSignCert, ConfigPublic, DBCert} }

// Secret lists the private keys that an image is signed with. The keys of PK, KEK and db are not
// among them.
func Secret() []string { return []string{CodeSignKey, ConfigKey} }

// MissingError reports the files that a profile lacks.
type MissingError struct {
	Dir   string
	Files []string
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("the Secure Boot keys in %s are incomplete: %s missing; run buildsys keys "+
		"generate, or set BUILDSYS_SBKEYS_PROFILE_DIR to another directory",
		e.Dir, strings.Join(e.Files, ", "))
}

// Check checks that files of a profile exist. The error is a *MissingError.
func Check(dir string, files []string) error {
	var missing []string
	for _, name := range files {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || !info.Mode().IsRegular() {
			missing = append(missing, name)
		}
	}
	if missing != nil {
		return &MissingError{Dir: dir, Files: missing}
	}
	return nil
}

// Certificates reads the certificates of a profile that go into firmware.
func Certificates(dir string) (c uefi.Certificates, err error) {
	for i, to := range []*[]byte{&c.PK, &c.KEK, &c.DB} {
		name := authorities()[i] + ".crt"
		if *to, err = ReadCertificate(filepath.Join(dir, name)); errors.Is(err, fs.ErrNotExist) {
			return c, &MissingError{Dir: dir, Files: []string{name}}
		} else if err != nil {
			return c, err
		}
	}
	return c, nil
}

// ReadCertificate reads a PEM certificate and returns it as DER.
func ReadCertificate(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s has no certificate in PEM format", path)
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return block.Bytes, nil
}
