// looks: guesses why bytes have the wrong hash, to help the reader of the error.

package fetch

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"buildsys/internal/ctxio"
)

// maxUnpack limits how many bytes of a compressed file are unpacked to find its end.
const maxUnpack = 1 << 30

// describe returns what the bytes of p look like if that explains a wrong hash, and "" otherwise.
// It never fails, and ends with ctx.
func (p *part) describe(ctx context.Context) string {
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
	if bytes.HasPrefix(head, []byte("version https://git-lfs.github.com/spec/")) {
		return "a pointer of git-lfs: run git lfs pull where it comes from"
	}
	all := ctxio.NewReader(ctx, io.NewSectionReader(p.f, 0, p.size))
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		if z, err := gzip.NewReader(all); err == nil && endsEarly(ctx, z) {
			return "a truncated gzip file"
		}
	case bytes.HasPrefix(head, []byte("BZh")):
		if endsEarly(ctx, bzip2.NewReader(all)) {
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

func endsEarly(ctx context.Context, r io.Reader) bool {
	// A few packed bytes may unpack to many, so both sides look at ctx.
	_, err := io.Copy(io.Discard, ctxio.NewReader(ctx, io.LimitReader(r, maxUnpack)))
	return errors.Is(err, io.ErrUnexpectedEOF)
}
