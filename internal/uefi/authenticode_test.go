// Signatures made by osslsigncode are read and verified, and a changed byte is noticed.

package uefi

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"buildsys"
	"buildsys/internal/buildtest/bound"
	"buildsys/internal/buildtest/need"
)

// unsigned returns the smallest EFI program with two sections and some bytes after them.
func unsigned() []byte {
	le := binary.LittleEndian
	b := make([]byte, 0x800+13)
	copy(b, "MZ")
	le.PutUint32(b[60:], 64)
	copy(b[64:], "PE\x00\x00")
	coff, optional := b[68:], b[88:]
	le.PutUint16(coff, 0x8664)    // machine
	le.PutUint16(coff[2:], 2)     // sections
	le.PutUint16(coff[16:], 240)  // size of the optional header
	le.PutUint16(coff[18:], 0x22) // executable
	le.PutUint16(optional, 0x20b) // PE32+
	le.PutUint32(optional[32:], 4096)
	le.PutUint32(optional[36:], 512)
	le.PutUint32(optional[56:], 0x3000)
	le.PutUint32(optional[60:], 0x400) // size of headers
	le.PutUint16(optional[68:], 10)    // EFI application
	le.PutUint32(optional[108:], 16)   // data directories
	for i, section := range [][2]uint32{{0x200, 0x400}, {0x200, 0x600}} {
		h := optional[240+40*i:]
		copy(h, fmt.Sprintf(".s%d", i))
		le.PutUint32(h[8:], section[0])
		le.PutUint32(h[12:], uint32(0x1000*(i+1)))
		le.PutUint32(h[16:], section[0])
		le.PutUint32(h[20:], section[1])
	}
	copy(b[0x400:], "the first section")
	copy(b[0x600:], "the second section")
	copy(b[0x800:], "after the end")
	return b
}

// signer is an authority and a certificate that it issued, with files for osslsigncode.
type signer struct {
	ca        *x509.Certificate
	key, cert string
}

