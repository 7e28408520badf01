// The signatures of EFI programs: what part of a file they cover, who made them, and whether they
// are right (Microsoft, "Windows Authenticode Portable Executable Signature Format"; UEFI
// specification 2.10, §32.2).

package uefi

import (
	"bytes"
	"cmp"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Limits of signatures: checking one takes time with its size, the square of its key, and the
// number of them. Real ones have at most 10 KiB and keys of 4096 bits; few programs have two.
const (
	maxSignatures    = 8
	maxSignatureSize = 64 << 10 // bytes
	maxKeyBits       = 8192
)

// Program is an EFI program in memory.
type Program struct {
	raw      []byte
	machine  uint16
	named    []Section
	digest   [32]byte
	checksum int // offset of the field
	security int // offset of the data directory's entry for signatures
	headers  int // size of all headers
	sections []span
	table    span // of signatures; empty for an unsigned program
}

type span struct{ start, end int }

// errNotPE reports that a file does not have the format of an EFI program.
var errNotPE = errors.New("not an EFI program")

// ParseProgram reads the headers of an EFI program. It keeps raw.
func ParseProgram(raw []byte) (*Program, error) {
	le := binary.LittleEndian
	if len(raw) < 64 || raw[0] != 'M' || raw[1] != 'Z' {
		return nil, errNotPE
	}
	pe := int64(le.Uint32(raw[60:]))
	if pe+24 > int64(len(raw)) || string(raw[pe:pe+4]) != "PE\x00\x00" {
		return nil, errNotPE
	}
	coff := raw[pe+4:]
	optional, size := int(pe)+24, int(le.Uint16(coff[16:]))
	if optional+size > len(raw) || size < 2 {
		return nil, fmt.Errorf("%w: the optional header is cut off", errNotPE)
	}
	p := &Program{raw: raw, machine: le.Uint16(coff), checksum: optional + 64}
	directories := 96 // of PE32
	if le.Uint16(raw[optional:]) == 0x20b {
		directories = 112 // of PE32+
	}
	if size < directories+5*8 || le.Uint32(raw[optional+directories-4:]) < 5 {
		return nil, fmt.Errorf("%w: it has no place for a signature", errNotPE)
	}
	p.security, p.headers = optional+directories+4*8, int(le.Uint32(raw[optional+60:]))
	if p.headers < optional+size || p.headers > len(raw) {
		return nil, fmt.Errorf("%w: its headers claim %d bytes", errNotPE, p.headers)
	}
	if err := p.readSections(raw[optional+size:], int(le.Uint16(coff[2:]))); err != nil {
		return nil, err
	}
	start, length := int64(le.Uint32(raw[p.security:])), int64(le.Uint32(raw[p.security+4:]))
	if length > 0 && start+length != int64(len(raw)) {
		return nil, fmt.Errorf("its table of signatures is bytes %d to %d of %d: it must be the end of "+
			"the file", start, start+length, len(raw))
	}
	p.table = span{int(start), int(start + length)}
	if length == 0 {
		p.table = span{len(raw), len(raw)}
	}
	p.digest = p.hash()
	return p, nil
}

func (p *Program) readSections(headers []byte, count int) error {
	if len(headers) < count*40 {
		return fmt.Errorf("%w: its %d section headers are cut off", errNotPE, count)
	}
	for ; count > 0; count, headers = count-1, headers[40:] {
		used := int64(binary.LittleEndian.Uint32(headers[8:])) // in memory; the file has padding
		size := int64(binary.LittleEndian.Uint32(headers[16:]))
		start := int64(binary.LittleEndian.Uint32(headers[20:]))
		name, _, _ := strings.Cut(string(headers[:8]), "\x00")
		if size == 0 {
			p.named = append(p.named, Section{Name: name})
			continue
		}
		if start+size > int64(len(p.raw)) {
			return fmt.Errorf("%w: a section ends at byte %d of %d", errNotPE, start+size, len(p.raw))
		}
		p.sections = append(p.sections, span{int(start), int(start + size)})
		p.named = append(p.named, Section{name, p.raw[start : start+min(used, size)]})
	}
	slices.SortFunc(p.sections, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	for i, s := range p.sections[min(1, len(p.sections)):] {
		if before := p.sections[i]; s.start < before.end {
			return fmt.Errorf("%w: its sections overlap: one ends at byte %d, the next begins at %d",
				errNotPE, before.end, s.start)
		}
	}
	return nil
}

// Section is a part of a program.
type Section struct {
	Name string // at most 8 bytes, of any kind
	Data []byte
}

// Sections returns the parts of a program in the order of their headers.
func (p *Program) Sections() []Section { return p.named }

// Machines that programs are made for (PE format, "Machine Types").
const (
	MachineX64   = 0x8664
	MachineARM64 = 0xaa64
)

// Machine returns the machine that the program is made for.
func (p *Program) Machine() uint16 { return p.machine }

// Digest returns the sha256 of the part that a signature covers: everything but the checksum and
// the signatures.
func (p *Program) Digest() [32]byte { return p.digest }

// hash makes the digest. It follows firmware (EDK2, DxeImageVerificationLib, HashPeImage): headers,
// then sections in their order, then the rest.
func (p *Program) hash() [32]byte {
	h := sha256.New()
	h.Write(p.raw[:p.checksum])
	h.Write(p.raw[p.checksum+4 : p.security])
	h.Write(p.raw[p.security+8 : p.headers])
	hashed := p.headers
	for _, s := range p.sections {
		h.Write(p.raw[s.start:s.end])
		hashed += s.end - s.start
	}
	if hashed < p.table.start {
		h.Write(p.raw[hashed:p.table.start])
	}
	return [32]byte(h.Sum(nil))
}

// Signature is one signature of a program.
type Signature struct {
	Signer *x509.Certificate // its key made the signature

	content    []byte // the data that contains the program's digest
	digest     []byte // that digest
	attributes []byte // signed attributes, in the form that is signed
	message    []byte // the attributes' digest of content
	value      []byte
}

// Signatures returns the signatures of a program; none for an unsigned one.
func (p *Program) Signatures() ([]Signature, error) {
	var all []Signature
	for table := p.raw[p.table.start:p.table.end]; len(table) >= 8; {
		le := binary.LittleEndian
		length, kind := int64(le.Uint32(table)), le.Uint16(table[6:])
		if length < 8 || length > int64(len(table)) {
			return nil, fmt.Errorf("signature %d claims %d of %d bytes", len(all)+1, length, len(table))
		}
		if length > maxSignatureSize || len(all) == maxSignatures {
			return nil, fmt.Errorf("signature %d has %d bytes: the limit is %d signatures of %d bytes",
				len(all)+1, length, maxSignatures, maxSignatureSize)
		}
		if kind != 2 { // WIN_CERT_TYPE_PKCS_SIGNED_DATA
			return nil, fmt.Errorf("signature %d is of kind %#x, not PKCS #7", len(all)+1, kind)
		}
		s, err := parseSignedData(table[8:length])
		if err != nil {
			return nil, fmt.Errorf("signature %d: %w", len(all)+1, err)
		}
		all = append(all, s)
		table = table[min(int64(len(table)), (length+7)&^7):]
	}
	return all, nil
}

// Verify checks that a signature matches this program and was made by its Signer with RSA and
// SHA-256.
func (p *Program) Verify(s Signature) error {
	if digest := p.Digest(); !bytes.Equal(digest[:], s.digest) {
		return fmt.Errorf("the program was changed after it was signed: its digest is %x, the "+
			"signature is of %x", digest, s.digest)
	}
	if sum := sha256.Sum256(s.content); !bytes.Equal(sum[:], s.message) {
		return errors.New("the signature does not match the digest that it contains")
	}
	if key, ok := s.Signer.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() > maxKeyBits {
		return fmt.Errorf("the key of %q has %d bits, more than %d", s.Signer.Subject.CommonName,
			key.N.BitLen(), maxKeyBits)
	}
	if err := s.Signer.CheckSignature(x509.SHA256WithRSA, s.attributes, s.value); err != nil {
		return fmt.Errorf("the signature was not made with the key of %q: %w",
			s.Signer.Subject.CommonName, err)
	}
	return nil
}

// VerifiedBy checks that a program has a valid signature by a certificate, or by one that it
// issued. Like firmware, it ignores validity dates.
func (p *Program) VerifiedBy(ca *x509.Certificate) error {
	all, err := p.Signatures()
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return ErrUnsigned
	}
	for _, s := range all {
		if !s.Signer.Equal(ca) && s.Signer.CheckSignatureFrom(ca) != nil {
			err = fmt.Errorf("it is signed by %q, which %q has not issued", s.Signer.Subject.CommonName,
				ca.Subject.CommonName)
			continue
		}
		if err = p.Verify(s); err == nil {
			return nil
		}
	}
	return err
}

// ErrUnsigned reports that a program has no signature.
var ErrUnsigned = errors.New("it is not signed")

// sha256OID is the PKCS #7 name of the only hash that is used here.
const sha256OID = "2.16.840.1.101.3.4.2.1"
