// sdk: SDK images in a remote cache. Every key contains the ID of the image that steps run in. A
// remote cache maps the image's name to it, so that a machine with neither image nor engine can
// compute keys, and may hold the image itself.

package remote

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	spec "github.com/opencontainers/image-spec/specs-go/v1"

	"buildsys/internal/cache"
	"buildsys/internal/errkind"
	"buildsys/internal/oci"
)

const (
	sdkType    = "application/vnd.buildsys.sdk.v1"
	rootfsType = spec.MediaTypeImageLayerZstd
	imageNote  = "invalid.buildsys.image" // name of the image
	sdkIDNote  = "invalid.buildsys.sdk"   // its ID
)

// SDK is an SDK image in a remote cache.
type SDK struct {
	Image  string     // name: "buildsys.invalid/sdk:0123456789ab"
	ID     string     // "sha256:…", as engines compute it
	Rootfs cache.Blob // root file system, a tar compressed by zstd; zero if the cache lacks it
	Origin string     // the remote cache
}

// OtherSDKError means that a remote cache has another SDK image of the same name. The two do not
// share results.
type OtherSDKError struct {
	Image, Here, There, Origin string
}

// Error returns both IDs and what to do.
func (e *OtherSDKError) Error() string {
	return fmt.Sprintf("the SDK image %s has ID %.19s… here, but %.19s… in the remote cache %s: "+
		"it was made from other Debian packages, so results are not shared; "+
		"\"buildsys sdk fetch\" takes that of the cache", e.Image, e.Here, e.There, e.Origin)
}

func sdkTag(image string) string {
	sum := sha256.Sum256([]byte(image))
	return "sdk-" + hex.EncodeToString(sum[:16])
}

// FindSDK asks the caches for an SDK image.
func (c *Cache) FindSDK(ctx context.Context, image string) (SDK, bool) {
	if c == nil {
		return SDK{}, false
	}
	for _, t := range c.from {
		sdk, err := t.findSDK(ctx, image)
		if err == nil {
			return sdk, true
		}
		if errkind.Is[oci.BadError](err) {
			c.o.Warn(fmt.Sprintf("the SDK image %s in the remote cache %s is refused: %v", image,
				t.place, err))
		}
	}
	return SDK{}, false
}

func (t *target) findSDK(ctx context.Context, image string) (sdk SDK, err error) {
	err = t.do(ctx, 0, func(ctx context.Context) error {
		data, err := t.back.manifest(ctx, sdkTag(image))
		if err != nil {
			return err
		}
		if sdk, err = decodeSDK(data, image); err != nil {
			return oci.Bad("%v", err)
		}
		return nil
	})
	sdk.Origin = t.place.String()
	return sdk, err
}

func decodeSDK(data []byte, image string) (SDK, error) {
	var m spec.Manifest
	sdk := SDK{Image: image}
	if err := oci.Decode(data, &m); err != nil || m.ArtifactType != sdkType ||
		m.MediaType != manifestType {
		return sdk, fmt.Errorf("it is not an SDK image but %.100q", m.ArtifactType)
	}
	sdk.ID = m.Annotations[sdkIDNote]
	digits, ok := strings.CutPrefix(sdk.ID, "sha256:")
	if _, err := cache.ParseContentID(digits); !ok || err != nil ||
		m.Annotations[imageNote] != image {
		return sdk, fmt.Errorf("it is the image %.100q with ID %.100q", m.Annotations[imageNote],
			sdk.ID)
	}
	for _, d := range m.Layers {
		if d.MediaType == rootfsType {
			b, err := oci.Blob(d, maxOutputs)
			if err != nil {
				return sdk, fmt.Errorf("its root file system is not valid: %w", err)
			}
			sdk.Rootfs = b
		}
	}
	return sdk, nil
}

// FetchSDK downloads the compressed root file system of an SDK image into the empty file to.
func (c *Cache) FetchSDK(ctx context.Context, sdk SDK, to *os.File) error {
	if sdk.Rootfs.IsZero() {
		return fmt.Errorf("the remote cache %s has the ID of the SDK image %s, but not the image: "+
			"upload it where it was made, with \"buildsys sdk import --cache-to\"", sdk.Origin, sdk.Image)
	}
	return c.fetchBlob(ctx, cache.Entry{Step: "the SDK image " + sdk.Image, Origin: sdk.Origin},
		sdk.Rootfs, to)
}

// PushSDK uploads an SDK image: its ID, and its compressed root file system unless rootfs is nil.
// An existing one is left as it is. If that is another image of the same name, the error is an
// *OtherSDKError, unless replace is set.
func (c *Cache) PushSDK(ctx context.Context, sdk SDK, rootfs *os.File, replace bool) error {
	if !c.Writes() {
		return errors.New("there is no remote cache to write to")
	}
	t := c.push.target
	there, err := t.findSDK(ctx, sdk.Image)
	switch {
	case err != nil && !errors.Is(err, ErrNotFound) && !errkind.Is[oci.BadError](err):
		return err
	case err != nil || replace: // the cache has nothing usable
	case there.ID != sdk.ID:
		return &OtherSDKError{Image: sdk.Image, Here: sdk.ID, There: there.ID, Origin: t.place.String()}
	case rootfs == nil || !there.Rootfs.IsZero():
		return nil
	}
	m := newManifest(sdkType, map[string]string{imageNote: sdk.Image, sdkIDNote: sdk.ID})
	m.Layers = []spec.Descriptor{m.Config} // some registries require a layer
	if err := t.uploadBlob(ctx, oci.BlobOf(emptyBlob), fromMemory(emptyBlob), false); err != nil {
		return err
	}
	if rootfs != nil {
		m.Layers = []spec.Descriptor{oci.Describe(rootfsType, sdk.Rootfs)}
		open := func() (io.ReadSeekCloser, error) { return keepOpen{rootfs}, nil }
		if err := t.uploadBlob(ctx, sdk.Rootfs, open, false); err != nil {
			return err
		}
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return t.do(ctx, 0, func(ctx context.Context) error {
		return t.back.putManifest(ctx, sdkTag(sdk.Image), data)
	})
}

// ShareSDK uploads, in the background, the ID of the SDK image that results were made with.
func (c *Cache) ShareSDK(image, id string) {
	if !c.Writes() || id == "" {
		return
	}
	c.push.enqueue(cache.Entry{Action: sha256.Sum256([]byte(sdkTag(image)))},
		func(ctx context.Context) error {
			err := c.PushSDK(ctx, SDK{Image: image, ID: id}, nil, false)
			if errkind.Is[*OtherSDKError](err) {
				c.o.Warn(err.Error())
			}
			return err
		}, func() {}, c.o.Warn)
}

// keepOpen is a file that its owner closes.
type keepOpen struct{ *os.File }

// Close does nothing.
func (keepOpen) Close() error { return nil }

func fromMemory(data []byte) func() (io.ReadSeekCloser, error) {
	return func() (io.ReadSeekCloser, error) { return memory{strings.NewReader(string(data))}, nil }
}