func newSigner(t *testing.T) signer {
	t.Helper()
	make := func(name string, parent *x509.Certificate, by *rsa.PrivateKey) (*x509.Certificate,
		*rsa.PrivateKey) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Unix(buildsys.Epoch, 0), NotAfter: time.Unix(2e9,
				0), IsCA: parent == nil, BasicConstraintsValid: true}
		if parent == nil {
			parent, by = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert, key
	}
	ca, caKey := make("authority", nil, nil)
	cert, key := make("the signer", ca, caKey)
	s := signer{ca, filepath.Join(t.TempDir(), "key"), filepath.Join(t.TempDir(), "crt")}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{s.key: {Type: "PRIVATE KEY", Bytes: der},
		s.cert: {Type: "CERTIFICATE", Bytes: cert.Raw}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// sign has osslsigncode sign a program, and also returns its report on the result.
func (s signer) sign(t *testing.T, program []byte) (signed []byte, says string) {
	t.Helper()
	in, out := filepath.Join(t.TempDir(), "in"), filepath.Join(t.TempDir(), "out")
	if err := os.WriteFile(in, program, 0o644); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command("osslsigncode", "sign", "-h", "sha256", "-certs", s.cert, "-key",
		s.key, "-time", strconv.Itoa(buildsys.Epoch), "-in", in, "-out",
		out).CombinedOutput(); err != nil {
		t.Fatalf("osslsigncode: %v\n%s", err, text)
	}
	signed, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	// it knows no authority, so it fails
	text, _ := exec.Command("osslsigncode", "verify", "-in", out).CombinedOutput()
	return signed, string(text)
}

func parse(t *testing.T, raw []byte) *Program {
	t.Helper()
	p, err := ParseProgram(raw)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestForeignSignature(t *testing.T) {
	need.Program(t, "osslsigncode")
	if err := parse(t, unsigned()).VerifiedBy(&x509.Certificate{}); !errors.Is(err, ErrUnsigned) {
		t.Errorf("not signed: %v", err)
	}
	s, other := newSigner(t), newSigner(t)
	signed, says := s.sign(t, unsigned())
	p := parse(t, signed)
	pattern := regexp.MustCompile(`(?i)calculated message digest\s*: ([0-9A-F]+)`)
	digest := pattern.FindStringSubmatch(says)
	if got := fmt.Sprintf("%X", p.Digest()); digest == nil || got != digest[1] {
		t.Errorf("digest %s, osslsigncode says %q:\n%s", got, digest, says)
	}
	if err := p.VerifiedBy(s.ca); err != nil {
		t.Error(err)
	}
	if err := p.VerifiedBy(other.ca); err == nil || !strings.Contains(err.Error(),
		`signed by "the signer", which "authority" has not issued`) {
		t.Errorf("another authority: %v", err)
	}
	all, err := p.Signatures()
	if err != nil || len(all) != 1 || all[0].Signer.Subject.CommonName != "the signer" {
		t.Fatalf("%+v, %v", all, err)
	}
	// Every byte of the file counts, except for those that no check covers.
	free := 0
	for i := range signed {
		if i >= len(unsigned()) && i%7 != 0 { // every seventh byte of the signature suffices
			continue
		}
		bad := slices.Clone(signed)
		bad[i] ^= 1
		if q, err := ParseProgram(bad); err == nil && q.VerifiedBy(s.ca) == nil {
			free++
			if i < p.table.start && !(i >= p.checksum && i < p.checksum+4) {
				t.Errorf("a change of byte %#x went unnoticed", i)
			}
		}
	}
	if free > 60 { // the checksum, revision and padding, and unsigned attributes
		t.Errorf("%d bytes can be changed", free)
	}
}

func TestBadPrograms(t *testing.T) {
	change := func(do func(b []byte)) []byte {
		b := unsigned()
		do(b)
		return b
	}
	le := binary.LittleEndian
	for name, raw := range map[string][]byte{
		"empty":         nil,
		"text":          bytes.Repeat([]byte("x"), 200),
		"no header":     change(func(b []byte) { le.PutUint32(b[60:], 1<<31) }),
		"long section":  change(func(b []byte) { le.PutUint32(b[88+240+16:], 1<<31) }),
		"many sections": change(func(b []byte) { le.PutUint16(b[70:], 9999) }),
		"table inside": change(func(b []byte) {
			le.PutUint32(b[88+112+32:],
				8)
			le.PutUint32(b[88+112+36:], 8)
		}),
		"no directories": change(func(b []byte) { le.PutUint32(b[88+108:], 4) }),
	} {
		if _, err := ParseProgram(raw); err == nil {
			t.Errorf("%s: accepted as a program", name)
		}
	}
}

// TestSectionsThatOverlap: many sections with the same bytes would be hashed as often.
func TestSectionsThatOverlap(t *testing.T) {
	b := unsigned()
	binary.LittleEndian.PutUint32(b[88+240+40+20:], 0x500) // in the middle of the first
	if _, err := ParseProgram(b); err == nil || !strings.Contains(err.Error(), "sections overlap") {
		t.Errorf("error %v", err)
	}
}

// TestSections: what pads a section in the file is no part of it.
func TestSections(t *testing.T) {
	b := unsigned()
	binary.LittleEndian.PutUint32(b[88+240+8:], 9)
	copy(b[88+240+40:], ".too.long")
	p := parse(t, b)
	got := p.Sections()
	if len(got) != 2 || got[0].Name != ".s0" || string(got[0].Data) != "the first" ||
		got[1].Name != ".too.lon" || len(got[1].Data) != 0x200 || p.Machine() != MachineX64 {
		t.Errorf("machine %#x, %q", p.Machine(), got)
	}
}

// TestTooManySignatures: what it takes to check signatures must not grow with what a program
// claims.
func TestTooManySignatures(t *testing.T) {
	need.Program(t, "osslsigncode")
	signed, _ := newSigner(t).sign(t, unsigned())
	p := parse(t, signed)
	one := signed[p.table.start:p.table.end]
	with := func(table []byte) *Program {
		b := slices.Concat(signed[:p.table.start], table)
		binary.LittleEndian.PutUint32(b[p.security+4:], uint32(len(table)))
		return parse(t, b)
	}
	if all, err := with(bytes.Repeat(one, maxSignatures)).Signatures(); err != nil ||
		len(all) != maxSignatures {
		t.Errorf("%d signatures: %d, %v", maxSignatures, len(all), err)
	}
	long := slices.Concat(one, make([]byte, maxSignatureSize))
	binary.LittleEndian.PutUint32(long, uint32(len(long)))
	for name, table := range map[string][]byte{
		"many": bytes.Repeat(one, maxSignatures+1), "long": long,
	} {
		if all, err := with(table).Signatures(); err == nil ||
			!strings.Contains(err.Error(), "the limit is") {
			t.Errorf("%s: %d signatures, %v", name, len(all), err)
		}
	}
}

// TestKeyOfMegabits: with such a key in its certificate, one signature takes seconds to check.
func TestKeyOfMegabits(t *testing.T) {
	p := parse(t, unsigned())
	digest, sum := p.Digest(), sha256.Sum256(nil)
	n := new(big.Int).SetBit(big.NewInt(1), 1<<20, 1)
	s := Signature{digest: digest[:], message: sum[:], value: make([]byte, 1<<17+1),
		Signer: &x509.Certificate{PublicKeyAlgorithm: x509.RSA,
			PublicKey: &rsa.PublicKey{N: n, E: 65537}}}
	if err := p.Verify(s); err == nil || !strings.Contains(err.Error(), "bits, more than") {
		t.Errorf("error %v", err)
	}
}

func FuzzProgram(f *testing.F) {
	f.Add(unsigned())
	f.Fuzz(func(t *testing.T, raw []byte) {
		bound.Work(t, 64<<20, func() {
			p, err := ParseProgram(raw)
			if err != nil {
				return
			}
			total := 0
			for _, s := range p.Sections() {
				total += len(s.Data)
			}
			if total > len(raw) {
				t.Errorf("the sections have %d bytes, the program %d", total, len(raw))
			}
			if all, err := p.Signatures(); err == nil {
				for _, s := range all {
					p.Verify(s) // must end
				}
			}
		})
	})
}
