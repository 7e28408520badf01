// Package pgp is the part of OpenPGP (RFC 4880) with which GRUB checks what it reads: RSA keys and
// detached signatures in version 4 packets, the only ones GRUB supports. An OpenPGP library would
// be larger than all of buildsys's own code for keys.
package pgp

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

// Packet tags and numbers of RFC 4880.
const (
	tagSignature = 2
	tagPublicKey = 6
	tagUserID    = 13

	algorithmRSA       = 1
	hashSHA256         = 8
	hashSHA512         = 10
	ofFile             = 0x00
	ofUserID           = 0x13 // made by the key that the ID belongs to
	subCreation        = 2
	subIssuer          = 16
	subKeyFlags        = 27
	flagCertifyAndSign = 3
)

// PublicKey returns the public half of a key as GnuPG imports it: the key, its owner's name, and
// its signature of both. GRUB reads only the key. made is the creation time of the key, in seconds
// since 1970; its signatures must not be older.
func PublicKey(key *rsa.PrivateKey, owner string, made uint32) ([]byte, error) {
	body := binary.BigEndian.AppendUint32([]byte{4}, made)
	body = slices.Concat(body, []byte{algorithmRSA}, mpi(key.N.Bytes()),
		mpi(big.NewInt(int64(key.E)).Bytes()))
	print := fingerprint(body)
	named := slices.Concat(prefixed(body), []byte{0xb4}, binary.BigEndian.AppendUint32(nil,
		uint32(len(owner))), []byte(owner))
	hashed := slices.Concat(
		[]byte{5, subCreation}, binary.BigEndian.AppendUint32(nil, made),
		[]byte{2, subKeyFlags, flagCertifyAndSign})
	head := slices.Concat([]byte{4, ofUserID, algorithmRSA, hashSHA256},
		binary.BigEndian.AppendUint16(nil, uint16(len(hashed))), hashed)
	sum := sha256.Sum256(slices.Concat(named, head, trailer(head)))
	value, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		return nil, err
	}
	unhashed := slices.Concat([]byte{9, subIssuer}, print[12:])
	signature := slices.Concat(head, binary.BigEndian.AppendUint16(nil, uint16(len(unhashed))),
		unhashed, sum[:2], mpi(value))
	return slices.Concat(packet(tagPublicKey, body), packet(tagUserID, []byte(owner)),
		packet(tagSignature, signature)), nil
}

// trailer returns the end of the data that a signature signs.
func trailer(head []byte) []byte {
	return binary.BigEndian.AppendUint32([]byte{4, 0xff}, uint32(len(head)))
}

// prefixed returns a key's packet in the form that is hashed.
func prefixed(body []byte) []byte {
	return slices.Concat([]byte{0x99}, binary.BigEndian.AppendUint16(nil, uint16(len(body))), body)
}

// fingerprint returns the fingerprint of a key; its last 8 bytes are the key's ID.
func fingerprint(body []byte) [20]byte { return sha1.Sum(prefixed(body)) } // prescribed by the RFC

// packet returns a packet with the old header form, which every program reads, and a length of two
// bytes.
func packet(tag byte, body []byte) []byte {
	return slices.Concat([]byte{0x80 | tag<<2 | 1}, binary.BigEndian.AppendUint16(nil,
		uint16(len(body))), body)
}

// mpi returns a number in OpenPGP's format: its length in bits, then its bytes without leading
// zeros.
func mpi(b []byte) []byte {
	n := new(big.Int).SetBytes(b)
	return append(binary.BigEndian.AppendUint16(nil, uint16(n.BitLen())), n.Bytes()...)
}
