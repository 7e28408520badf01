// zip_test: directories of zip files are bounded before they are read, and reading ends with the
// context.

package gomod

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
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

// TestSumsOfTooManyModules: every module is fetched.
func TestSumsOfTooManyModules(t *testing.T) {
	var text strings.Builder
	for i := range maxModules + 1 {
		fmt.Fprintf(&text, "example.com/m%d v1.0.0 h1:x\nexample.com/m%[1]d v1.0.0/go.mod h1:x\n", i)
	}
	if all, err := ParseSums([]byte(text.String())); err == nil ||
		!strings.Contains(err.Error(), "line 40001: it names more than 20000 modules") {
		t.Errorf("%d modules, %v", len(all), err)
	}
}

// TestReadEnds: an archive is read until the context ends.
func TestReadEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Read(ctx, save(t, tarOf(t, goModule...)), ""); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
