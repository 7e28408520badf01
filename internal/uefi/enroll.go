// Certificates in firmware's format, and a variable store with Secure Boot on.

package uefi

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Certificates are the certificates of Secure Boot, each as DER: that of the machine's owner, of
// who may change the lists of what boots, and of who signs what boots.
type Certificates struct {
	PK, KEK, DB []byte
}

const (
	globalGUID      = "8be4df61-93ca-11d2-aa0d-00e098032b8c" // EFI_GLOBAL_VARIABLE
	databaseGUID    = "d719b2cb-3d3a-4596-a3bc-dad00e67656f" // EFI_IMAGE_SECURITY_DATABASE_GUID
	enableGUID      = "f0a30bc7-af08-4556-99c4-001009c93a44" // EDK2's switch
	certificateGUID = "a5c059a1-94e4-4aa7-87b5-ab155c2bf072" // EFI_CERT_X509_GUID
	// signatureOwner says whose entry it is; nothing checks it.
	signatureOwner   = "5d2e9b1c-0c1a-5f0e-9a53-3a0f6ad2c7b4"
	attributesStored = 0x03 // non-volatile, for boot services
	// attributesSigned is attributesStored, for the OS too, and written with a time and a
	// signature.
	attributesSigned = 0x27
)

// enrolled returns the time of the entries, 2025-01-01: an update has to be later.
func enrolled() (t [16]byte) {
	binary.LittleEndian.PutUint16(t[:], 2025)
	t[2], t[3] = 1, 1
	return t
}

// SignatureList returns an EFI_SIGNATURE_LIST with one certificate (UEFI specification 2.10,
// §32.4.1), the format in which firmware stores PK, KEK and db.
func SignatureList(der []byte) []byte {
	kind, _ := parseGUID(certificateGUID)
	owner, _ := parseGUID(signatureOwner)
	le := binary.LittleEndian
	list := slices.Clone(kind[:])
	list = le.AppendUint32(list, uint32(28+16+len(der))) // of the list
	list = le.AppendUint32(list, 0)                      // of a header, which this kind lacks
	list = le.AppendUint32(list, uint32(16+len(der)))    // of each entry
	return slices.Concat(list, owner[:], der)
}

// Enroll returns a copy of a flash image for variables in which these certificates are the only
// ones and Secure Boot is on. All other variables are gone; firmware creates those it needs.
func Enroll(flash []byte, c Certificates) ([]byte, error) {
	signed := func(name, vendor string, der []byte) Variable {
		return Variable{Name: name, Vendor: vendor, Attributes: attributesSigned, Time: enrolled(),
			Data: SignatureList(der)}
	}
	out, err := WriteVariables(flash, []Variable{
		signed("db", databaseGUID, c.DB),
		signed("KEK", globalGUID, c.KEK),
		signed("PK", globalGUID, c.PK),
		{Name: "SecureBootEnable", Vendor: enableGUID, Attributes: attributesStored, Data: []byte{1}},
	})
	if err != nil {
		return nil, fmt.Errorf("enrol Secure Boot keys: %w", err)
	}
	return out, nil
}
