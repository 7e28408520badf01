// looks: guesses why bytes have the wrong hash, to help the reader of the error.

package fetch

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"
)

// maxUnpack limits how many bytes of a compressed file are unpacked to find its end.
const maxUnpack = 1 << 30

// describe returns what the bytes of p look like if that explains a wrong hash, and "" otherwise.
// It never fails.
func (p *part) describe() string {
	if p.size == 0 {
		return "empty"
	}
	head := make([]byte, min(p.size, 512))
	if _, err := p.f.ReadAt(head, 0); err != nil {
		return ""
	}
	if strings.HasPrefix(http.DetectContentType(head), "text/html") {
		return "an HTML page, not a source"
	}
	all := io.NewSectionReader(p.f, 0, p.size)
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		if z, err := gzip.NewReader(all); err == nil && endsEarly(z) {
			return "a truncated gzip file"
		}
	case bytes.HasPrefix(head, []byte("BZh")):
		if endsEarly(bzip2.NewReader(all)) {
			return "a truncated bzip2 file"
		}
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		end := make([]byte, 2)
		if _, err := p.f.ReadAt(end, p.size-2); err == nil && string(end) != "YZ" {
			return "a truncated xz file"
		}
	}
	return ""
}

func endsEarly(r io.Reader) bool {
	_, err := io.Copy(io.Discard, io.LimitReader(r, maxUnpack))
	return errors.Is(err, io.ErrUnexpectedEOF)
}
