// imagerpms: the RPMs that the files of an image came from. An image lists its packages by name and
// version; the store and the checkout have RPMs of that name, and the image's own bytes decide
// between them.

package build

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"buildsys/internal/cache"
	"buildsys/internal/confined"
	"buildsys/internal/contents"
	"buildsys/internal/ctxio"
	"buildsys/internal/image"
	"buildsys/internal/plan"
	"buildsys/internal/rpm"
)

// rpmFile is an RPM that may be in an image.
type rpmFile struct {
	name string // of the file
	sum  [32]byte
	open func() (*os.File, error)
	step string   // "package/less", or ""
	keys []string // of the steps that made these bytes
}

// Owners returns the RPMs that brought the files of an image. made is what the store knows of its
// build, or nil.
func (s *Session) Owners(ctx context.Context, img *contents.Image, made *cache.Entry) (
	*contents.Owners, error) {
	packages, prefix, err := img.Inventory()
	if err != nil {
		return nil, fmt.Errorf("%s does not say which packages it has: %w", img.Name, err)
	}
	known, err := s.rpmFiles(packages, prefix)
	if err != nil {
		return nil, err
	}
	seen := map[string]string{}
	if made != nil {
		seen = cache.SeenFiles(made.Transcript, cache.Nodes{Dir: s.dir.Nodes()}.Get)
	}
	var rpms []*contents.RPM
	var unknown []image.Package
	left := maxOwned
	for _, p := range packages {
		r, err := s.rpmOf(ctx, img, p, thoseSeen(known[fileOf(p)], seen))
		switch {
		case err != nil:
			return nil, err
		case r == nil && isMetadata(p):
		case r == nil:
			unknown = append(unknown, p)
		default:
			for name := range r.Files {
				left -= len(name)
			}
			if left < 0 {
				return nil, fmt.Errorf("the RPMs have file names of more than %d MiB", maxOwned>>20)
			}
			rpms = append(rpms, r)
		}
	}
	return contents.NewOwners(img, rpms, unknown), nil
}

// maxOwned bounds the bytes of the names of all files of an image's RPMs; those of a distribution
// have some 50 MiB.
const maxOwned = 512 << 20

// thoseSeen returns the RPMs that the step of the image saw, or all if that is not known.
func thoseSeen(all []rpmFile, seen map[string]string) []rpmFile {
	for _, one := range all {
		if sum := seen[one.name]; sum != "" && strings.HasPrefix(hex.EncodeToString(one.sum[:]), sum) {
			return []rpmFile{one}
		}
	}
	return all
}

// isMetadata reports whether a package is one that the step of the image makes, without files, to
// say what the image is (tools/image/rpmhelper).
func isMetadata(p image.Package) bool {
	return (p.Name == "metadata" || strings.HasPrefix(p.Name, "metadata-")) && p.Version == "1.0" &&
		p.Release == "1"
}

// fileOf returns the name of a package's file, without the prefix of the OS.
func fileOf(p image.Package) string {
	return fmt.Sprintf("%s-%s-%s.%s.rpm", p.Name, p.Version, p.Release, p.Architecture)
}

// rpmFiles returns the RPMs that the store and the checkout have of packages, by fileOf. Those of
// equal bytes are one; what is in the store comes first, because its step is known.
func (s *Session) rpmFiles(packages []image.Package, prefix string) (map[string][]rpmFile, error) {
	wanted := map[string]string{}
	for _, p := range packages {
		wanted[fileOf(p)], wanted[prefix+fileOf(p)] = fileOf(p), fileOf(p)
	}
	store, err := s.openStore(s.out)
	if err != nil {
		return nil, err
	}
	begin, end := string(plan.Package)+"/", " "+s.c.Arch
	entries, err := store.Entries(func(step string) bool {
		return strings.HasPrefix(step, begin) && strings.HasSuffix(step, end)
	})
	if err != nil {
		return nil, err
	}
	found := map[string][]rpmFile{}
	for _, e := range entries {
		for _, f := range e.Files {
			of, ok := wanted[path.Base(f.Name)]
			b := cache.Blob{SHA256: f.SHA256, Size: f.Size}
			if ok && s.believes(e) && store.HasBlob(b) {
				found[of] = addRPM(found[of], rpmFile{path.Base(f.Name), f.SHA256,
					func() (*os.File, error) { return store.OpenBlob(b) },
					strings.TrimSuffix(e.Step, end), []string{e.Action.String()}})
			}
		}
	}
	return found, s.addFromCheckout(found, wanted)
}

