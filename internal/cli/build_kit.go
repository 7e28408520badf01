// build-kit: builds the packages of kits, and makes an image of each kit for other trees.

package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"buildsys/internal/build"
	"buildsys/internal/errkind"
	"buildsys/internal/plan"
	"buildsys/internal/workspace"
)

const buildKitHelp = `Builds the packages of the named kits. Of each kit it makes a repository of RPMs
in build/kits/ARCH/NAME/ and an image for other trees in the OCI layout
build/kits/oci/NAME/. The image has a layer for each package and an index of the
architectures that were built. Inside kits/NAME/, and in a tree with one kit,
the name can be left out.

A crate's build script that starts it (cargo sets CARGO_MANIFEST_DIR) gets that
kit alone, made of what cargo has built.

The version is release-version of Twoliter.toml, which also names the SDK that
the kit is made with. "buildsys publish kit" publishes it.`

func newBuildKitCommand(a *app) *cobra.Command {
	var want build.Request
	cmd := &cobra.Command{
		Use:   "build-kit [NAME...]",
		Short: "Build kits: the RPMs of their packages as images for other trees",
		Long:  buildKitHelp,
		RunE: func(cmd *cobra.Command, names []string) error {
			c, s, err := a.resolve()
			if err != nil {
				return err
			}
			ws, err := workspace.Load(c.Root, c.Strictness)
			if err != nil {
				return err
			}
			unit, err := a.cargoUnit(c, plan.Kit, names)
			if err != nil {
				return err
			}
			dir := workspace.Below(c.Root, a.sys.Dir)
			if unit != "" {
				dir = "kits/" + unit
			}
			if want.Kits, err = pickKits(ws, dir, names); err != nil {
				return err
			}
			if err := build.CheckKits(ws); err != nil {
				return err
			}
			if unit != "" {
				return a.buildUnit(cmd.Context(), s, want, c.Variant)
			}
			return a.build(cmd.Context(), s, want)
		},
	}
	a.addBuildFlags(cmd.Flags())
	addVerifyFlag(cmd.Flags(), &want)
	return cmd
}

// pickKits returns the kits that a command is about: those of the arguments, that of dir, a
// directory below the root, or the only one.
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
		return nil, errkind.Usagef("the tree has no kits: add kits/NAME/Cargo.toml (docs/kits.md)")
	case len(names) == 0:
		return nil, errkind.Usagef("no kit named: name one, or run inside kits/NAME/; there are: %s",
			strings.Join(known, ", "))
	}
	var kits []string
	for _, text := range names {
		name, err := workspace.ParseTarget(text).As(workspace.KitKind)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(known, name) {
			return nil, noSuch("kit", name, known)
		}
		kits = append(kits, name)
	}
	return slices.Compact(slices.Sorted(slices.Values(kits))), nil
}

// printKits describes the images of kits on standard error and prints their directories to w.
func (a *app) printKits(w io.Writer, kits []build.PackedKit) {
	for _, k := range kits {
		if k.Other != "" {
			fmt.Fprintf(a.sys.Stderr, "kit %s: its image for %s was made from other inputs and is "+
				"no longer part of it; build it again (--arch)\n", k.Name, k.Other)
		}
		fmt.Fprintf(a.sys.Stderr, "kit %s %s for %s: digest %s\n", k.Name, k.Version,
			strings.Join(k.Arches, " and "), k.Digest)
		fmt.Fprintln(w, k.Dir)
	}
}
