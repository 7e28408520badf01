// The container image: the binary, certificates and places to work in, for both architectures in
// one OCI layout, and each as an archive for "docker load", which old engines need.

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// images makes all forms of the image.
func (r *release) images(context.Context) error {
	roots, err := certificates()
	if err != nil {
		return err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, b := range r.onLinux() {
		img, err := r.image(b, roots)
		if err != nil {
			return err
		}
		tag, err := name.NewTag("buildsys:" + r.version)
		if err != nil {
			return err
		}
		if err := tarball.WriteToFile(r.path("-docker-"+b.arch+".tar"), tag, img); err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: b.os, Architecture: b.arch}}})
	}
	dir := filepath.Join(r.work, "layout")
	at, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	if err := at.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": r.version})); err != nil {
		return err
	}
	entries, err := tree(dir)
	if err != nil {
		return err
	}
	data, err := tarOf(r.date, entries)
	if err != nil {
		return err
	}
	return os.WriteFile(r.path("-oci.tar"), data, 0o644)
}

// image makes the image for one architecture.
func (r *release) image(b binary, roots []byte) (v1.Image, error) {
	program, err := os.ReadFile(b.path)
	if err != nil {
		return nil, err
	}
	license, err := r.read("LICENSE")
	if err != nil {
		return nil, err
	}
	dir := func(path string, mode fs.FileMode) entry { return entry{path, fs.ModeDir | mode, nil} }
	data, err := tarOf(r.date, []entry{
		dir("etc", 0o755), dir("etc/ssl", 0o755), dir("etc/ssl/certs", 0o755), dir("usr", 0o755),
		dir("usr/bin", 0o755), dir("usr/share", 0o755), dir("usr/share/doc", 0o755),
		dir("usr/share/doc/buildsys", 0o755), dir("tree", 0o755), dir("root", 0o700),
		dir("tmp", 0o777|fs.ModeSticky),
		{"usr/bin/buildsys", 0o755, program},
		file("etc/ssl/certs/ca-certificates.crt", roots),
		file("etc/passwd", []byte("root:x:0:0:root:/root:/usr/bin/buildsys\n")),
		file("etc/group", []byte("root:x:0:\n")),
		file("usr/share/doc/buildsys/LICENSE", license),
		file("usr/share/doc/buildsys/THIRD_PARTY_LICENSES", r.legal.text),
	})
	if err == nil {
		// Once: the library would do it again for each form.
		data, err = zip(data, gzip.DefaultCompression)
	}
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1),
		types.OCIConfigJSON)
	img, err := mutate.Append(base, mutate.Addendum{Layer: layer, MediaType: types.OCILayer,
		History: v1.History{Created: v1.Time{Time: r.date}, CreatedBy: "script/release"}})
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = b.os, b.arch, v1.Time{Time: r.date}
	config.Config = v1.Config{
		Entrypoint: []string{"/usr/bin/buildsys"}, WorkingDir: "/tree",
		Env: []string{"PATH=/usr/bin", "HOME=/root"},
		Labels: map[string]string{
			"org.opencontainers.image.title":    "buildsys",
			"org.opencontainers.image.version":  r.version,
			"org.opencontainers.image.revision": r.commit,
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
	return mutate.ConfigFile(img, config)
}

const rootsModule = "golang.org/x/crypto/x509roots/fallback"

// certificates returns Mozilla's authorities as a file. go.sum says which: those of the machine
// that makes the release would be others on another day. Those that count only for certificates of
// before some day are left out, as a file cannot say so.
func certificates() ([]byte, error) {
	info, ok := debug.ReadBuildInfo()
	i := -1
	if ok {
		i = slices.IndexFunc(info.Deps, func(m *debug.Module) bool { return m.Path == rootsModule })
	}
	if i < 0 {
		return nil, errors.New("this program does not know its version of " + rootsModule)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "# Authorities of Mozilla's NSS (MPL-2.0), from the Go module %s %s\n",
		rootsModule, info.Deps[i].Version)
	n := 0
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		n++
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, err
		}
	}
	if n < 50 {
		return nil, fmt.Errorf("%s has only %d authorities", rootsModule, n)
	}
	return out.Bytes(), nil
}

// tree returns the files below a directory.
func tree(dir string) (entries []entry, err error) {
	err = fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || path == ".":
			return err
		case d.IsDir():
			entries = append(entries, entry{path, fs.ModeDir | 0o755, nil})
			return nil
		}
		data, err := os.ReadFile(filepath.Join(dir, path))
		entries = append(entries, file(path, data))
		return err
	})
	return entries, err
}
