// fetch: downloads the kits that Twoliter.lock names, and nothing else.

package kit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	spec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"buildsys/internal/atomicfile"
	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
	"buildsys/internal/oci"
)

// layersAtOnce bounds the layers of one kit that are downloaded at once.
const layersAtOnce = 4

// The names of kits and layers that are not complete begin with these.
const (
	newPrefix   = ".new-"
	layerPrefix = ".layer-"
)

// Fetch downloads the locked kits for an architecture. It asks the registry even about kits on this
// machine, to notice a tag that now leads to a different image; if the registry cannot be reached,
// it calls warn and uses the kit on this machine. It reports progress to say.
func (t Tree) Fetch(ctx context.Context, s Store, lock *manifest.Lock, arch string, say,
	warn func(string)) error {
	s.clean(time.Now())
	for _, kit := range lock.Kits {
		if err := t.fetchOne(ctx, s, kit, arch, say, warn); err != nil {
			return err
		}
	}
	return nil
}

// clean removes what fetches that were killed have left. Younger things may be of one that runs.
func (s Store) clean(now time.Time) {
	entries, _ := confined.List(s.Dir)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), newPrefix) && !strings.HasPrefix(e.Name(), layerPrefix) {
			continue
		}
		if info, err := e.Info(); err == nil && now.Sub(info.ModTime()) > 24*time.Hour {
			_ = os.RemoveAll(filepath.Join(s.Dir, e.Name())) // the next fetch tries again
		}
	}
}

func (t Tree) fetchOne(ctx context.Context, s Store, kit manifest.LockedImage, arch string, say,
	warn func(string)) error {
	src, err := t.open(kit.Image)
	if err != nil {
		return err
	}
	defer src.close()
	here, missing := s.Find(kit, arch)
	if missing == nil {
		if err := here.verify(ctx, nil); err != nil {
			warn(fmt.Sprintf("kit %s: %v; fetching it again", kit.Image, err))
			if err := os.RemoveAll(here.Dir); err != nil {
				return s.notStored(kit.Image, err)
			}
			here = nil
		}
	}
	data, err := src.index(ctx, "v"+kit.Version)
	if err != nil {
		err = readFault(ctx, src, kit.Image, err)
		if here != nil && errkind.Of(err) == errkind.Environment {
			warn(err.Error() + "; using the one on this machine")
			return nil
		}
		return err
	}
	if err := checkDigest(kit, data); err != nil {
		return err
	}
	if here != nil {
		say(fmt.Sprintf("kit %s for %s is already on this machine", kit.Image, arch))
		return nil
	}
	if err := s.putIndex(kit.Digest, data); err != nil {
		return s.notStored(kit.Image, err)
	}
	x, err := parseIndex(data)
	if err != nil {
		return fault(errkind.Integrity, kit.Image, "", "%v", err)
	}
	d, err := imageFor(x, kit.Image, arch)
	if err != nil {
		return err
	}
	say(fmt.Sprintf("fetching kit %s for %s", kit.Image, arch))
	return s.install(ctx, src, kit.Image, d, arch)
}

// checkDigest compares what a tag leads to with the lock.
func checkDigest(kit manifest.LockedImage, data []byte) error {
	got, err := Digest(data)
	if err != nil {
		return fault(errkind.Integrity, kit.Image, "", "its index is not JSON: %v", err)
	}
	if got != kit.Digest {
		return fault(errkind.Integrity, kit.Image, runUpdate,
			"%s now leads to a different image: its digest is %s, but %s in %s",
			kit.Source, got, kit.Digest, lockFile)
	}
	return nil
}

// readImage returns the manifest and the configuration of one image of an index, with digests
// checked.
func readImage(ctx context.Context, src source, d spec.Descriptor) (
	m spec.Manifest, c imageConfig, err error) {
	m, c, _, err = readImageConfig(ctx, src, d)
	return m, c, err
}

