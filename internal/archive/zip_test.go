// zip_test: directories of zip files are bounded before they are read, and reading ends with the
// context.

package archive

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"buildsys/internal/buildtest/bound"
)

// counter counts the bytes that are read.
type counter struct {
	io.ReaderAt
	read int64
}

func (c *counter) ReadAt(b []byte, off int64) (int, error) {
	c.read += int64(len(b))
	return c.ReaderAt.ReadAt(b, off)
}

// TestZipThatListsTooManyFiles: the number of files at the end of a zip file says nothing, as it
// counts modulo 65536.
func TestZipThatListsTooManyFiles(t *testing.T) {
	const records = 2 * maxDirectory / 47
	record := make([]byte, 47)
	copy(record, "PK\x01\x02")
	record[28], record[46] = 1, 'x' // a name of one byte
	data := bytes.Repeat(record, records)
	end := make([]byte, 22)
	copy(end, "PK\x05\x06")
	binary.LittleEndian.PutUint16(end[10:], records%65536)
	binary.LittleEndian.PutUint32(end[12:], uint32(len(data)))
	data = append(data, end...)
	c := &counter{ReaderAt: bytes.NewReader(data)}
	_, err := OpenZip(t.Context(), c, int64(len(data)))
	if err == nil || !strings.Contains(err.Error(), "more than 32 MiB: it lists too many files") {
		t.Errorf("error %v", err)
	}
	if c.read > maxDirectory {
		t.Errorf("%d bytes were read", c.read)
	}
}

// TestZipThatIsTooLarge: archive/zip makes room for as many files as a directory claims, if they
// would fit into the file.
func TestZipThatIsTooLarge(t *testing.T) {
	const entries = (maxZip + 1) / 30 // as archive/zip reckons
	end := make([]byte, 56+20+22)     // the end in 64 bits, where it is, and the old one
	copy(end, "PK\x06\x06")
	le := binary.LittleEndian
	le.PutUint64(end[4:], 44)
	le.PutUint64(end[24:], entries)
	le.PutUint64(end[32:], entries)
	copy(end[56:], "PK\x06\x07")
	le.PutUint64(end[64:], maxZip+1-uint64(len(end)))
	le.PutUint32(end[72:], 1)
	copy(end[76:], "PK\x05\x06")
	for i := 8; i < 20; i++ {
		end[76+i] = 0xff
	}
	c := &counter{ReaderAt: tail(end)}
	bound.Work(t, 1<<20, func() {
		_, err := OpenZip(t.Context(), c, maxZip+1)
		if err == nil || !strings.Contains(err.Error(), "the zip file has 1073741825 bytes") {
			t.Errorf("error %v", err)
		}
	})
	if c.read > 0 {
		t.Errorf("%d bytes were read", c.read)
	}
}

// tail is the end of a file of maxZip+1 bytes, whose others are zero.
type tail []byte

func (e tail) ReadAt(b []byte, off int64) (int, error) {
	clear(b)
	begin := maxZip + 1 - int64(len(e))
	for i := range b {
		if at := off + int64(i) - begin; at >= 0 && at < int64(len(e)) {
			b[i] = e[at]
		}
	}
	return len(b), nil
}

// TestZipEnds: a zip file is read until the context ends.
func TestZipEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := &counter{ReaderAt: tail(nil)}
	if _, err := OpenZip(ctx, c, 1000); !errors.Is(err, context.Canceled) || c.read > 0 {
		t.Errorf("%d bytes were read, error %v", c.read, err)
	}
}
