// Package sbkeys makes and reads the keys with which an OS is signed for Secure Boot. A profile is
// a directory of such keys.
package sbkeys

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
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
	"buildsys/internal/confined"
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

// Files of profiles that Bottlerocket's programs make, besides those. There config-sign.key is an
// OpenPGP key, which has its public half in it, and the vendor has issued code-sign.
const (
	VendorCert  = "vendor.crt"    // in shim
	shimSignKey = "shim-sign.key" // issued by db
	ukiSignKey  = "uki-sign.key"  // issued by db
	remoteKeys  = "kms-sign.json" // instead of private keys
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
func Generate(dir confined.Path, name string) error {
	parent, err := dir.Dir().MakeDir()
	if err == nil {
		err = generate(parent, filepath.Base(dir.String()), name)
		_ = parent.Close()
	}
	if errors.Is(err, ErrExists) {
		return fmt.Errorf("%w in %s: machines with these enrolled would not start an image signed with "+
			"new ones; use another directory, or move them away", ErrExists, dir)
	}
	if err != nil {
		return fmt.Errorf("make keys: %w", err)
	}
	return nil
}

func generate(parent *os.Root, dir, name string) error {
	if old, err := confined.ReadDir(parent.FS(), dir); err == nil && len(old) > 0 {
		return ErrExists
	}
	// Made in a directory beside dir, which is then renamed: all of the keys or none.
	temp := ".keys-" + rand.Text()
	if err := parent.Mkdir(temp, 0o700); err != nil {
		return err
	}
	defer parent.RemoveAll(temp)
	keys, err := confined.OpenDirIn(parent, temp)
	if err != nil {
		return err
	}
	defer keys.Close()
	if err := fill(keys, name); err != nil {
		return err
	}
	return parent.Rename(temp, dir)
}

func fill(dir *os.Root, name string) error {
	var db pair
	for _, role := range authorities() {
		one, err := newPair(name+" Secure Boot "+role, nil, bitsOfFirmware)
		if err != nil {
			return err
		}
		if err := one.write(dir, role); err != nil {
			return err
		}
		if err := dir.WriteFile(role+".cer", one.cert.Raw, 0o644); err != nil {
			return err
		}
		list := uefi.SignatureList(one.cert.Raw)
		if err := dir.WriteFile(role+".esl", list, 0o644); err != nil {
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
	return dir.WriteFile(ConfigPublic, public, 0o644)
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

func (p pair) write(dir *os.Root, role string) error {
	if err := writeKey(dir, role+".key", p.key); err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw})
	return dir.WriteFile(role+".crt", text, 0o644)
}

func writeKey(dir *os.Root, name string, key *rsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return dir.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// Scheme is how an image is signed: which files of a profile it takes.
type Scheme struct {
	UKI  bool // one program for the firmware; nothing is signed for GRUB
	Shim bool // with the keys of a profile that Bottlerocket's programs make
}

// Public lists the files of a profile that anyone may see and that go into an image.
func (s Scheme) Public() []string {
	switch {
	case s.UKI && s.Shim:
		return []string{DBCert, "uki-sign.crt"}
	case s.UKI:
		return []string{CodeSignCert, DBCert}
	case s.Shim:
		return []string{CodeSignCert, ConfigPublic, DBCert, "shim-sign.crt", VendorCert}
	}
	return []string{CodeSignCert, ConfigPublic, DBCert}
}

// Secret lists the private keys that an image is signed with. The keys of PK, KEK and db are not
// among them.
func (s Scheme) Secret() []string {
	switch {
	case s.UKI && s.Shim:
		return []string{ukiSignKey}
	case s.UKI:
		return []string{CodeSignKey}
	case s.Shim:
		return []string{CodeSignKey, ConfigKey, shimSignKey}
	}
	return []string{CodeSignKey, ConfigKey}
}

// Private lists the private keys that any image is signed with.
func Private() []string { return []string{CodeSignKey, ConfigKey, shimSignKey, ukiSignKey} }

// MissingError reports the files that a profile lacks.
type MissingError struct {
	Dir   string
	Files []string
	Shim  bool // they are not those that buildsys makes
}

func (e *MissingError) Error() string {
	if e.Shim {
		return fmt.Sprintf("the Secure Boot keys in %s are incomplete: %s missing; make them with "+
			"sbkeys/generate-local-sbkeys of the tree or Twoliter's build-sbkeys, or set "+
			"BUILDSYS_SBKEYS_PROFILE_DIR to another directory", e.Dir, strings.Join(e.Files, ", "))
	}
	return fmt.Sprintf("the Secure Boot keys in %s are incomplete: %s missing; run buildsys keys "+
		"generate, or set BUILDSYS_SBKEYS_PROFILE_DIR to another directory",
		e.Dir, strings.Join(e.Files, ", "))
}

// ReadPublic reads the public files of a profile. The error is a *MissingError, or says which of
// them is not what it should be.
func (s Scheme) ReadPublic(dir confined.Path) (map[string][]byte, error) {
	files := map[string][]byte{}
	var missing []string
	if err := s.check(dir); err != nil {
		return nil, err
	}
	for _, name := range s.Public() {
		data, err := s.read(dir, name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, s.file(name))
			continue
		case err != nil:
			return nil, fmt.Errorf("the Secure Boot keys cannot be used: %w", err)
		}
		if name != ConfigPublic {
			if _, err := ParseCertificate(data); err != nil {
				return nil, fmt.Errorf("the Secure Boot keys cannot be used: %s: %w", dir.Join(name), err)
			}
		}
		files[name] = data
	}
	if missing != nil {
		return nil, &MissingError{Dir: dir.String(), Files: missing, Shim: s.Shim}
	}
	return files, nil
}

// check refuses a profile whose keys are elsewhere.
func (s Scheme) check(dir confined.Path) error {
	if at := dir.Join(remoteKeys); s.Shim && at.Check() == nil {
		return fmt.Errorf("the Secure Boot keys cannot be used: %s says that they are in AWS KMS, and "+
			"buildsys signs with keys in files", at)
	}
	return nil
}

// file returns the file of a profile that has what is called name in a build.
func (s Scheme) file(name string) string {
	if s.Shim && name == ConfigPublic {
		return ConfigKey
	}
	return name
}

// read returns what is called name in a build.
func (s Scheme) read(dir confined.Path, name string) ([]byte, error) {
	file := dir.Join(s.file(name))
	data, err := file.Read(maxKey)
	if err == nil && s.Shim && name == ConfigPublic {
		if data, err = pgp.PublicOf(data); err != nil {
			err = fmt.Errorf("%s: %w", file, err)
		}
	}
	return data, err
}

// maxKey is far above the size of any key or certificate.
const maxKey = 1 << 20

// Certificates reads the certificates of a profile that go into firmware.
func Certificates(dir confined.Path) (c uefi.Certificates, err error) {
	for i, to := range []*[]byte{&c.PK, &c.KEK, &c.DB} {
		name := authorities()[i] + ".crt"
		data, err := dir.Join(name).Read(maxKey)
		if errors.Is(err, fs.ErrNotExist) {
			return c, &MissingError{Dir: dir.String(), Files: []string{name}}
		}
		if err != nil {
			return c, err
		}
		if *to, err = ParseCertificate(data); err != nil {
			return c, fmt.Errorf("%s: %w", dir.Join(name), err)
		}
	}
	return c, nil
}

// Placeholders returns the certificates of a profile as the description of a virtual machine has
// them, by the names that Bottlerocket's templates use.
func Placeholders(dir confined.Path) (map[string]string, error) {
	c, err := Certificates(dir)
	return placeholders(c), err
}

// NoPlaceholders is Placeholders for a plan that takes no keys.
func NoPlaceholders() map[string]string { return placeholders(uefi.Certificates{}) }

func placeholders(c uefi.Certificates) map[string]string {
	return map[string]string{
		"PK_CERT_DER_HEX":    hex.EncodeToString(c.PK),
		"KEK_CERT_DER_HEX":   hex.EncodeToString(c.KEK),
		"DB_CERT_DER_HEX":    hex.EncodeToString(c.DB),
		"DBX_EMPTY_HASH_HEX": fmt.Sprintf("%x", sha256.Sum256(nil)), // forbids nothing that exists
	}
}

// ParseCertificate returns a PEM certificate as DER.
func ParseCertificate(data []byte) ([]byte, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("no certificate in PEM format")
	}
	_, err := x509.ParseCertificate(block.Bytes)
	return block.Bytes, err
}
