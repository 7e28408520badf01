// Verifies detached signatures as strictly as images need it: one signature, by the one key, RSA
// with SHA-512.

package pgp

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

var errCutOff = errors.New("it is cut off")

// Verify checks that a detached signature matches data and was made with the key in public, a file
// that PublicKey made.
func Verify(public, data, signature []byte) error {
	body, err := openPacket(public, tagPublicKey)
	if err != nil {
		return fmt.Errorf("public key: %w", err)
	}
	if len(body) < 6 || body[0] != 4 || body[5] != algorithmRSA {
		return errors.New("public key: not an RSA key of version 4")
	}
	n, rest, err := readMPI(body[6:])
	if err != nil {
		return fmt.Errorf("public key: %w", err)
	}
	e, _, err := readMPI(rest)
	if err != nil || !e.IsInt64() {
		return errors.New("public key: its exponent cannot be read")
	}
	print := fingerprint(body)
	if err := verify(&rsa.PublicKey{N: n, E: int(e.Int64())}, print[12:], data,
		signature); err != nil {
		return fmt.Errorf("signature: %w", err)
	}
	return nil
}

func verify(key *rsa.PublicKey, keyID, data, signature []byte) error {
	body, err := openPacket(signature, tagSignature)
	if err != nil {
		return err
	}
	if len(body) < 6 || !bytes.Equal(body[:4], []byte{4, ofFile, algorithmRSA, hashSHA512}) {
		return errors.New("signature is not a version 4 signature of a file by RSA with SHA-512")
	}
	head, unhashed, rest, err := splitSignature(body)
	if err != nil {
		return err
	}
	if len(unhashed) != 10 || unhashed[0] != 9 || unhashed[1] != subIssuer ||
		!bytes.Equal(unhashed[2:], keyID) {
		return fmt.Errorf("signature was not made with the key %X", keyID)
	}
	value, _, err := readMPI(rest)
	if err != nil {
		return err
	}
	sum := sha512.Sum512(slices.Concat(data, head, trailer(head)))
	if value.BitLen() > key.N.BitLen() || rsa.VerifyPKCS1v15(key, crypto.SHA512, sum[:],
		value.FillBytes(make([]byte, key.Size()))) != nil {
		return errors.New("signature does not match the file: one of the two was changed")
	}
	return nil
}

// splitSignature splits a signature into its hashed part, its other attributes, and its number.
func splitSignature(body []byte) (head, unhashed, rest []byte, err error) {
	end := 6 + int(binary.BigEndian.Uint16(body[4:]))
	if len(body) < end+2 {
		return nil, nil, nil, errCutOff
	}
	start := end + 2
	stop := start + int(binary.BigEndian.Uint16(body[end:]))
	if len(body) < stop+2 {
		return nil, nil, nil, errCutOff
	}
	return body[:end], body[start:stop], body[stop+2:], nil
}

// openPacket returns the body of the first packet.
func openPacket(b []byte, tag byte) ([]byte, error) {
	if len(b) < 3 || b[0] != 0x80|tag<<2|1 {
		return nil, fmt.Errorf("it does not begin with a packet of kind %d", tag)
	}
	end := 3 + int(binary.BigEndian.Uint16(b[1:]))
	if len(b) < end {
		return nil, errCutOff
	}
	return b[3:end], nil
}

func readMPI(b []byte) (n *big.Int, rest []byte, err error) {
	if len(b) < 2 {
		return nil, nil, errCutOff
	}
	end := 2 + (int(binary.BigEndian.Uint16(b))+7)/8
	if len(b) < end {
		return nil, nil, errCutOff
	}
	return new(big.Int).SetBytes(b[2:end]), b[end:], nil
}
