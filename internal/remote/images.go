// images: reads images of a repository that are not results of steps, namely kits.

package remote

import (
	"context"
	"errors"
	"os"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"

	"buildsys/internal/cache"
	"buildsys/internal/oci"
)

// Images reads the images of one repository of a registry, with the retries, limits and credentials
// of a remote cache.
type Images struct {
	t *target
	r *ociRegistry
}

// OpenImages prepares reading, without connecting.
func OpenImages(place Location, limits Limits) (*Images, error) {
	if place.Dir != "" {
		return nil, errors.New("a directory is not a registry")
	}
	t, err := newTarget(place, Options{Limits: limits.withDefaults(), Warn: func(string) {}}, "read")
	if err != nil {
		return nil, err
	}
	return &Images{t: t, r: t.back.(*ociRegistry)}, nil
}

// Manifest returns the manifest or index that a tag or a digest names. If there is none, the error
// is an ErrNotFound. A manifest named by digest is checked.
func (i *Images) Manifest(ctx context.Context, ref string) (data []byte, err error) {
	err = i.t.do(ctx, 0, func(ctx context.Context) (err error) {
		data, err = i.t.back.manifest(ctx, ref)
		switch {
		case err != nil:
			return err
		case len(data) > oci.MaxDocument:
			return oci.Bad("its manifest has more than %d bytes", oci.MaxDocument)
		case strings.HasPrefix(ref, "sha256:") && digest.FromBytes(data).String() != ref:
			return oci.Bad("the manifest does not match the digest %.19s…", ref)
		}
		return nil
	})
	return data, err
}

// Blob downloads a blob into the empty file to, and checks it.
func (i *Images) Blob(ctx context.Context, b cache.Blob, to *os.File) error {
	return i.t.download(ctx, b, to)
}

// maxTags bounds the tags that are listed: they are for hints, and a registry may have any number.
const maxTags = 1000

// validTag matches the tags that the specification of registries allows. Others are nobody's.
var validTag = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)

// Tags returns the tags of the repository, maxTags at most.
func (i *Images) Tags(ctx context.Context) (tags []string, err error) {
	enough := errors.New("enough")
	err = i.t.do(ctx, 0, func(ctx context.Context) error {
		tags = nil
		err := i.r.repo.Tags(ctx, "", func(page []string) error {
			for _, tag := range page {
				if len(tags) == maxTags {
					return enough
				}
				if validTag.MatchString(tag) {
					tags = append(tags, tag)
				}
			}
			return nil
		})
		if errors.Is(err, enough) {
			return nil
		}
		return i.r.failure(err)
	})
	return tags, err
}

// Close ends the use of the repository.
func (i *Images) Close() { i.t.close() }
