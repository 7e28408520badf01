// verifier: checks the size and the hash of bytes that arrive.

package remote

import (
	"crypto/sha256"
	"fmt"
	"hash"

	"buildsys/internal/cache"
	"buildsys/internal/oci"
)

// verifier is a writer for all bytes of a blob.
type verifier struct {
	want cache.Blob
	got  int64
	sum  hash.Hash
}

func newVerifier(want cache.Blob) *verifier { return &verifier{want: want, sum: sha256.New()} }

// Write fails as soon as there are too many bytes, so that an endless blob does not fill the disk.
func (v *verifier) Write(p []byte) (int, error) {
	if v.got += int64(len(p)); v.got > v.want.Size {
		return 0, oci.Bad("more than its %d bytes arrived", v.want.Size)
	}
	return v.sum.Write(p)
}

// end returns an error unless what was written is the blob. Too few bytes mean a broken connection,
// not a wrong blob.
func (v *verifier) end() error {
	if v.got < v.want.Size {
		return fmt.Errorf("cut off after %d of %d bytes", v.got, v.want.Size)
	}
	if got := [32]byte(v.sum.Sum(nil)); got != v.want.SHA256 {
		return oci.Bad("its bytes have the sha256 %.12x… instead of %.12x…", got, v.want.SHA256)
	}
	return nil
}
