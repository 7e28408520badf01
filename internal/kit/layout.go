// layout: images in a directory, as the OCI image layout has it.

package kit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"buildsys/internal/cache"
	"buildsys/internal/remote"
)

// layout is one directory with an OCI layout.
type layout struct{ dir string }

// badLayout says that a layout is not what it should be.
type badLayout struct{ reason string }

func (e badLayout) Error() string { return e.reason }

// index returns the blob that index.json has under a tag. A layout without tags, as other tools make them of one image, is
// itself the index.
func (l *layout) index(_ context.Context, tag string) ([]byte, error) {
	data, x, err := l.top()
	if err != nil {
		return nil, err
	}
	tagged := false
	for _, d := range x.Manifests {
		if tagged = tagged || d.Annotations[refName] != ""; d.Annotations[refName] == tag {
			return l.read(d)
		}
	}
	if !tagged && len(x.Manifests) > 0 {
		return data, nil
	}
	return nil, remote.ErrNotFound
}

// top reads index.json.
func (l *layout) top() ([]byte, imageIndex, error) {
	data, err := l.small("index.json")
	if err != nil {
		return nil, imageIndex{}, err
	}
	var x imageIndex
	if err := json.Unmarshal(data, &x); err != nil {
		return nil, x, badLayout{fmt.Sprintf("%s: %v", filepath.Join(l.dir, "index.json"), err)}
	}
	return data, x, nil
}

func (l *layout) small(name string) ([]byte, error) {
	f, err := l.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err == nil && len(data) > maxManifest {
		err = badLayout{fmt.Sprintf("%s has more than %d bytes", filepath.Join(l.dir, name), maxManifest)}
	}
	return data, err
}

func (l *layout) open(name string) (*os.File, error) {
	root, err := os.OpenRoot(l.dir) // what it links to elsewhere is not part of it
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no OCI layout %s", l.dir)
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.Open(name)
}

func blobName(b cache.Blob) string {
	return filepath.Join("blobs", "sha256", hex.EncodeToString(b.SHA256[:]))
}

func (l *layout) read(d descriptor) ([]byte, error) {
	b, err := d.blob(maxManifest)
	if err != nil {
		return nil, badLayout{err.Error()}
	}
	data, err := l.small(blobName(b))
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(data) != b.SHA256 {
		return nil, badLayout{fmt.Sprintf("%s does not have the content that its name says", filepath.Join(l.dir, blobName(b)))}
	}
	return data, nil
}

func (l *layout) manifest(_ context.Context, d descriptor) ([]byte, error) { return l.read(d) }

func (l *layout) blob(ctx context.Context, b cache.Blob, to *os.File) error {
	f, err := l.open(blobName(b))
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	from := remote.ContextReader{Context: ctx, Reader: io.LimitReader(f, b.Size+1)}
	n, err := io.Copy(io.MultiWriter(to, sum), from)
	if err != nil {
		return err
	}
	if n != b.Size || !bytes.Equal(sum.Sum(nil), b.SHA256[:]) {
		return badLayout{fmt.Sprintf("%s does not have the content that its name says", filepath.Join(l.dir, blobName(b)))}
	}
	return nil
}

func (l *layout) tags(context.Context) []string {
	_, x, err := l.top()
	if err != nil {
		return nil
	}
	var tags []string
	for _, d := range x.Manifests {
		if tag := d.Annotations[refName]; tag != "" {
			tags = append(tags, tag)
		}
	}
	slices.Sort(tags)
	return tags
}

func (l *layout) close() {}
