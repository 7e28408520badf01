// The small image that every container job starts from, as a tar for a Docker engine and as an OCI
// layout for BuildKit.

package bench

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	godigest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"buildsys/internal/oci"
)

// base is the image: busybox and nothing else. All peers use the same bytes.
type base struct {
	tar    []byte
	image  string // its name on the Docker engine
	layout string // directory with the image as an OCI layout
	digest string // of its manifest there, "sha256:…"
}

var applets = []string{"sh", "sleep", "sed", "grep", "cat", "cp", "mkdir", "printf", "sha256sum"}

// makeBase packs the static busybox at path; it writes the OCI layout below dir.
func makeBase(path, dir string) (base, error) {
	busybox, err := os.ReadFile(path)
	if err != nil {
		return base{}, fmt.Errorf("the jobs need a static busybox: %w", err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err = w.WriteHeader(&tar.Header{Name: "bin/busybox", Mode: 0o755, Size: int64(len(busybox))})
	if err == nil {
		_, err = w.Write(busybox)
	}
	for _, name := range applets {
		if err == nil {
			err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name,
				Linkname: "busybox", Mode: 0o777})
		}
	}
	for _, name := range []string{"proc/", "sys/", "dev/", "etc/", "tmp/", "host/"} {
		if err == nil {
			err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755})
		}
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return base{}, err
	}
	out := base{tar: b.Bytes(), layout: filepath.Join(dir, "oci")}
	out.image = "buildsys.invalid/bench:" + godigest.FromBytes(out.tar).Encoded()[:12]
	out.digest, err = writeLayout(out.layout, out.tar)
	return out, err
}

// writeLayout writes an image of one layer as an OCI layout, and returns the digest of its
// manifest.
func writeLayout(dir string, layer []byte) (digest string, err error) {
	l := oci.Layout{Dir: dir}
	if err := l.Make(); err != nil {
		return "", err
	}
	blob, err := l.Put(ocispecs.MediaTypeImageLayer, func(w io.Writer) error {
		_, err := w.Write(layer)
		return err
	})
	if err != nil {
		return "", err
	}
	config, err := l.PutJSON(ocispecs.MediaTypeImageConfig, ocispecs.Image{
		Platform: ocispecs.Platform{Architecture: "amd64", OS: "linux"},
		RootFS:   ocispecs.RootFS{Type: "layers", DiffIDs: []godigest.Digest{blob.Digest}},
		Config:   ocispecs.ImageConfig{Env: []string{"PATH=/bin"}},
	})
	if err != nil {
		return "", err
	}
	image := oci.NewManifest(config, []ocispecs.Descriptor{blob})
	manifest, err := l.PutJSON(ocispecs.MediaTypeImageManifest, image)
	if err != nil {
		return "", err
	}
	return manifest.Digest.String(), l.PutIndex(oci.NewIndex(manifest))
}
