// Content: an OCI layout's blobs as a read-only store that a build offers to its engine.

package buildkit

import (
	"context"
	"fmt"
	"os"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"buildsys/internal/oci"
)

// blobs is a read-only content.Store. containerd's own store for such a directory creates files in
// it and logs.
type blobs struct{ layout oci.Layout }

var errReadOnly = fmt.Errorf("the SDK's content is read-only: %w",
	errdefs.ErrFailedPrecondition)

func (b blobs) Info(_ context.Context, d digest.Digest) (content.Info, error) {
	info, err := b.stat(d)
	if err != nil {
		return content.Info{}, err
	}
	return content.Info{Digest: d, Size: info.Size(), CreatedAt: info.ModTime(),
		UpdatedAt: info.ModTime()}, nil
}

func (b blobs) stat(d digest.Digest) (os.FileInfo, error) {
	if err := d.Validate(); err != nil { // it becomes a path
		return nil, fmt.Errorf("%q: %w", d, errdefs.ErrInvalidArgument)
	}
	info, err := os.Stat(b.layout.Path(d))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errdefs.ErrNotFound, err)
	}
	return info, nil
}

func (b blobs) ReaderAt(_ context.Context, desc ocispecs.Descriptor) (content.ReaderAt, error) {
	info, err := b.stat(desc.Digest)
	if err != nil {
		return nil, err
	}
	f, _, err := openRegular(b.layout.Path(desc.Digest))
	if err != nil {
		return nil, err
	}
	return sizedFile{f, info.Size()}, nil
}

// sizedFile is an open blob.
type sizedFile struct {
	*os.File
	size int64
}

func (f sizedFile) Size() int64 { return f.size }

// The rest of content.Store.

func (b blobs) Update(context.Context, content.Info, ...string) (content.Info, error) {
	return content.Info{}, errReadOnly
}

func (b blobs) Walk(context.Context, content.WalkFunc, ...string) error { return errReadOnly }

func (b blobs) Delete(context.Context, digest.Digest) error { return errReadOnly }

func (b blobs) ListStatuses(context.Context, ...string) ([]content.Status, error) {
	return nil, errReadOnly
}

func (b blobs) Status(context.Context, string) (content.Status, error) {
	return content.Status{}, errReadOnly
}

func (b blobs) Abort(context.Context, string) error { return errReadOnly }

func (b blobs) Writer(context.Context, ...content.WriterOpt) (content.Writer, error) {
	return nil, errReadOnly
}
