// build-kit: builds the packages of kits, and makes of each kit an image for others.

package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"buildsys/internal/builddir"
	"buildsys/internal/executor"
	"buildsys/internal/kit"
	"buildsys/internal/manifest"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/workspace"
)

func newBuildKitCommand(sys *System, s *settings) *cobra.Command {
	var want request
	cmd := &cobra.Command{
		Use:   "build-kit [NAME...]",
		Short: "Build kits: the RPMs of their packages as images for other trees",
		Long: `Builds the packages of the named kits and makes of each a repository of RPMs below build/kits/ARCH/NAME/, and an image
that other trees can use in the OCI layout build/kits/oci/NAME/. The image has a layer for each package, and an index of
the architectures that were built. Inside kits/NAME/ the name can be left out, as in a tree with one kit.

Started by the build script of a crate (cargo sets CARGO_MANIFEST_DIR), it makes that kit alone, of what cargo has built.

Its version is release-version of Twoliter.toml, which also says with which SDK the kit was made.
To publish: skopeo copy --all oci:build/kits/oci/NAME:vVERSION docker://REGISTRY/NAME:vVERSION

` + exitStatusHelp,
		RunE: func(cmd *cobra.Command, names []string) error {
			c, err := s.resolve(sys)
			if err != nil {
				return err
			}
			ws, err := workspace.Load(c.root, c.strictness)
			if err != nil {
				return err
			}
			unit, err := underCargo(sys, c, plan.Kit, names)
			if err != nil {
				return err
			}
			dir := workspace.Below(c.root, sys.Dir)
			if unit != "" {
				dir = "kits/" + unit
			}
			if want.kits, err = pickKits(ws, dir, names); err != nil {
				return err
			}
			if _, err := kitMetadata(c, ws, want.kits[0]); err != nil { // before the work, not after it
				return err
			}
			if unit != "" {
				return buildUnit(cmd.Context(), sys, c, want)
			}
			return build(cmd.Context(), sys, c, want)
		},
	}
	s.addBuildFlags(cmd.Flags())
	want.addVerifyFlag(cmd.Flags())
	return cmd
}

// pickKits settles which kits a command is about: the arguments, that of the directory dir below the root, or the only one.
func pickKits(ws *workspace.Workspace, dir string, names []string) ([]string, error) {
	known := ws.KitNames()
	if len(names) == 0 {
		if name := ws.KitIn(dir); name != "" {
			names = []string{name}
		} else if len(known) == 1 {
			names = known
		}
	}
	switch {
	case len(known) == 0:
		return nil, usageError{errors.New("the tree has no kit: kits/NAME/Cargo.toml makes one (docs/kits.md)")}
	case len(names) == 0:
		return nil, usageError{fmt.Errorf("no kit named: say which, or run inside kits/NAME/; there are: %s", strings.Join(known, ", "))}
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, noSuch("kit", name, known)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(names))), nil
}

// kitMetadata is what a kit of the tree says of itself: the kits that it needs are those of the tree that it leads to, and
// all kits of others, because its packages may have been built with any of them.
func kitMetadata(c config, ws *workspace.Workspace, name string) (kit.Metadata, error) {
	m := kit.Metadata{Name: name, Version: cmp.Or(c.versionImage, ws.Release.Version)}
	_, lock, _, err := kitTree(ws)
	if err != nil {
		return m, err
	}
	switch {
	case lock != nil && lock.SDK != nil:
		m.SDK = *lock.SDK
	case ws.Project != nil && ws.Project.SDK != nil:
		m.SDK.Image = *ws.Project.SDK
	default:
		return m, manifest.Problems{{File: "Twoliter.toml", Msg: "does not say with which SDK kits are made",
			Hint: "write [sdk] with name, version and vendor into it, and [vendor.NAME] with the registry of the SDK"}}
	}
	for _, below := range ws.KitsBelow(name) {
		m.Kits = append(m.Kits, manifest.Image{Name: below, Version: m.Version, Vendor: ws.Kits[below].Vendor})
	}
	if lock != nil {
		for _, l := range lock.Kits {
			m.Kits = append(m.Kits, l.Image)
		}
	}
	slices.SortFunc(m.Kits, func(a, b manifest.Image) int {
		return cmp.Or(strings.Compare(a.Vendor, b.Vendor), strings.Compare(a.Name, b.Name))
	})
	return m, nil
}

// packKits makes images of repositories that are in place.
func packKits(ctx context.Context, sys *System, c config, names []string) error {
	ws, err := workspace.Load(c.root, c.strictness)
	if err != nil {
		return err
	}
	unlock, err := builddir.Lock(ctx, filepath.Join(c.buildDir(), ".lock-kits"), func(holder string) {
		fmt.Fprintf(sys.Stderr, "waiting: another run is packing kits (%s)\n", holder)
	})
	if err != nil {
		return err
	}
	defer unlock()
	for _, name := range names {
		m, err := kitMetadata(c, ws, name)
		if err != nil {
			return err
		}
		state, _ := builddir.ReadState(c.stateDir(), string(plan.Kit)+"/"+name)
		dir := filepath.Join(c.buildDir(), "kits", "oci", name)
		packed, err := kit.Pack(kit.Repository{
			Arch: c.arch, Dir: builddir.Dir{Root: c.buildDir(), Arch: c.arch}.Kit(name), Content: state.Content.String(), Metadata: m,
			Fits: func(arch string) bool { return c.kitUpToDate(ctx, arch, name) },
		}, dir)
		if err != nil {
			return environmentError{fmt.Errorf("the image of kit %s cannot be written: %w", name, err)}
		}
		if packed.Other != "" {
			fmt.Fprintf(sys.Stderr, "kit %s: its image for %s was made of other inputs and is no part of it any more: build it again (--arch)\n", name, packed.Other)
		}
		fmt.Fprintf(sys.Stderr, "kit %s %s for %s: digest %s\n", name, m.Version, strings.Join(packed.Arches, " and "), packed.Digest)
		fmt.Fprintln(sys.Stdout, dir)
	}
	return nil
}

// kitUpToDate says whether a kit for another architecture is what a build would make now. It is asked before the two become one
// image: a kit must not be one thing here and another there.
func (c config) kitUpToDate(ctx context.Context, arch, name string) bool {
	c.arch, c.warn = arch, io.Discard
	p, err := makePlan(c, request{kits: []string{name}})
	if err != nil {
		return false
	}
	known, err := c.openCache(progress.Multi{})
	if err != nil {
		return false
	}
	forecast, err := executor.Foresee(ctx, p, known)
	return err == nil && forecast[len(forecast)-1].Outlook == executor.UpToDate
}
