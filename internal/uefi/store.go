// Package uefi implements what UEFI firmware needs for Secure Boot: it writes variable stores and
// lists of certificates, and reads the signatures of EFI programs. It runs no program and handles
// no private key. Package vm boots with its stores, and package image checks signatures with it.
package uefi

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
)

// Variable is one variable of a store.
type Variable struct {
	Name       string
	Vendor     string // GUID in lower case
	Attributes uint32
	Time       [16]byte // EFI_TIME of the last authenticated write; zero if there was none
	Data       []byte
}

// GUIDs of the format (EDK2: MdeModulePkg/Include/Guid/SystemNvDataGuid.h, VariableFormat.h).
const (
	volumeGUID = "fff12b8d-7696-4c8b-a985-2747075b4f50"
	storeGUID  = "aaf32c78-947b-439a-a180-2e144ec37792" // variables with authentication headers
)

// Sizes and marks of EDK2's VariableFormat.h.
const (
	storeHeader    = 28
	variableHeader = 60
	variableStart  = 0x55aa
	variableAdded  = 0x3f // complete and valid
)

// errNoStore reports that a file is not a flash image with variables.
var errNoStore = errors.New("not a flash image with authenticated UEFI variables")

// WriteVariables returns a copy of a flash image whose variables are exactly vars.
func WriteVariables(flash []byte, vars []Variable) ([]byte, error) {
	start, end, err := storeRange(flash)
	if err != nil {
		return nil, err
	}
	var b []byte
	for _, v := range vars {
		name := encodeName(v.Name)
		vendor, err := parseGUID(v.Vendor)
		if err != nil {
			return nil, fmt.Errorf("variable %s: %w", v.Name, err)
		}
		h := make([]byte, variableHeader)
		binary.LittleEndian.PutUint16(h, variableStart)
		h[2] = variableAdded
		binary.LittleEndian.PutUint32(h[4:], v.Attributes)
		copy(h[16:], v.Time[:])
		binary.LittleEndian.PutUint32(h[36:], uint32(len(name)))
		binary.LittleEndian.PutUint32(h[40:], uint32(len(v.Data)))
		copy(h[44:], vendor[:])
		b = slices.Concat(b, h, name, v.Data)
		for len(b)%4 != 0 {
			b = append(b, 0xff)
		}
	}
	if len(b) > end-start {
		return nil, fmt.Errorf("the variables need %d bytes, the store has %d", len(b), end-start)
	}
	out := slices.Clone(flash)
	for i := range out[start:end] {
		out[start+i] = 0xff // erased
	}
	copy(out[start:], b)
	return out, nil
}

// storeRange returns where variables are: after the headers of the firmware volume and of the
// store. Variables begin at multiples of 4 from the start of the store, and the size of both
// headers is such a multiple.
func storeRange(flash []byte) (start, end int, err error) {
	if len(flash) < 0x48 || formatGUID(flash[16:32]) != volumeGUID || string(flash[40:44]) != "_FVH" {
		return 0, 0, errNoStore
	}
	header := int(binary.LittleEndian.Uint16(flash[48:]))
	if header%4 != 0 || header+storeHeader > len(flash) ||
		formatGUID(flash[header:header+16]) != storeGUID {
		return 0, 0, errNoStore
	}
	size := int64(binary.LittleEndian.Uint32(flash[header+16:]))
	if size < storeHeader || int64(header)+size > int64(len(flash)) {
		return 0, 0, fmt.Errorf("%w: its store claims %d bytes, the file has %d", errNoStore, size,
			len(flash))
	}
	return header + storeHeader, header + int(size), nil
}

func encodeName(name string) []byte {
	var b []byte
	for _, unit := range append(utf16.Encode([]rune(name)), 0) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return b
}

// parseGUID returns the bytes of a GUID; its first three groups are little endian.
func parseGUID(text string) (g [16]byte, err error) {
	raw, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(raw) != 16 {
		return g, fmt.Errorf("%q is not a GUID", text)
	}
	slices.Reverse(raw[0:4])
	slices.Reverse(raw[4:6])
	slices.Reverse(raw[6:8])
	return [16]byte(raw), nil
}

func formatGUID(g []byte) string {
	le := binary.LittleEndian
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(g), le.Uint16(g[4:]), le.Uint16(g[6:]),
		g[8:10], g[10:16])
}