// addRPM adds an RPM, or the key of another step that made the same bytes.
func addRPM(all []rpmFile, one rpmFile) []rpmFile {
	i := slices.IndexFunc(all, func(other rpmFile) bool { return other.sum == one.sum })
	if i < 0 {
		return append(all, one)
	}
	if len(all[i].keys) < maxKeys {
		all[i].keys = append(all[i].keys, one.keys...)
	}
	return all
}

// maxKeys bounds how many builds of the same bytes are told apart.
const maxKeys = 256

// addFromCheckout adds the RPMs below build/, for trees whose store is gone.
func (s *Session) addFromCheckout(found map[string][]rpmFile, wanted map[string]string) error {
	root, err := confined.OpenDir(s.c.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	rel, err := filepath.Rel(s.c.Root, filepath.Dir(s.dir.RPMs("x")))
	if err != nil {
		return err
	}
	top, err := confined.OpenDirIn(root, rel) // never outside of the tree
	if err != nil {
		return nil // nothing was built here
	}
	defer top.Close()
	files, err := confined.Glob(top.FS(), "*/*.rpm")
	if err != nil {
		return err
	}
	for _, file := range files {
		of, ok := wanted[path.Base(file)]
		if !ok || len(found[of]) > 0 {
			continue
		}
		at := confined.Path{Root: s.c.Root, Name: filepath.Join(rel, filepath.FromSlash(file))}
		found[of] = append(found[of], rpmFile{name: path.Base(file), open: at.Open,
			step: string(plan.Package) + "/" + path.Dir(file)})
	}
	return nil
}

// rpmOf returns the RPM of a package in an image, nil if none is known. Of several with one name it
// is the one of which the image has the most files.
func (s *Session) rpmOf(ctx context.Context, img *contents.Image, p image.Package,
	candidates []rpmFile) (*contents.RPM, error) {
	var best *contents.RPM
	most := -1
	for _, c := range candidates {
		r, err := c.read(ctx)
		if err != nil {
			s.warn(fmt.Sprintf("the RPM %s is not read: %v", c.name, err))
			continue
		}
		r.Name = p.Name
		if len(candidates) == 1 {
			return r, nil
		}
		same, _, err := img.Matches(ctx, r)
		if err != nil {
			return nil, err
		}
		if same > most {
			best, most = r, same
		}
	}
	return best, nil
}

// read reads the header of the RPM. The bytes of one in the store are those that its name says.
func (c rpmFile) read(ctx context.Context) (*contents.RPM, error) {
	f, err := c.open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := rpm.ReadInfo(ctxio.NewReader(ctx, f))
	if err != nil {
		return nil, err
	}
	r := &contents.RPM{Name: info.Name, Version: info.Version, Release: info.Release,
		Arch: info.Arch, File: c.name, Source: info.Source, Keys: c.keys,
		Package: strings.TrimPrefix(c.step, string(plan.Package)+"/"),
		Files:   map[string]contents.RPMFile{}}
	for _, one := range info.Files {
		if !one.Ghost {
			r.Files[contents.InImage(one.Path)] = contents.RPMFile{Mode: one.Mode, Size: one.Size,
				Digest: one.SHA256, Target: one.Target}
		}
	}
	return r, nil
}

// Inputs is what two builds of a step were made from.
type Inputs struct {
	Step    string
	Changes []cache.Change
	// Known is false if the store has one of them no more.
	Known bool
}

// ChangedInputs returns how the inputs of two builds differ. Each may be one of several, by the
// keys of their steps, as the same bytes come from different inputs: it is the two that differ
// least.
func (s *Session) ChangedInputs(before, after []string) (Inputs, error) {
	store, err := s.openStore(s.out)
	if err != nil {
		return Inputs{}, err
	}
	nodes := cache.Nodes{Dir: s.dir.Nodes()}
	best := Inputs{}
	for _, was := range peek(store, before) {
		for _, is := range peek(store, after) {
			changes := cache.Explain(was.Transcript, is.Transcript, nodes.Get)
			if !best.Known || len(changes) < len(best.Changes) {
				best = Inputs{Step: is.Step, Known: true, Changes: changes}
			}
		}
	}
	return best, nil
}

// peek returns the entries that the store has of keys.
func peek(store *cache.Store, keys []string) (entries []cache.Entry) {
	for _, key := range keys {
		if id, err := cache.ParseActionID(key); err == nil {
			if e, ok := store.Peek(id); ok {
				entries = append(entries, e)
			}
		}
	}
	return entries
}
