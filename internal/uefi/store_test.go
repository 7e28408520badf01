// Variable stores that Debian's firmware wrote are read, and written ones read back the same.

package uefi

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"buildsys/internal/buildtest/need"
)

// foreign reads a flash image of the distribution, or ends the test.
func foreign(t testing.TB, path string) []byte {
	t.Helper()
	flash, err := os.ReadFile(path)
	if err != nil {
		need.Missing(t, "%v", err)
	}
	return flash
}

// inTransition is the state of a variable that is valid until its replacement is complete: each
// change of state clears a bit.
const inTransition = 0x3e

// readVariables returns the valid variables of a flash image, in order. The error says that it is
// not one, or where it is damaged.
func readVariables(flash []byte) ([]Variable, error) {
	start, end, err := storeRange(flash)
	if err != nil {
		return nil, err
	}
	var vars []Variable
	for at := start; at+variableHeader <= end; {
		h := flash[at:]
		if binary.LittleEndian.Uint16(h) != variableStart {
			break // erased from here on
		}
		nameSize := int64(binary.LittleEndian.Uint32(h[36:]))
		dataSize := int64(binary.LittleEndian.Uint32(h[40:]))
		next := int64(at) + variableHeader + nameSize + dataSize
		if next > int64(end) || nameSize%2 != 0 {
			return vars, fmt.Errorf("variable at byte %d: %d bytes of name and %d of data do not fit: the "+
				"store is damaged", at, nameSize, dataSize)
		}
		if state := h[2]; state == variableAdded || state == variableAdded&inTransition {
			name := h[variableHeader : variableHeader+nameSize]
			vars = append(vars, Variable{
				Name:       decodeName(name),
				Vendor:     formatGUID(h[44:60]),
				Attributes: binary.LittleEndian.Uint32(h[4:]),
				Time:       [16]byte(h[16:32]),
				Data:       slices.Clone(h[variableHeader+nameSize : variableHeader+nameSize+dataSize]),
			})
		}
		at = int(next+3) &^ 3
	}
	return vars, nil
}

func decodeName(b []byte) string {
	units := make([]uint16, 0, len(b)/2)
	for ; len(b) >= 2; b = b[2:] {
		units = append(units, binary.LittleEndian.Uint16(b))
	}
	return strings.TrimRight(string(utf16.Decode(units)), "\x00")
}

// In a store with keys that firmware itself enrolled, every variable is found in its newest state.
func TestReadForeignStore(t *testing.T) {
	for _, path := range []string{"/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd",
		"/usr/share/AAVMF/AAVMF_VARS.snakeoil.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"} {
		t.Run(path, func(t *testing.T) {
			vars, err := readVariables(foreign(t, path))
			if err != nil {
				t.Fatal(err)
			}
			found := map[string]Variable{}
			for _, v := range vars {
				// it was being replaced when power failed
				if _, twice := found[v.Vendor+v.Name]; twice && v.Name != "BootOrder" {
					t.Errorf("%s occurs twice", v.Name)
				}
				found[v.Vendor+v.Name] = v
			}
			certificate, _ := parseGUID(certificateGUID)
			for _, key := range []string{databaseGUID + "db", globalGUID + "KEK", globalGUID + "PK"} {
				v := found[key]
				if v.Attributes != attributesSigned || !bytes.HasPrefix(v.Data, certificate[:]) ||
					v.Time == [16]byte{} {
					t.Errorf("%s: attributes %#x, %d bytes, time %x", key, v.Attributes, len(v.Data), v.Time)
				}
			}
			if v := found[enableGUID+"SecureBootEnable"]; v.Attributes != attributesStored ||
				!bytes.Equal(v.Data, []byte{1}) {
				t.Errorf("SecureBootEnable: %+v", v)
			}
		})
	}
}

// The list that firmware made for a certificate is ours, except for the owner.
func TestForeignSignatureList(t *testing.T) {
	vars, err := readVariables(foreign(t, "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd"))
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(vars, func(v Variable) bool { return v.Name == "PK" })
	list := slices.Clone(vars[i].Data)
	ours := SignatureList(list[44:])
	copy(list[28:44], ours[28:44])
	if !bytes.Equal(list, ours) {
		t.Errorf("firmware has %x..., we make %x...", list[:44], ours[:44])
	}
}

func TestEnroll(t *testing.T) {
	for _, path := range []string{"/usr/share/OVMF/OVMF_VARS_4M.fd",
		"/usr/share/OVMF/OVMF_VARS_4M.ms.fd", "/usr/share/AAVMF/AAVMF_VARS.snakeoil.fd"} {
		flash := foreign(t, path)
		out, err := Enroll(flash, Certificates{PK: []byte("p"), KEK: []byte("ke"),
			DB: bytes.Repeat([]byte("d"), 999)})
		if err != nil {
			t.Fatal(err)
		}
		vars, err := readVariables(out)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, v := range vars {
			names = append(names, v.Name)
		}
		if got := strings.Join(names, " "); got != "db KEK PK SecureBootEnable" {
			t.Errorf("%s: holds %s", path, got)
		}
		start, end, err := storeRange(flash)
		if err != nil || len(out) != len(flash) || !bytes.Equal(out[:start], flash[:start]) ||
			!bytes.Equal(out[end:], flash[end:]) {
			t.Errorf("%s: more than the variables was changed (%v)", path, err)
		}
	}
}

func TestWriteTooMuch(t *testing.T) {
	_, err := Enroll(foreign(t, "/usr/share/OVMF/OVMF_VARS_4M.fd"),
		Certificates{DB: make([]byte, 300_000)})
	if err == nil || !strings.Contains(err.Error(), "the store has 262044") {
		t.Errorf("%v", err)
	}
}

func TestNoStore(t *testing.T) {
	for name, flash := range map[string][]byte{"empty": nil, "zeros": make([]byte, 4096),
		"store beyond the end": emptyStore(1 << 20)[:4096]} {
		if _, err := readVariables(flash); err == nil {
			t.Errorf("%s: accepted as a store", name)
		}
	}
}

// emptyStore returns a flash image with an empty store of size bytes, as EDK2 initialises one.
func emptyStore(size int) []byte {
	volume, _ := parseGUID(volumeGUID)
	store, _ := parseGUID(storeGUID)
	flash := bytes.Repeat([]byte{0xff}, 0x48+size)
	copy(flash[16:], volume[:])
	copy(flash[40:], "_FVH")
	binary.LittleEndian.PutUint16(flash[48:], 0x48)
	copy(flash[0x48:], store[:])
	binary.LittleEndian.PutUint32(flash[0x48+16:], uint32(size))
	return flash
}

func FuzzVariables(f *testing.F) {
	written, err := WriteVariables(emptyStore(1024), []Variable{
		{Name: "PK", Vendor: globalGUID, Attributes: attributesSigned, Data: []byte("some data")},
		{Name: "ü", Vendor: enableGUID, Data: nil},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(written)
	f.Add(emptyStore(100))
	f.Fuzz(func(t *testing.T, flash []byte) {
		vars, err := readVariables(flash)
		if err != nil {
			return
		}
		// Everything that was read can be written, and reads the same.
		out, err := WriteVariables(flash, vars)
		if err != nil {
			t.Fatalf("cannot be written again: %v", err)
		}
		again, err := readVariables(out)
		if err != nil || len(again) != len(vars) {
			t.Fatalf("%d variables, again %d, %v", len(vars), len(again), err)
		}
	})
}
