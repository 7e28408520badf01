// ocilayout: OCI layouts in directories as a source of images.

package kit

import (
	"context"
	"os"
	"path/filepath"
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
		return nil, l.other(err)
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

// other returns a better error for a place with images in another form: what docker save writes, as
// an archive or unpacked.
func (l layoutSource) other(err error) error {
	for _, dir := range []string{l.Dir, filepath.Dir(l.Dir)} {
		info, e := os.Stat(dir)
		saved := ""
		switch {
		case e == nil && info.Mode().IsRegular():
			saved = "is a file, perhaps written by docker save"
		case e != nil || !info.IsDir():
			continue
		default:
			_, e := os.Stat(filepath.Join(dir, "manifest.json"))
			_, index := os.Stat(filepath.Join(dir, "index.json"))
			if e != nil || index == nil {
				continue
			}
			saved = "has what docker save writes"
		}
		return oci.Bad("%s %s, and not an OCI layout; such a file has the images of one architecture "+
			"without the index that is locked, so copy the kit from its registry: skopeo copy --all "+
			"docker://HOST/NAME:TAG oci:DIRECTORY:TAG", dir, saved)
	}
	return err
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
