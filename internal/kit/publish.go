// publish: copies the image of a kit from its OCI layout to a registry.

package kit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/opencontainers/go-digest"
	spec "github.com/opencontainers/image-spec/specs-go/v1"

	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
	"buildsys/internal/oci"
	"buildsys/internal/remote"
)

// Published describes a kit in a registry.
type Published struct {
	Digest string   // of the index that the tag leads to: "sha256:…"
	Locked string   // the same in the form of Twoliter.lock
	Arches []string // of its images, sorted
	Sent   int64    // bytes
	There  bool     // the tag led to it already
}

// Publish copies the image of a kit of version i.Version, with all architectures, from the layout
// in dir to a repository. The tag comes last, so that it never leads to a part. If the tag leads to
// another image, that is an error unless replace is set: locks of other trees may name it. An image
// that is not recorded in made is not published.
func Publish(ctx context.Context, dir string, i manifest.Image, made Made, to *remote.Images,
	replace bool) (p Published, err error) {
	from, tag := layoutSource{oci.Layout{Dir: dir}}, "v"+i.Version
	index, err := from.index(ctx, tag)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, remote.ErrNotFound) {
		return p, fault(errkind.Usage, i, fmt.Sprintf("run \"buildsys build-kit %s\"", i.Name),
			"%s has no image with the tag %s", dir, tag)
	}
	if err != nil {
		return p, readFault(ctx, from, i, err)
	}
	x, err := parseIndex(index)
	if err != nil {
		return p, fault(errkind.Integrity, i, "", "%v", err)
	}
	byArch, err := arches(x)
	if err != nil {
		return p, fault(errkind.Integrity, i, "", "%v", err)
	}
	for arch, d := range byArch {
		if _, ok := made.find(d.Digest); !ok {
			hint := fmt.Sprintf("run \"buildsys build-kit %s\" for %s here", i.Name, arch)
			return p, fault(errkind.Usage, i, hint, "%s has an image for %s that this user has not made",
				dir, arch)
		}
	}
	p.Arches = slices.Sorted(maps.Keys(byArch))
	p.Digest = digest.FromBytes(index).String()
	if p.Locked, err = Digest(index); err != nil {
		return p, fault(errkind.Integrity, i, "", "its index is not JSON: %v", err)
	}
	there, err := to.Manifest(ctx, tag)
	switch {
	case err == nil && bytes.Equal(there, index):
		p.There = true
		return p, nil
	case err == nil && !replace:
		return p, fault(errkind.Usage, i, "give it another version, or replace it with --replace: trees "+
			"whose locks name the other image cannot fetch it then",
			"the tag %s leads to another image there, %s", tag, digest.FromBytes(there))
	case err != nil && !errors.Is(err, remote.ErrNotFound):
		return p, publishFault(ctx, i, err)
	}
	for _, arch := range p.Arches {
		if err := publishImage(ctx, from, i, byArch[arch], arch, to); err != nil {
			return p, err
		}
	}
	err = to.PutManifest(ctx, spec.MediaTypeImageIndex, tag, index)
	p.Sent = to.Sent()
	return p, publishFault(ctx, i, err)
}

// publishImage copies the image for one architecture.
func publishImage(ctx context.Context, from layoutSource, i manifest.Image, d spec.Descriptor,
	arch string, to *remote.Images) error {
	m, c, err := readImage(ctx, from, d)
	if err != nil {
		return readFault(ctx, from, i, err)
	}
	if err := checkConfig(i, c, arch); err != nil {
		return err
	}
	for _, one := range append(m.Layers, m.Config) {
		b, err := oci.Blob(one, maxTotal)
		if err != nil {
			return readFault(ctx, from, i, err)
		}
		err = to.PutBlob(ctx, b, func() (io.ReadSeekCloser, error) { return from.Open(one) })
		if err != nil {
			return publishFault(ctx, i, err)
		}
	}
	data, err := from.Read(d)
	if err != nil {
		return readFault(ctx, from, i, err)
	}
	err = to.PutManifest(ctx, spec.MediaTypeImageManifest, d.Digest.String(), data)
	return publishFault(ctx, i, err)
}

func publishFault(ctx context.Context, i manifest.Image, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	e := fault(errkind.Environment, i, "", "it cannot be published: %v", err)
	e.Err = err
	return e
}
