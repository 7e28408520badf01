// ocilayout: OCI layouts in directories as a source of images.

package kit

import (
	"context"
	"os"
	"slices"

	spec "github.com/opencontainers/image-spec/specs-go/v1"

	"buildsys/internal/cache"
	"buildsys/internal/oci"
	"buildsys/internal/remote"
)

// layoutSource reads images from one OCI layout.
type layoutSource struct{ oci.Layout }

// index returns the blob that index.json has under a tag. If no image has a tag, as other tools
// write a layout of one image, index.json itself is the index.
func (l layoutSource) index(_ context.Context, tag string) ([]byte, error) {
	data, x, err := l.Index()
	if err != nil {
		return nil, err
	}
	tagged := false
	for _, d := range x.Manifests {
		name := d.Annotations[spec.AnnotationRefName]
		if tagged = tagged || name != ""; name == tag {
			return l.Read(d)
		}
	}
	if !tagged && len(x.Manifests) > 0 {
		return data, nil
	}
	return nil, remote.ErrNotFound
}

func (l layoutSource) manifest(_ context.Context, d spec.Descriptor) ([]byte, error) {
	return l.Read(d)
}

func (l layoutSource) blob(ctx context.Context, b cache.Blob, to *os.File) error {
	return l.Copy(ctx, b, to)
}

func (l layoutSource) tags(context.Context) []string {
	_, x, err := l.Index()
	if err != nil {
		return nil
	}
	var tags []string
	for _, d := range x.Manifests {
		if tag := d.Annotations[spec.AnnotationRefName]; tag != "" {
			tags = append(tags, tag)
		}
	}
	slices.Sort(tags)
	return tags
}

func (layoutSource) close() {}
