// unpack: unpacks the layers of a kit. A layer is untrusted: anything that does not belong in a
// repository of RPMs is refused, not skipped.

package kit

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"

	"buildsys/internal/cache"
	"buildsys/internal/ctxio"
	"buildsys/internal/errkind"
	"buildsys/internal/oci"
)

// unpacker collects the files of one image below root.
type unpacker struct {
	root *os.Root
	arch string

	mu      sync.Mutex
	files   []File
	members int
	total   int64 // bytes of the files

	unpacked atomic.Int64 // bytes of the layers
}

// File is one file of an unpacked kit.
type File struct {
	Name   string `json:"name"` // slash path: Packages/<package>/<rpm>, or below repodata/
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // hex
}

// layer unpacks one layer, until ctx ends. Several layers may be unpacked at once.
func (u *unpacker) layer(ctx context.Context, mediaType string, r io.Reader) error {
	r, done, err := decompress(mediaType, r)
	if err != nil {
		return err
	}
	defer done()
	archive := tar.NewReader(reader{ctx, r, &u.unpacked})
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("a layer is not an archive: %w", err)
		}
		if err := u.entry(h, archive); err != nil {
			return err
		}
	}
}

// reader is a reader that ends with its context and after maxUnpacked bytes.
type reader struct {
	ctx context.Context
	io.Reader
	count *atomic.Int64
}

func (r reader) Read(b []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	n, err := r.Reader.Read(b)
	if r.count.Add(int64(n)) > maxUnpacked {
		return 0, fmt.Errorf("it unpacks to more than %d bytes", int64(maxUnpacked))
	}
	return n, err
}

func decompress(mediaType string, r io.Reader) (io.Reader, func(), error) {
	switch {
	case strings.HasSuffix(mediaType, ".tar"):
		return r, func() {}, nil
	case strings.HasSuffix(mediaType, "+gzip"), strings.HasSuffix(mediaType, ".tar.gzip"):
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, nil, fmt.Errorf("a layer does not match its media type: %w", err)
		}
		return z, func() { _ = z.Close() }, nil
	case strings.HasSuffix(mediaType, "+zstd"):
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}
	return nil, nil, fmt.Errorf("a layer has the unsupported type %.100q", mediaType)
}

// entry unpacks one member of an archive.
func (u *unpacker) entry(h *tar.Header, content io.Reader) error {
	u.mu.Lock()
	u.members++
	members := u.members
	u.mu.Unlock()
	if members > maxMembers {
		return fmt.Errorf("its layers list more than %d files and directories", maxMembers)
	}
	name := path.Clean(h.Name)
	if name == "." && h.Typeflag == tar.TypeDir {
		return nil
	}
	if reason := u.refused(name, h); reason != "" {
		return fmt.Errorf("its file %.200q %.200s", h.Name, reason)
	}
	if h.Typeflag == tar.TypeDir {
		return nil // write creates it with the first file in it
	}
	u.mu.Lock()
	u.total += h.Size
	total, count := u.total, len(u.files)
	u.mu.Unlock()
	if total > maxTotal || count >= maxFiles {
		return fmt.Errorf("it has more than %d files or %d bytes", maxFiles, int64(maxTotal))
	}
	sum, err := u.write(name, content)
	if err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.files = append(u.files, File{Name: name, Size: h.Size, SHA256: fmt.Sprintf("%x", sum.Sum(nil))})
	return nil
}

// refused returns why a member does not belong in a kit, or "".
func (u *unpacker) refused(name string, h *tar.Header) string {
	if path.IsAbs(h.Name) || name == ".." || strings.HasPrefix(name, "../") {
		return "leads out of the kit"
	}
	if len(name) > maxName || strings.Count(name, "/") >= maxDepth {
		return fmt.Sprintf("has a name of more than %d bytes or %d parts", maxName, maxDepth)
	}
	for part := range strings.SplitSeq(name, "/") {
		if len(part) > maxPart {
			return fmt.Sprintf("has a name with a part of more than %d bytes", maxPart)
		}
		if reason := cache.BadName(part); reason != "" {
			return "has a forbidden name: " + reason
		}
	}
	if ctxio.HasHoles(h) {
		return "has holes"
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return ""
	case tar.TypeReg:
	case tar.TypeLink, tar.TypeSymlink:
		return "is a link"
	default:
		return "is neither a file nor a directory"
	}
	top, _, nested := strings.Cut(name, "/")
	switch {
	case h.Mode&0o7000 != 0:
		return "has a set-user-ID, set-group-ID or sticky bit"
	case h.Size > maxFile:
		return fmt.Sprintf("has %d bytes, more than %d", h.Size, int64(maxFile))
	case nested && top == "repodata":
		return ""
	case !nested || top != "Packages" || !strings.HasSuffix(name, ".rpm"):
		return "is neither an RPM below Packages/ nor below repodata/"
	case !strings.HasSuffix(name, "."+u.arch+".rpm") && !strings.HasSuffix(name, ".noarch.rpm"):
		return "is for another architecture than " + u.arch
	}
	return ""
}

// write creates a new file. The tar reader supplies no more bytes than the header states.
func (u *unpacker) write(name string, content io.Reader) (hash.Hash, error) {
	if err := u.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return nil, oci.Local(err)
	}
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("its file %.200q appears twice", name)
	}
	if err != nil {
		return nil, oci.Local(err)
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(oci.LocalWriter{Writer: f}, sum), content)
	if e := f.Close(); err == nil && e != nil {
		err = oci.Local(e)
	}
	if err != nil && !errkind.Is[*oci.LocalError](err) {
		err = fmt.Errorf("a layer ends in the middle of %.200q: %w", name, err)
	}
	return sum, err
}
