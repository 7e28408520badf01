// sdkimage: downloads the image of the SDK that Twoliter.lock names, for an engine to load.

package kit

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"

	spec "github.com/opencontainers/image-spec/specs-go/v1"

	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
	"buildsys/internal/oci"
)

const (
	maxSDK       = 32 << 30 // bytes of the layers of an SDK image, as packed
	maxSDKLayers = 512
)

// SaveSDK writes the image of the locked SDK for an architecture, by RPM's name, to a stream in the
// form of docker save, under the name ref. What the tag leads to must have the digest in the lock,
// so the content is that which the lock means, wherever it comes from. Layers pass through files in
// the directory temp.
func (t Tree) SaveSDK(ctx context.Context, sdk manifest.LockedImage, arch, ref, temp string,
	to io.Writer) error {
	src, err := t.open(sdk.Image)
	if err != nil {
		return sdkFault(err)
	}
	defer src.close()
	s := sdkSaver{src: src, temp: temp, tar: tar.NewWriter(to)}
	d, err := s.find(ctx, sdk, arch)
	if err == nil {
		err = s.save(ctx, d, arch, ref)
	}
	if err != nil && !errkind.Is[*Error](err) && !errkind.Is[*oci.LocalError](err) {
		err = readFault(ctx, src, sdk.Image, err)
	}
	return sdkFault(err)
}

// SDKConfig returns the configuration of the image of the locked SDK for an architecture, by RPM's
// name, as SaveSDK would write it.
func (t Tree) SDKConfig(ctx context.Context, sdk manifest.LockedImage, arch string) (
	[]byte, error) {
	src, err := t.open(sdk.Image)
	if err != nil {
		return nil, sdkFault(err)
	}
	defer src.close()
	s := sdkSaver{src: src}
	d, err := s.find(ctx, sdk, arch)
	var data []byte
	if err == nil {
		var c imageConfig
		_, c, data, err = readImageConfig(ctx, src, d)
		if err == nil && rpmArch(c.Architecture) != arch {
			err = oci.Bad("its image is for %.40q, not for %s", c.Architecture, arch)
		}
	}
	if err != nil && !errkind.Is[*Error](err) && !errkind.Is[*oci.LocalError](err) {
		err = readFault(ctx, src, sdk.Image, err)
	}
	return data, sdkFault(err)
}

// sdkSaver writes one image.
type sdkSaver struct {
	src  source
	temp string
	tar  *tar.Writer
}

// find returns the manifest of the image for an architecture. The tag leads to an index, or to the
// only image.
func (s sdkSaver) find(ctx context.Context, sdk manifest.LockedImage, arch string) (
	spec.Descriptor, error) {
	data, err := s.src.index(ctx, "v"+sdk.Version)
	if err != nil {
		return spec.Descriptor{}, err
	}
	if err := checkDigest(sdk, data); err != nil {
		return spec.Descriptor{}, err
	}
	var x struct {
		spec.Index
		Layers []any `json:"layers"`
	}
	if err := oci.Decode(data, &x); err != nil {
		return spec.Descriptor{}, oci.Bad("its index is not JSON: %v", err)
	}
	if x.Layers != nil {
		return oci.Describe(spec.MediaTypeImageManifest, oci.BlobOf(data)), nil
	}
	return imageFor(x.Index, sdk.Image, arch)
}

// save writes the layers, the configuration, and the list of both.
func (s sdkSaver) save(ctx context.Context, d spec.Descriptor, arch, ref string) error {
	m, c, err := readImage(ctx, s.src, d)
	if err != nil {
		return err
	}
	if rpmArch(c.Architecture) != arch {
		return oci.Bad("its image is for %.40q, not for %s", c.Architecture, arch)
	}
	if len(m.Layers) > maxSDKLayers {
		return oci.Bad("it has %d layers, more than %d", len(m.Layers), maxSDKLayers)
	}
	list := struct {
		Config   string
		RepoTags []string
		Layers   []string
	}{RepoTags: []string{ref}}
	left := int64(maxSDK)
	for i, one := range append(m.Layers, m.Config) {
		b, err := oci.Blob(one, left)
		if err != nil {
			return err
		}
		left -= b.Size
		name := one.Digest.Encoded() + ".tar"
		if i == len(m.Layers) {
			name = one.Digest.Encoded() + ".json"
			list.Config = name
		} else {
			list.Layers = append(list.Layers, name)
		}
		if err := s.blob(ctx, one, name); err != nil {
			return err
		}
	}
	data, err := json.Marshal([]any{list})
	if err == nil {
		err = s.header("manifest.json", int64(len(data)))
	}
	if err == nil {
		_, err = s.tar.Write(data)
	}
	if err == nil {
		err = s.tar.Close()
	}
	return oci.Local(err)
}

func (s sdkSaver) header(name string, size int64) error {
	return s.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size})
}

// blob downloads a blob as a whole, which checks it, before any of it is written.
func (s sdkSaver) blob(ctx context.Context, d spec.Descriptor, name string) error {
	b, err := oci.Blob(d, maxSDK)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(s.temp, "sdk-*.layer")
	if err != nil {
		return oci.Local(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := s.src.blob(ctx, b, f); err != nil {
		return err
	}
	if _, err = f.Seek(0, io.SeekStart); err == nil {
		err = s.header(name, b.Size)
	}
	if err == nil {
		_, err = io.Copy(s.tar, f)
	}
	return oci.Local(err)
}

// sdkFault names the SDK in an error that would call it a kit.
func sdkFault(err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		named := *e
		named.What = "the SDK" + strings.TrimPrefix(e.What, "kit")
		return &named
	}
	return err
}