// readImageConfig is readImage, and returns the text of the configuration, too.
func readImageConfig(ctx context.Context, src source, d spec.Descriptor) (
	m spec.Manifest, c imageConfig, data []byte, err error) {
	data, err = src.manifest(ctx, d)
	if err == nil {
		err = unmarshal(data, &m, "manifest")
	}
	if err != nil {
		return m, c, data, err
	}
	b, err := oci.Blob(m.Config, oci.MaxDocument)
	if err != nil {
		return m, c, data, err
	}
	f, err := os.CreateTemp("", "buildsys-kit-*")
	if err != nil {
		return m, c, nil, oci.Local(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := src.blob(ctx, b, f); err != nil {
		return m, c, data, err
	}
	if data, err = readBack(f); err == nil {
		err = unmarshal(data, &c, "configuration")
	}
	return m, c, data, err
}

func readBack(f *os.File) ([]byte, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, oci.Local(err)
	}
	return io.ReadAll(f)
}

func unmarshal(data []byte, to any, what string) error {
	if err := oci.Decode(data, to); err != nil {
		return oci.Bad("its %s is not JSON: %v", what, err)
	}
	return nil
}

// install downloads and unpacks one image.
func (s Store) install(
	ctx context.Context, src source, i manifest.Image, d spec.Descriptor, arch string,
) error {
	err := s.unpack(ctx, src, i, d, arch)
	if local, ok := errors.AsType[*oci.LocalError](err); ok {
		return s.notStored(i, local)
	}
	if _, known := errors.AsType[*Error](err); known || err == nil {
		return err
	}
	return readFault(ctx, src, i, err)
}

// notStored wraps an error of this machine's file system.
func (s Store) notStored(i manifest.Image, err error) error {
	e := fault(errkind.Environment, i, "", "it cannot be stored in %s: %v", s.Dir, err)
	e.Err = err
	return e
}

func (s Store) unpack(
	ctx context.Context, src source, i manifest.Image, d spec.Descriptor, arch string,
) error {
	m, c, err := readImage(ctx, src, d)
	if err != nil {
		return err
	}
	if err := checkConfig(i, c, arch); err != nil {
		return err
	}
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return oci.Local(err)
	}
	dir, err := os.MkdirTemp(s.Dir, newPrefix)
	if err != nil {
		return oci.Local(err)
	}
	defer os.RemoveAll(dir) // the remains of a failure; on success dir has been renamed
	files, err := unpackLayers(ctx, src, m.Layers, dir, arch)
	if err != nil {
		return err
	}
	version, label := findLabel(c.Config.Labels)
	data, err := json.MarshalIndent(record{Arch: arch, Label: label, Version: version, Files: files},
		"", " ")
	if err == nil {
		err = atomicfile.ReplaceDurable(filepath.Join(dir, recordFile), data, 0o644)
	}
	if err = errors.Join(err, os.Chmod(dir, 0o755)); err != nil {
		return oci.Local(err)
	}
	if err := os.Rename(dir, s.dir(d)); err != nil {
		if _, e := s.load(d); e == nil { // another process was faster
			return nil
		}
		if e := os.RemoveAll(s.dir(d)); e != nil { // the existing one is damaged
			return oci.Local(e)
		}
		return oci.Local(os.Rename(dir, s.dir(d)))
	}
	return nil
}

// checkConfig compares the configuration of an image with what was asked for.
func checkConfig(i manifest.Image, c imageConfig, arch string) error {
	if rpmArch(c.Architecture) != arch {
		return fault(errkind.Integrity, i, "", "its image for %s is configured for %.100q", arch,
			c.Architecture)
	}
	m, err := decodeMetadata(c.Config.Labels)
	if err != nil {
		return fault(errkind.Integrity, i, "check registry of vendor "+i.Vendor+" in "+projectFile,
			"%v", err)
	}
	if m.Version != i.Version {
		return fault(errkind.Integrity, i, "ask the vendor: the tag v"+i.Version+" is on another kit",
			"its label is that of %s %s", m.Name, m.Version)
	}
	return nil
}

// unpackLayers downloads and unpacks the layers, several at once.
func unpackLayers(
	ctx context.Context, src source, layers []spec.Descriptor, dir, arch string,
) ([]File, error) {
	if len(layers) > maxLayers {
		return nil, oci.Bad("it has %d layers, more than %d", len(layers), maxLayers)
	}
	root, err := confined.OpenDir(dir)
	if err != nil {
		return nil, oci.Local(err)
	}
	defer root.Close()
	u := &unpacker{root: root, arch: arch}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(layersAtOnce)
	for _, d := range layers {
		group.Go(func() error { return u.fetch(ctx, src, d, filepath.Dir(dir)) })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(u.files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	if !slices.ContainsFunc(u.files, func(f File) bool { return strings.HasSuffix(f.Name, ".rpm") }) {
		return nil, oci.Bad("it contains no RPM")
	}
	return u.files, nil
}

// fetch downloads one layer completely and checks its digest before it is unpacked.
func (u *unpacker) fetch(ctx context.Context, src source, d spec.Descriptor, temp string) error {
	b, err := oci.Blob(d, maxTotal)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(temp, layerPrefix)
	if err != nil {
		return oci.Local(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := src.blob(ctx, b, f); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return oci.Local(err)
	}
	err = u.layer(ctx, d.MediaType, f)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil && !errkind.Is[*oci.LocalError](err) {
		return oci.Bad("%v", err)
	}
	return err
}
