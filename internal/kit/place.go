// place: finds the location of the image of a kit or an SDK, from Twoliter.toml and
// Twoliter.override.

package kit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	spec "github.com/opencontainers/image-spec/specs-go/v1"

	"buildsys/internal/cache"
	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
	"buildsys/internal/oci"
	"buildsys/internal/remote"
)

const (
	projectFile  = "Twoliter.toml"
	overrideFile = "Twoliter.override"
	lockFile     = "Twoliter.lock"
	layoutScheme = "oci-layout:"
)

// source is a location that images are read from.
type source interface {
	// index returns the document that a tag leads to. If the tag does not exist, the error is a
	// remote.ErrNotFound.
	index(ctx context.Context, tag string) ([]byte, error)
	// manifest returns a manifest by its digest.
	manifest(ctx context.Context, d spec.Descriptor) ([]byte, error)
	// blob writes a blob into an empty file and checks it.
	blob(ctx context.Context, b cache.Blob, to *os.File) error
	// tags returns the tags for messages.
	tags(ctx context.Context) []string
	close()
}

// Tree is the root of a tree and its settings about images.
type Tree struct {
	Root      string // directory that paths in Twoliter.toml are relative to
	Project   *manifest.Project
	Overrides map[string]map[string]manifest.Override
	Limits    remote.Limits
	// Trusted means that the tree may name directories outside of it.
	Trusted bool
}

// ReadTree reads Twoliter.override, which belongs to a Twoliter.toml that was read before.
func ReadTree(root string, fsys fs.FS, p *manifest.Project) (Tree, error) {
	t := Tree{Root: root, Project: p}
	data, err := readSmall(fsys, overrideFile)
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return t, err
	}
	overrides, problems := manifest.ParseOverride(overrideFile, data)
	t.Overrides = overrides
	return t, problems.Err()
}

// ReadLock reads Twoliter.lock. It returns nil if there is none.
func ReadLock(fsys fs.FS) (*manifest.Lock, error) {
	data, err := readSmall(fsys, lockFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	lock, problems := manifest.ParseLock(lockFile, data)
	return lock, problems.Err()
}

// readSmall reads a file that is at most as large as a manifest may be.
func readSmall(fsys fs.FS, name string) ([]byte, error) {
	data, err := confined.ReadIn(fsys, name, manifest.MaxSize)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		if at := new(fs.PathError); errors.As(err, &at) {
			err = at.Err // the problem names the file
		}
		return nil, manifest.Problems{{File: name, Msg: "cannot be read: " + err.Error()}}
	}
	return data, err
}

// Source returns the location of an image as Twoliter.lock has it, without Twoliter.override.
func (t Tree) Source(i manifest.Image) string {
	return t.Project.Vendors[i.Vendor].Registry + "/" + i.Name + ":v" + i.Version
}

// place returns the registry and the repository of an image, with overrides.
func (t Tree) place(i manifest.Image) (registry, repository string, err error) {
	vendor, known := t.Project.Vendors[i.Vendor]
	if !known {
		return "", "", fault(errkind.Usage, i,
			fmt.Sprintf("add [vendor.%s] with registry = \"HOST/PATH\" to %s", i.Vendor, projectFile),
			"there is no vendor %q in %s", i.Vendor, projectFile)
	}
	o := t.Overrides[i.Vendor][i.Name]
	return cmp.Or(o.Registry, vendor.Registry), cmp.Or(o.Name, i.Name), nil
}

// ImageRef returns the name by which an engine pulls an image; empty if it is in no registry.
func (t Tree) ImageRef(i manifest.Image) string {
	registry, repository, err := t.place(i)
	if err != nil || strings.HasPrefix(registry, layoutScheme) {
		return ""
	}
	if _, rest, ok := strings.Cut(registry, "://"); ok {
		registry = rest
	}
	return registry + "/" + repository + ":v" + i.Version
}

// open returns the source of an image: a registry, as HOST/PATH or in the form of a remote cache's
// location, or a directory of OCI layouts, as oci-layout:DIRECTORY.
func (t Tree) open(i manifest.Image) (source, error) {
	registry, repository, err := t.place(i)
	if err != nil {
		return nil, err
	}
	if dir, ok := strings.CutPrefix(registry, layoutScheme); ok {
		return t.openLayout(i, dir, repository)
	}
	address := registry + "/" + repository
	if !strings.Contains(registry, "://") {
		address = "oci://" + address
	}
	at, err := remote.ParseLocation(address, t.Root)
	if err == nil && at.Dir != "" {
		err = errors.New("write a directory as oci-layout:PATH")
	}
	var images *remote.Images
	if err == nil {
		images, err = remote.OpenImages(at, t.Limits)
	}
	if err != nil {
		return nil, fault(errkind.Usage, i, "", "registry %q of vendor %s: %v", registry, i.Vendor, err)
	}
	return registrySource{images}, nil
}

// openLayout returns the OCI layout of an image. A tree that is not trusted names only what it has
// itself: what other checkouts of the machine have built may be nobody else's to see.
func (t Tree) openLayout(i manifest.Image, dir, repository string) (source, error) {
	at := confined.Path{Name: filepath.Join(dir, repository)}
	if !filepath.IsAbs(dir) {
		at.Name = filepath.Join(t.Root, at.Name)
	}
	if t.Trusted {
		return layoutSource{oci.Layout{Dir: at.Name}}, nil
	}
	own, inside := confined.In(t.Root, at.Name)
	err := own.Join("index.json").Check()
	if !inside || errors.Is(err, confined.ErrLink) {
		return nil, fault(errkind.Usage, i, "trust this tree (--trust-tree), or put the kit into a "+
			"registry", "%s%s leads out of the tree, and a tree may name only its own directories",
			layoutScheme, dir)
	}
	return layoutSource{oci.Layout{Dir: at.Name}}, nil
}

// registrySource reads images from a repository of a registry.
type registrySource struct{ *remote.Images }

func (s registrySource) index(ctx context.Context, tag string) ([]byte, error) {
	return s.Manifest(ctx, tag)
}

func (s registrySource) manifest(ctx context.Context, d spec.Descriptor) ([]byte, error) {
	return s.Manifest(ctx, d.Digest.String())
}

func (s registrySource) blob(ctx context.Context, b cache.Blob, to *os.File) error {
	return s.Blob(ctx, b, to)
}

func (s registrySource) tags(ctx context.Context) []string {
	tags, _ := s.Tags(ctx) // only for hints
	slices.Sort(tags)
	return tags
}

func (s registrySource) close() { s.Close() }

// readFault wraps an error from reading an image, with its kind and a hint.
func readFault(ctx context.Context, s source, i manifest.Image, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, remote.ErrNotFound):
		hint := "check the version, and registry of the vendor in " + projectFile
		if tags := s.tags(ctx); len(tags) > 0 {
			hint = "available: " + strings.Join(tags[max(0, len(tags)-8):], ", ")
		}
		e := fault(errkind.Usage, i, hint, "there is no such version")
		e.Err = err
		return e
	case errkind.Is[oci.BadError](err):
		e := fault(errkind.Integrity, i, "", "it is refused: %v", err)
		e.Err = err
		return e
	}
	e := fault(errkind.Environment, i, "", "it cannot be read: %v", err)
	e.Err = err
	return e
}
