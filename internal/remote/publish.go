// publish: writes images into a repository that are not results of steps, namely kits.

package remote

import (
	"bytes"
	"context"
	"io"

	"buildsys/internal/cache"
	"buildsys/internal/oci"
)

// PutBlob uploads a blob unless the repository has it. open returns its bytes.
func (i *Images) PutBlob(ctx context.Context, b cache.Blob,
	open func() (io.ReadSeekCloser, error)) error {
	return i.t.uploadBlob(ctx, b, open, false)
}

// PutManifest uploads a manifest or an index under a tag or its digest. What it names must be
// there.
func (i *Images) PutManifest(ctx context.Context, mediaType, ref string, data []byte) error {
	d := oci.Describe(mediaType, oci.BlobOf(data))
	return i.t.do(ctx, int64(len(data)), func(ctx context.Context) error {
		return i.r.failure(i.r.repo.Manifests().PushReference(ctx, d, bytes.NewReader(data), ref))
	})
}

// Sent returns the number of bytes that were uploaded.
func (i *Images) Sent() int64 { return i.t.up.Load() }
