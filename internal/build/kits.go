// kits: packs the kits of the tree as images for other trees.

package build

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"buildsys/internal/builddir"
	"buildsys/internal/errkind"
	"buildsys/internal/executor"
	"buildsys/internal/kit"
	"buildsys/internal/manifest"
	"buildsys/internal/plan"
	"buildsys/internal/workspace"
)

// PackedKit is the image of a kit.
type PackedKit struct {
	Name    string
	Version string
	Dir     string   // of its OCI layout
	Arches  []string // that it is for
	Digest  string
	// Other is an architecture that the image had before and has no more, because it was made from
	// other inputs.
	Other string
}

// CheckKits fails if the tree lacks what the images of its kits need, so that this is known before
// the packages are built.
func CheckKits(ws *workspace.Workspace) error {
	_, _, err := kitSDK(ws)
	return err
}

// kitSDK returns the SDK that the kits of a tree are made with, and the tree's lock.
func kitSDK(ws *workspace.Workspace) (image manifest.LockedImage, lock *manifest.Lock, err error) {
	_, lock, _, err = kitTree(ws)
	switch {
	case err != nil:
		return image, nil, err
	case lock != nil && lock.SDK != nil:
		return *lock.SDK, lock, nil
	case ws.Project != nil && ws.Project.SDK != nil:
		return manifest.LockedImage{Image: *ws.Project.SDK}, lock, nil
	}
	return image, nil, manifest.Problems{{File: "Twoliter.toml",
		Msg:  "does not name the SDK that kits are made with",
		Hint: "add [sdk] with name, version and vendor, and [vendor.NAME] with the registry of the SDK"}}
}

// kitMetadata returns the metadata of a kit of the tree. The kits it needs are those of the tree
// below it and all external kits, because its packages may have been built with any of them.
func (s *Session) kitMetadata(ws *workspace.Workspace, name string) (kit.Metadata, error) {
	m := kit.Metadata{Name: name, Version: cmp.Or(s.c.Image.Version, ws.Release.Version)}
	image, lock, err := kitSDK(ws)
	if err != nil {
		return m, err
	}
	m.SDK = image
	for _, below := range ws.KitsBelow(name) {
		own := manifest.Image{Name: below, Version: m.Version, Vendor: ws.Kits[below].Vendor}
		m.Kits = append(m.Kits, own)
	}
	if lock != nil {
		for _, l := range lock.Kits {
			m.Kits = append(m.Kits, l.Image)
		}
		m.Label = s.kitLabel(lock)
	}
	slices.SortFunc(m.Kits, func(a, b manifest.Image) int {
		return cmp.Or(strings.Compare(a.Vendor, b.Vendor), strings.Compare(a.Name, b.Name))
	})
	return m, nil
}

// kitLabel returns the version of the label of the locked kits, which trees that use those beside a
// kit of this tree must be able to read; 0 if there are none.
func (s *Session) kitLabel(lock *manifest.Lock) int {
	version, of := 0, ""
	for _, l := range lock.Kits {
		k, err := s.kits().Find(l, s.c.Arch)
		if err != nil { // the plan has reported it
			continue
		}
		if version != 0 && k.Label != version {
			s.warn(fmt.Sprintf("kit %s has a label of version v%d, but kit %s one of v%d: Twoliter takes "+
				"kits of one version only", l.Image, k.Label, of, version))
		}
		if k.Label > version {
			version, of = k.Label, l.Image.String()
		}
	}
	return version
}

// packKits makes images of the repositories of kits, which are in place.
func (s *Session) packKits(ctx context.Context, names []string) ([]PackedKit, error) {
	ws, err := workspace.Load(s.c.Root, s.c.Strictness)
	if err != nil {
		return nil, err
	}
	unlock, err := builddir.Lock(ctx, s.c.Root, s.dir.KitsLock(), s.waitingFor("packing kits"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	var all []PackedKit
	for _, name := range names {
		packed, err := s.packKit(ctx, ws, name)
		if err != nil {
			return all, err
		}
		all = append(all, packed)
	}
	return all, nil
}

func (s *Session) packKit(ctx context.Context, ws *workspace.Workspace, name string) (PackedKit,
	error) {
	m, err := s.kitMetadata(ws, name)
	if err != nil {
		return PackedKit{}, err
	}
	state, _ := builddir.ReadState(s.dir.State(), string(plan.Kit)+"/"+name)
	p := PackedKit{Name: name, Version: m.Version, Dir: s.dir.KitImage(name)}
	packed, err := kit.Pack(kit.Repository{
		Arch:     s.c.Arch,
		Top:      s.c.Root,
		Dir:      s.dir.Kit(name),
		Content:  state.Content.String(),
		Metadata: m,
		Made:     s.made(),
		Fits:     func(arch string) bool { return s.kitUpToDate(ctx, arch, name) },
	}, p.Dir)
	if err != nil {
		return p, errkind.Environmentf("cannot write the image of kit %s: %w", name, err)
	}
	p.Arches, p.Digest, p.Other = packed.Arches, packed.Digest, packed.Other
	return p, nil
}

// kitUpToDate reports whether a kit for another architecture is what a build would make now. Only
// then do the two become one image: a kit must have the same contents for all architectures.
func (s *Session) kitUpToDate(ctx context.Context, arch, name string) bool {
	other := s.with(s.c.WithArch(arch))
	other.out = silent{}
	forecast, err := other.Foresee(ctx, Request{Kits: []string{name}}, false)
	return err == nil && forecast[len(forecast)-1].Outlook == executor.UpToDate
}
