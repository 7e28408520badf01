// Tests of what VMDK files say of other files.

package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// describedVMDK returns the beginning of a VMDK file whose header has its description at a sector,
// with a text at another.
func describedVMDK(header, at int, text string) []byte {
	b := make([]byte, 64*sector)
	le := binary.LittleEndian
	copy(b, vmdkMagic)
	le.PutUint32(b[8:], vmdkStreamBits)
	le.PutUint64(b[12:], 2048)
	le.PutUint64(b[20:], 128)
	le.PutUint64(b[28:], uint64(header))
	le.PutUint64(b[36:], 1)
	copy(b[at*sector:], text)
	return b
}

// TestVMDKParentIsFound has parents where QEMU finds them: it reads what is behind the header,
// wherever the header says that the description is, and not line by line.
func TestVMDKParentIsFound(t *testing.T) {
	const hint = `parentFileNameHint="/etc/shadow"`
	for name, test := range map[string]struct {
		header, at int
		text       string
		good       bool
	}{
		"none":                  {1, 1, "parentCID=ffffffff\n", true},
		"where the header says": {30, 30, hint + "\n", false},
		"no description":        {0, 1, hint + "\n", false},
		"another description":   {30, 1, hint + "\n", false},
		"deep":                  {1, 20, hint + "\n", false},
		"in a line":             {1, 1, `ddb.x = "1" ` + hint + "\n", false},
		"identifier":            {1, 1, "parentCID=12345678\n", false},
	} {
		data := describedVMDK(test.header, test.at, test.text)
		_, err := Identify(bytes.NewReader(data), "disk", int64(len(data)))
		if _, refused := errors.AsType[*UnsupportedError](err); refused == test.good ||
			test.good && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
