// The one OpenPGP file of a profile: the public key by which GRUB checks its configuration (RFC 4880). GRUB knows version
// 4 packets only, and a library for all of OpenPGP would be larger than the rest of buildsys's own code for keys.

package sbkeys

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"math/big"
	"slices"
)

// keyTime is when keys were made, as far as they say: 2025-01-01, the date of everything in an image. A signature is
// dated so too, and must not be older than its key.
const keyTime = 1735689600

// Packet tags and numbers of RFC 4880.
const (
	tagSignature = 2
	tagPublicKey = 6
	tagUserID    = 13

	pgpRSA             = 1
	pgpSHA256          = 8
	certification      = 0x13 // of a user ID, by its own key
	subCreation        = 2
	subKeyFlags        = 27
	subIssuer          = 16
	flagCertifyAndSign = 3
)

// publicKey is a key as GnuPG imports it: the key, its name, and its signature on both. GRUB only reads the first.
func publicKey(key *rsa.PrivateKey, name string) ([]byte, error) {
	body := binary.BigEndian.AppendUint32([]byte{4}, keyTime)
	body = append(body, pgpRSA)
	body = slices.Concat(body, mpi(key.N.Bytes()), mpi(big.NewInt(int64(key.E)).Bytes()))

	prefixed := slices.Concat([]byte{0x99}, binary.BigEndian.AppendUint16(nil, uint16(len(body))), body)
	fingerprint := sha1.Sum(prefixed) //nolint:gosec // prescribed by the RFC
	named := slices.Concat(prefixed, []byte{0xb4}, binary.BigEndian.AppendUint32(nil, uint32(len(name))), []byte(name))
	signature, err := selfSignature(key, named, fingerprint[12:])
	if err != nil {
		return nil, err
	}
	return slices.Concat(packet(tagPublicKey, body), packet(tagUserID, []byte(name)), packet(tagSignature, signature)), nil
}

func selfSignature(key *rsa.PrivateKey, what, keyID []byte) ([]byte, error) {
	hashed := slices.Concat(
		[]byte{5, subCreation}, binary.BigEndian.AppendUint32(nil, keyTime),
		[]byte{2, subKeyFlags, flagCertifyAndSign})
	head := slices.Concat([]byte{4, certification, pgpRSA, pgpSHA256}, binary.BigEndian.AppendUint16(nil, uint16(len(hashed))), hashed)
	trailer := binary.BigEndian.AppendUint32([]byte{4, 0xff}, uint32(len(head)))
	sum := sha256.Sum256(slices.Concat(what, head, trailer))
	value, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		return nil, err
	}
	unhashed := slices.Concat([]byte{9, subIssuer}, keyID)
	return slices.Concat(head, binary.BigEndian.AppendUint16(nil, uint16(len(unhashed))), unhashed, sum[:2], mpi(value)), nil
}

// packet is a packet with the old form of header, which every program reads, and two bytes of length.
func packet(tag byte, body []byte) []byte {
	return slices.Concat([]byte{0x80 | tag<<2 | 1}, binary.BigEndian.AppendUint16(nil, uint16(len(body))), body)
}

// mpi is a number as OpenPGP writes it: its length in bits, then its bytes without leading zeros.
func mpi(b []byte) []byte {
	n := new(big.Int).SetBytes(b)
	return append(binary.BigEndian.AppendUint16(nil, uint16(n.BitLen())), n.Bytes()...)
}
