// verity.go understands the table line and the status of a dm-verity target.

package dm

import (
	"fmt"
	"strconv"
	"strings"
)

// Verity is what a dm-verity table line says about the tree that protects a device.
type Verity struct {
	Algorithm string // "sha256"
	RootHash  string // hexadecimal
	Salt      string // hexadecimal, "-" for none
	DataBytes int64  // length of the protected data
}

// ParseVerity reads the arguments of a verity target: version data-device hash-device
// data-block-size hash-block-size data-blocks hash-start algorithm root salt [options]. See the
// kernel's Documentation/admin-guide/device-mapper/verity.rst.
func ParseVerity(params string) (Verity, error) {
	fields := strings.Fields(params)
	if len(fields) < 10 {
		return Verity{}, fmt.Errorf("verity table has %d fields, expected at least 10: %q", len(fields),
			params)
	}
	blockSize, err := strconv.ParseInt(fields[3], 10, 32)
	if err != nil || blockSize <= 0 {
		return Verity{}, fmt.Errorf("verity table has the block size %q: %q", fields[3], params)
	}
	blocks, err := strconv.ParseInt(fields[5], 10, 64)
	if err != nil || blocks <= 0 || blocks > (1<<62)/blockSize {
		return Verity{}, fmt.Errorf("verity table has %q data blocks: %q", fields[5], params)
	}
	return Verity{Algorithm: fields[7], RootHash: fields[8], Salt: fields[9],
		DataBytes: blocks * blockSize}, nil
}

// Intact tells from a verity target's status whether every block read so far had the hash that it
// should have.
func Intact(status string) error {
	switch state, _, _ := strings.Cut(status, " "); state {
	case "V":
		return nil
	case "C":
		return fmt.Errorf("dm-verity has found a block that does not match its hash")
	default:
		return fmt.Errorf("dm-verity reports the unknown state %q", status)
	}
}
