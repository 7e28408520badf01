// Reads secret keys as gpg exports them, for their public halves.

package pgp

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
)

// tagSecretKey is the packet of a secret key, which begins with the public one (RFC 4880, 5.5.3).
const tagSecretKey = 5

// PublicOf returns the public key that a secret RSA key contains, as Verify and GRUB read it. The
// secret key may be in ASCII armor.
func PublicOf(secret []byte) ([]byte, error) {
	data, err := dearmor(secret)
	if err != nil {
		return nil, err
	}
	body, err := secretPacket(data)
	if err != nil {
		return nil, err
	}
	if len(body) < 6 || body[0] != 4 || body[5] != algorithmRSA {
		return nil, errors.New("not a secret RSA key of version 4")
	}
	_, rest, err := readMPI(body[6:])
	if err == nil {
		_, rest, err = readMPI(rest)
	}
	switch {
	case err != nil:
		return nil, err
	case len(rest) == 0:
		return nil, errCutOff
	case rest[0] != 0:
		return nil, errors.New("the secret key is encrypted, or not in the file: export one without a " +
			"passphrase")
	}
	return packet(tagPublicKey, body[:len(body)-len(rest)]), nil
}

// dearmor returns what ASCII armor contains (RFC 4880, 6.2); data without armor is returned as it
// is.
func dearmor(data []byte) ([]byte, error) {
	const begin = "-----BEGIN PGP PRIVATE KEY BLOCK-----"
	text, ok := bytes.CutPrefix(data, []byte(begin))
	if !ok {
		return data, nil
	}
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	_, text, headed := bytes.Cut(text, []byte("\n\n"))
	text, _, ended := bytes.Cut(text, []byte("\n-----END"))
	if !headed || !ended {
		return nil, errors.New("the ASCII armor is cut off")
	}
	if at := bytes.Index(text, []byte("\n=")); at >= 0 { // a checksum
		text = text[:at]
	}
	raw, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil {
		return nil, fmt.Errorf("the ASCII armor is damaged: %w", err)
	}
	return raw, nil
}

// secretPacket returns the body of a secret key at the start of data, with a header of either form
// (RFC 4880, 4.2).
func secretPacket(data []byte) ([]byte, error) {
	if len(data) < 6 {
		return nil, errCutOff
	}
	var kind byte
	var start, size int
	switch first := int(data[1]); {
	case data[0]&0xc0 == 0xc0 && first < 192:
		kind, start, size = data[0]&63, 2, first
	case data[0]&0xc0 == 0xc0 && first < 224:
		kind, start, size = data[0]&63, 3, (first-192)<<8+int(data[2])+192
	case data[0]&0xc3 == 0x80|1: // of two bytes, as gpg writes
		kind, start, size = data[0]>>2&15, 3, int(binary.BigEndian.Uint16(data[1:]))
	default:
		return nil, errors.New("it does not begin with a secret key")
	}
	if kind != tagSecretKey {
		return nil, fmt.Errorf("it begins with a packet of kind %d, not with a secret key", kind)
	}
	if len(data) < start+size {
		return nil, errCutOff
	}
	return data[start : start+size], nil
}
