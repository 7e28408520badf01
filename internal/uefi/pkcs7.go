// The part of PKCS #7 (RFC 2315) that Authenticode uses.

package uefi

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
)

type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue `asn1:"explicit,tag:0"`
}

type signedData struct {
	Version      int
	Algorithms   asn1.RawValue
	Content      contentInfo
	Certificates asn1.RawValue `asn1:"optional,tag:0"`
	Lists        asn1.RawValue `asn1:"optional,tag:1"`
	Signers      []signerInfo  `asn1:"set"`
}

type signerInfo struct {
	Version int
	Issuer  struct {
		Name   asn1.RawValue
		Serial *big.Int
	}
	DigestAlgorithm pkix.AlgorithmIdentifier
	Attributes      asn1.RawValue `asn1:"optional,tag:0"`
	Algorithm       pkix.AlgorithmIdentifier
	Value           []byte
	Unsigned        asn1.RawValue `asn1:"optional,tag:1"`
}

// spcIndirectData contains the digest of a program.
type spcIndirectData struct {
	Data   asn1.RawValue
	Digest struct {
		Algorithm pkix.AlgorithmIdentifier
		Value     []byte
	}
}

const (
	signedDataOID    = "1.2.840.113549.1.7.2"
	indirectDataOID  = "1.3.6.1.4.1.311.2.1.4"
	messageDigestOID = "1.2.840.113549.1.9.4"
)

// parseSignedData parses a signature. It ignores trailing bytes, which pad the signature in its
// table.
func parseSignedData(der []byte) (s Signature, err error) {
	var outer contentInfo
	if _, err := asn1.Unmarshal(der, &outer); err != nil {
		return s, fmt.Errorf("not PKCS #7: %w", err)
	}
	if outer.Type.String() != signedDataOID {
		return s, fmt.Errorf("PKCS #7 of type %v, not signed data", outer.Type)
	}
	var data signedData
	if _, err := asn1.Unmarshal(outer.Content.Bytes, &data); err != nil {
		return s, fmt.Errorf("signed data: %w", err)
	}
	if data.Content.Type.String() != indirectDataOID || len(data.Signers) != 1 {
		return s, fmt.Errorf("content of type %v with %d signers is not a signature of a program",
			data.Content.Type, len(data.Signers))
	}
	// The attributes have the digest of the content without its own tag and length.
	var content asn1.RawValue
	if _, err := asn1.Unmarshal(data.Content.Content.Bytes, &content); err != nil {
		return s, fmt.Errorf("content: %w", err)
	}
	var indirect spcIndirectData
	if _, err := asn1.Unmarshal(content.FullBytes, &indirect); err != nil {
		return s, fmt.Errorf("content: %w", err)
	}
	signer := data.Signers[0]
	for _, algorithm := range []pkix.AlgorithmIdentifier{indirect.Digest.Algorithm,
		signer.DigestAlgorithm} {
		if algorithm.Algorithm.String() != sha256OID {
			return s, fmt.Errorf("it uses the hash %v, not SHA-256", algorithm.Algorithm)
		}
	}
	s.content, s.digest, s.value = content.Bytes, indirect.Digest.Value, signer.Value
	if s.message, err = messageDigest(signer.Attributes.Bytes); err != nil {
		return s, err
	}
	// Attributes are signed under another tag than the one they are stored under.
	s.attributes = append([]byte{0x31}, signer.Attributes.FullBytes[1:]...)
	s.Signer, err = findSigner(data.Certificates.Bytes, signer)
	return s, err
}

// messageDigest returns the digest of the content from the signed attributes.
func messageDigest(attributes []byte) ([]byte, error) {
	for len(attributes) > 0 {
		var one struct {
			Type   asn1.ObjectIdentifier
			Values asn1.RawValue
		}
		var err error
		if attributes, err = asn1.Unmarshal(attributes, &one); err != nil {
			return nil, fmt.Errorf("signed attributes: %w", err)
		}
		if one.Type.String() == messageDigestOID {
			var digest []byte
			if _, err := asn1.Unmarshal(one.Values.Bytes, &digest); err != nil {
				return nil, fmt.Errorf("signed attributes: %w", err)
			}
			return digest, nil
		}
	}
	return nil, errors.New("the signed attributes have no digest")
}

// findSigner returns the certificate that a signature names.
func findSigner(certificates []byte, signer signerInfo) (*x509.Certificate, error) {
	all, err := x509.ParseCertificates(certificates)
	if err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	for _, c := range all {
		if signer.Issuer.Serial != nil && c.SerialNumber.Cmp(signer.Issuer.Serial) == 0 &&
			bytes.Equal(c.RawIssuer, signer.Issuer.Name.FullBytes) {
			return c, nil
		}
	}
	return nil, errors.New("the certificate of the signer is missing")
}
