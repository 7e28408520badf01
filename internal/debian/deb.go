// deb: the files in a package.

package debian

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"buildsys/internal/archive"
)

var errNotDeb = errors.New("it is not a Debian package")

// openData returns the files of a package, which is an ar archive of debian-binary, control.tar and
// data.tar.
func openData(deb io.Reader) (io.ReadCloser, error) {
	in := bufio.NewReaderSize(deb, 1<<16)
	if head, err := readN(in, 8); err != nil || head != "!<arch>\n" {
		return nil, errNotDeb
	}
	const members = 8 // Debian's have three; others may be between them
	for i := range members {
		head, err := readN(in, 60)
		if err != nil || head[58:] != "`\n" {
			return nil, errNotDeb
		}
		name := strings.TrimSuffix(strings.TrimRight(head[:16], " "), "/")
		size, err := strconv.ParseInt(strings.TrimRight(head[48:58], " "), 10, 64)
		if err != nil || size < 0 {
			return nil, errNotDeb
		}
		if i == 0 && name != "debian-binary" {
			return nil, errNotDeb
		}
		if strings.HasPrefix(name, "data.tar") {
			return archive.Decompress(io.LimitReader(in, size))
		}
		if _, err := io.CopyN(io.Discard, in, size+size%2); err != nil {
			return nil, errNotDeb
		}
	}
	return nil, errNotDeb
}

func readN(r io.Reader, n int) (string, error) {
	buf := make([]byte, n)
	_, err := io.ReadFull(r, buf)
	return string(buf), err
}

// Bounds on what is unpacked of all packages of a root. The essential ones have 120 MB in 5,000
// files.
const (
	maxRoot    = 2 << 30
	maxEntries = 200_000
	maxPath    = 4096 // bytes of a name, as Linux has it
)

// counter bounds what is read.
type counter struct {
	io.Reader
	left *int64
}

func (c counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if *c.left -= int64(n); *c.left < 0 {
		return n, fmt.Errorf("the packages unpack to more than %d MiB", maxRoot>>20)
	}
	return n, err
}

// root writes the files of packages as one tar.
type root struct {
	to      *tar.Writer
	left    int64           // bytes that may still be read
	entries int             // that were written
	kind    map[string]byte // of each path
}
