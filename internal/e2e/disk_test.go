// Raw disks by partition: reading and damaging their contents.

package e2e

import (
	"os"
	"testing"

	"buildsys/internal/image"
)

// openDisk opens a raw disk for reading and writing until the test ends, and returns its
// partitions.
func openDisk(t *testing.T, disk string) (*os.File, []image.Entry) {
	t.Helper()
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	table, err := image.ReadGPT(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	return f, table.Entries
}

// flipByte inverts the byte at an offset within a labelled partition of a raw disk.
func flipByte(t *testing.T, disk, label string, offset int64) {
	t.Helper()
	f, entries := openDisk(t, disk)
	for _, e := range entries {
		if e.Label != label {
			continue
		}
		b := make([]byte, 1)
		if _, err := f.ReadAt(b, e.Start+offset); err != nil {
			t.Fatal(err)
		}
		b[0] ^= 0xff
		if _, err := f.WriteAt(b, e.Start+offset); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("%s has no partition %s", disk, label)
}
