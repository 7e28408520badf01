// Damages images on purpose, to show that the damage is found.

package image

import (
	"errors"
	"fmt"
	"os"
)

// FlipByte inverts the byte at an offset within a labelled partition of a raw image file.
func FlipByte(file, label string, offset int64) (err error) {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("flip byte: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("flip byte in %s: %w", file, err)
	}
	table, err := ReadGPT(f, info.Size())
	if err != nil {
		return fmt.Errorf("flip byte in %s: %w", file, err)
	}
	p, ok := table.Find(label)
	if !ok {
		return fmt.Errorf("flip byte in %s: no partition has the label %q", file, label)
	}
	if offset < 0 || offset >= p.Size {
		return fmt.Errorf("flip byte in %s: offset %d is outside of partition %s of %d bytes", file, offset, label, p.Size)
	}
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, p.Start+offset); err != nil {
		return fmt.Errorf("flip byte in %s: %w", file, err)
	}
	b[0] ^= 0xff
	if _, err := f.WriteAt(b, p.Start+offset); err != nil {
		return fmt.Errorf("flip byte in %s: %w", file, err)
	}
	return nil
}
