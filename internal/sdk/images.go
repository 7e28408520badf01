// Images: the images that the steps of a run start from, held against those that its keys name.

package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"buildsys/internal/errkind"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/remote"
)

// Engine is what is asked of a build engine here.
type Engine interface {
	HasImage(ctx context.Context, ref string) (id string, ok bool, err error)
	ImportImage(ctx context.Context, ref string, rootfs io.Reader, labels map[string]string,
		read func(int64)) error
}

// ErrChanged reports that an engine's image is not the one that keys were computed with. The record
// was put right: computing the keys again gives those of the engine's image.
var ErrChanged = errors.New("the SDK image was replaced since the last run; run again")

// Images are the images that the steps of a run start from.
type Images struct {
	SDK       string   // reference
	Others    []string // references of those that a tree's own Dockerfile names besides
	Toolchain string   // beginning of the reference of that for a toolchain; may be empty
	BuildKit  bool     // the engine is a buildkitd, which keeps no images of its own
	Records   Records
	// where a missing SDK image may be; nil for nowhere
	Remote *remote.Cache
	Tell   func(kind progress.Kind, text string) // of what takes long or looks wrong
}

// Digests say which images keys were computed with. Empty ones are not known.
type Digests struct {
	SDK    string
	Others map[string]string // by reference
}

// Recorded returns the digests as an engine last told them.
func (i Images) Recorded() Digests {
	d := Digests{SDK: i.Records.Digest(i.SDK), Others: map[string]string{}}
	for _, ref := range i.Others {
		d.Others[ref] = i.Records.Digest(ref)
	}
	return d
}

// complete reports whether every digest is known but perhaps that of the SDK.
func (d Digests) complete() bool {
	for _, digest := range d.Others {
		if digest == "" {
			return false
		}
	}
	return true
}

// Know returns the digests that the keys of a run hold. When no engine was ever asked, a remote
// cache may tell, so that a machine without an engine computes the same keys as the one that filled
// the cache; else ask has to reach an engine and Confirm what it has.
func (i Images) Know(ctx context.Context, ask func(context.Context) error) (Digests, error) {
	d := i.Recorded()
	if d.SDK != "" && d.complete() {
		return d, nil
	}
	if there, ok := i.Remote.FindSDK(ctx, i.SDK); ok && d.complete() {
		d.SDK = there.ID
		return d, i.Records.Set(i.SDK, there.ID)
	}
	err := ask(ctx)
	return i.Recorded(), err
}

// Confirm makes sure that the engine has the images, records their digests, and returns ErrChanged
// when one of them is not what keyed says: then another process may have replaced it.
func (i Images) Confirm(ctx context.Context, eng Engine, keyed Digests) error {
	sdk, err := i.Find(ctx, eng)
	if err != nil {
		return err
	}
	if err := i.record(i.SDK, sdk); err != nil {
		return err
	}
	changed := keyed.SDK != "" && keyed.SDK != sdk
	for _, ref := range i.Others {
		digest, there, err := eng.HasImage(ctx, ref)
		if err != nil {
			return err
		}
		if !there {
			return i.missing(ref)
		}
		if err := i.record(ref, digest); err != nil {
			return err
		}
		changed = changed || keyed.Others[ref] != "" && keyed.Others[ref] != digest
	}
	if changed {
		return ErrChanged
	}
	i.compare(ctx, sdk)
	return nil
}

func (i Images) record(ref, digest string) error {
	if i.Records.Digest(ref) == digest {
		return nil
	}
	return errkind.BadEnvironment(i.Records.Set(ref, digest))
}

// compare warns when the remote caches hold results of another SDK image of the same name, which
// are of no use here.
func (i Images) compare(ctx context.Context, id string) {
	if there, ok := i.Remote.FindSDK(ctx, i.SDK); ok && there.ID != id {
		other := remote.OtherSDKError{Image: there.Image, Here: id, There: there.ID,
			Origin: there.Origin}
		i.Tell(progress.Warning, other.Error())
	}
}

// Find returns the digest of the engine's SDK image, which is first taken from a remote cache when
// the engine lacks it.
func (i Images) Find(ctx context.Context, eng Engine) (string, error) {
	if i.SDK == "" {
		return "", errkind.Usagef("this tree does not say in which image its steps run: " +
			"name it with BUILDSYS_SDK_IMAGE or --sdk-image")
	}
	digest, there, err := eng.HasImage(ctx, i.SDK)
	if err != nil || there {
		return digest, err
	}
	if digest, there, err = i.Fetch(ctx, eng); err != nil || there {
		return digest, err
	}
	switch {
	case strings.HasPrefix(i.SDK, plan.ContextPrefix):
		return "", errkind.Environmentf("the SDK image %s is not on the engine: run script/setup, "+
			"which makes it from sdk/, or name another image with --sdk-image", i.SDK)
	case i.BuildKit:
		return "", errkind.Environmentf("buildkitd cannot find the SDK image %s in its registry, "+
			"and it was not imported (buildsys sdk import)", i.SDK)
	}
	return "", errkind.Environmentf("the SDK image %s is not on the engine: pull it first "+
		"(docker pull %[1]s)", i.SDK)
}

// missing returns an error with what to do about an image of a tree's own Dockerfile that the
// engine lacks.
func (i Images) missing(ref string) error {
	from := fmt.Sprintf("the image %s, which the tree's Dockerfile starts from,", ref)
	name := ""
	if i.Toolchain != "" && strings.HasPrefix(ref, i.Toolchain) {
		name = ", or name another with BUILDSYS_TOOLCHAIN"
	}
	if i.BuildKit {
		return errkind.Environmentf("buildkitd cannot find %s in its registry%s", from, name)
	}
	return errkind.Environmentf("%s is not on the engine: pull it first (docker pull %s)%s",
		from, ref, name)
}
