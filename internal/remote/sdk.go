// SDK images: every key holds the identity of the image that steps run in. A remote cache knows it
// by the image's name, so that a machine that has neither the image nor an engine can compute the
// keys, and may have the image itself.

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
	sdkIDNote  = "invalid.buildsys.sdk"   // its identity
)

// SDK is an SDK image as a remote cache knows it.
type SDK struct {
	Image  string     // its name, "buildsys.invalid/sdk:0123456789ab"
	ID     string     // what it is: "sha256:…", as engines compute it
	Rootfs cache.Blob // its root file system as a tar, packed with zstd; zero when it is not there
	Origin string     // the remote cache
}

// OtherSDKError says that a remote cache has another SDK image of the same name. Results of the two
// are not shared.
type OtherSDKError struct {
	Image, Here, There, Origin string
}

// Error names both and the way out.
func (e *OtherSDKError) Error() string {
	return fmt.Sprintf("the SDK image %s is %.19s… here and %.19s… in the remote cache %s, made "+
		"from other Debian packages: "+
		"their results are not shared; \"buildsys sdk fetch\" takes that of the cache", e.Image, e.Here, e.There, e.Origin)
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
		if errkind.Is[badError](err) {
			c.o.Warn(fmt.Sprintf("the SDK image %s in the remote cache %s is refused: %v", image, t.place,
				err))
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
			return badError{err.Error()}
		}
		return nil
	})
	sdk.Origin = t.place.String()
	return sdk, err
}

func decodeSDK(data []byte, image string) (SDK, error) {
	var m spec.Manifest
	sdk := SDK{Image: image}
	if err := json.Unmarshal(data, &m); err != nil || m.ArtifactType != sdkType ||
		m.MediaType != manifestType {
		return sdk, fmt.Errorf("it is not an SDK image but %.100q", m.ArtifactType)
	}
	sdk.ID = m.Annotations[sdkIDNote]
	digits, ok := strings.CutPrefix(sdk.ID, "sha256:")
	if _, err := cache.ParseContentID(digits); !ok || err != nil || m.Annotations[imageNote] != image {
		return sdk, fmt.Errorf("it is %.100q, %.100q", m.Annotations[imageNote], sdk.ID)
	}
	for _, d := range m.Layers {
		if d.MediaType == rootfsType {
			b, err := oci.Blob(d, maxOutputs)
			if err != nil {
				return sdk, fmt.Errorf("its root file system is %.100q of %d bytes", d.Digest, d.Size)
			}
			sdk.Rootfs = b
		}
	}
	return sdk, nil
}

// FetchSDK downloads the packed root file system of an SDK image into the empty file to.
func (c *Cache) FetchSDK(ctx context.Context, sdk SDK, to *os.File) error {
	if sdk.Rootfs.IsZero() {
		return fmt.Errorf("the remote cache %s knows the SDK image %s but does not have it: "+
			"upload it from where it was made, with \"buildsys sdk import --cache-to\"", sdk.Origin, sdk.Image)
	}
	return c.fetchBlob(ctx, cache.Entry{Step: "the SDK image " + sdk.Image, Origin: sdk.Origin},
		sdk.Rootfs, to)
}

// PushSDK uploads an SDK image: its identity, and its packed root file system unless rootfs is nil.
// What is there already is left as it is; another image of the same name is an *OtherSDKError,
// unless replace is set.
func (c *Cache) PushSDK(ctx context.Context, sdk SDK, rootfs *os.File, replace bool) error {
	if !c.Writes() {
		return errors.New("no remote cache is written")
	}
	t := c.push.target
	there, err := t.findSDK(ctx, sdk.Image)
	switch {
	case err != nil && !errors.Is(err, errNotFound) && !errkind.Is[badError](err):
		return err
	case err != nil || replace: // nothing usable is there
	case there.ID != sdk.ID:
		return &OtherSDKError{Image: sdk.Image, Here: sdk.ID, There: there.ID, Origin: t.place.String()}
	case rootfs == nil || !there.Rootfs.IsZero():
		return nil
	}
	m := newManifest(sdkType, map[string]string{imageNote: sdk.Image, sdkIDNote: sdk.ID})
	m.Layers = []spec.Descriptor{m.Config} // some registries want a layer
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
		return t.back.putManifest(ctx,
			sdkTag(sdk.Image), data)
	})
}

// ShareSDK uploads the identity of the SDK image that results were made with, in the background.
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
		}, c.o.Warn)
}

// keepOpen is a file that its owner closes.
type keepOpen struct{ *os.File }

// Close does nothing.
func (keepOpen) Close() error { return nil }

func fromMemory(data []byte) func() (io.ReadSeekCloser, error) {
	return func() (io.ReadSeekCloser, error) { return memory{strings.NewReader(string(data))}, nil }
}
