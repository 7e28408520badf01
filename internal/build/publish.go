// publish: publishes the kits of a tree for other trees.

package build

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"buildsys/internal/bytesize"
	"buildsys/internal/errkind"
	"buildsys/internal/kit"
	"buildsys/internal/manifest"
	"buildsys/internal/remote"
	"buildsys/internal/workspace"
)

// PublishKit copies the image of a kit, as build-kit has made it, to the registry of a vendor,
// where its repository has the kit's name. It returns the image's name with its digest.
func (s *Session) PublishKit(ctx context.Context, ws *workspace.Workspace, name, registry string,
	replace bool) (string, error) {
	address := strings.TrimSuffix(registry, "/") + "/" + name
	if !strings.Contains(address, "://") {
		address = "oci://" + address
	}
	place, err := remote.ParseLocation(address, s.c.Root)
	if err != nil {
		return "", errkind.Usagef("the place to publish to: %w", err)
	}
	place.Named = true // the caller says it, so it gets the caller's credentials
	images, err := remote.OpenImages(place, remote.Limits{})
	if err != nil {
		return "", errkind.BadUsage(err)
	}
	defer images.Close()
	i := manifest.Image{Name: name, Vendor: ws.Kits[name].Vendor,
		Version: cmp.Or(s.c.Image.Version, ws.Release.Version)}
	p, err := kit.Publish(ctx, s.dir.KitImage(name), i, s.made(), images, replace)
	if err != nil {
		return "", err
	}
	what := fmt.Sprintf("kit %s %s for %s: ", name, i.Version, strings.Join(p.Arches, " and "))
	if p.There {
		s.out.Notice(what + place.Server() + " has it already")
	} else {
		s.out.Notice(what + fmt.Sprintf("uploaded to %s (%s)", place.Server(), bytesize.Format(p.Sent)))
	}
	s.out.Notice("its digest in the locks of other trees is " + p.Locked)
	return strings.TrimPrefix(place.String(), "oci://") + ":v" + i.Version + "@" + p.Digest, nil
}
