// images: the images that the steps of a run start from, compared with those in its keys.

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

// Engine is what this package asks of an engine.
type Engine interface {
	HasImage(ctx context.Context, ref string) (id string, ok bool, err error)
	ImportImage(ctx context.Context, ref string, rootfs io.Reader) error
}

// ErrChanged reports that an engine's image is not the one that keys were computed with. The record
// was corrected, so computing the keys again gives those of the engine's image.
var ErrChanged = errors.New("the SDK image was replaced since the last run; run again")

// ErrUnnamed reports that nothing names the SDK image. One in an OCI layout has no name.
var ErrUnnamed = errkind.Usagef("the tree does not name the image that its steps run in: " +
	"name it with BUILDSYS_SDK_IMAGE or --sdk-image")

// Images are the images that the steps of a run start from.
type Images struct {
	SDK       string   // reference
	Others    []string // references of the other images that a tree's own Dockerfile names
	Toolchain string   // prefix of the references of toolchain images; may be empty
	BuildKit  bool     // the engine is a buildkitd, which stores no images
	Records   Records
	// Remote may have a missing SDK image; nil for no remote caches.
	Remote *remote.Cache
	Tell   func(kind progress.Kind, text string) // shows what takes long or looks wrong
	// Lock is the digest that the tree's lock has of the SDK image, or "" if it binds none. Strict
	// makes an error of another image, which else is a warning.
	Lock   string
	Strict bool
	// StandsFor is the image that the recipe names, if SDK was made in its place of packages that its
	// lock does not name.
	StandsFor string
	// Trusts reports whether an image may be used that came from a remote cache. If it is nil, none
	// may.
	Trusts func(origin string) bool
}

// Digests identify the images that keys were computed with. Empty ones are unknown.
type Digests struct {
	SDK    string
	Others map[string]string // by reference
}

// Recorded returns the digests that an engine last reported, or for the SDK a remote cache, unless
// the image is one that this run does not trust: with its digest, results of steps that ran in it
// would count.
func (i Images) Recorded() Digests {
	d := Digests{SDK: i.Records.Digest(i.SDK), Others: map[string]string{}}
	if i.checkOrigin(d.SDK) != nil {
		d.SDK = ""
	}
	for _, ref := range i.Others {
		d.Others[ref] = i.Records.Digest(ref)
	}
	return d
}

// ShareID uploads the digest of the SDK image that results are made with, unless nobody but a cache
// that this run does not trust says that the image has it.
func (i Images) ShareID(d Digests) {
	if i.trusts(i.Records.claimed(i.SDK, d.SDK)) {
		i.Remote.ShareSDK(i.SDK, d.SDK)
	}
}

// complete reports whether all digests but that of the SDK are known.
func (d Digests) complete() bool {
	for _, digest := range d.Others {
		if digest == "" {
			return false
		}
	}
	return true
}

// Know returns the digests that the keys of a run contain. If no engine was ever asked, a remote
// cache may know them, so that a machine without an engine computes the same keys as the one that
// filled the cache. Otherwise Know calls ask, which must reach an engine and Confirm its images.
func (i Images) Know(ctx context.Context, ask func(context.Context) error) (Digests, error) {
	if i.StandsFor != "" {
		i.Tell(progress.Warning, fmt.Sprintf("the SDK image %s stands for %s: it was made of packages "+
			"that sdk/%s does not name, so results here are not those of other machines (buildsys sdk "+
			"build makes the one that is locked)", i.SDK, i.StandsFor, LockFile))
	}
	d := i.Recorded()
	if d.SDK != "" && d.complete() {
		return d, nil
	}
	if there, ok := i.Remote.FindSDK(ctx, i.SDK); ok && d.complete() {
		d.SDK = there.ID
		if err := i.Records.setClaimed(i.SDK, there.ID, there.Origin); err != nil {
			return d, err
		}
		return d, i.Records.Set(i.SDK, there.ID)
	}
	err := ask(ctx)
	return i.Recorded(), err
}

// Confirm checks that the engine has the images and records their digests. It returns ErrChanged if
// one of them differs from keyed, as another process may have replaced it.
func (i Images) Confirm(ctx context.Context, eng Engine, keyed Digests) error {
	sdk, err := i.Find(ctx, eng)
	if err != nil {
		return err
	}
	if err := i.record(i.SDK, sdk); err != nil {
		return err
	}
	if err := i.Records.remove(i.SDK, claimSuffix); err != nil { // the engine says so itself
		return err
	}
	if err := i.checkLock(sdk); err != nil {
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

// checkLock tells if the engine has another image under the name of the SDK than the one that the
// lock binds, as far as it is known which that is.
func (i Images) checkLock(digest string) error {
	locked := ""
	if i.Lock != "" {
		locked = i.Records.Locked(i.Lock)
	}
	if locked == "" || locked == digest {
		return nil
	}
	err := &NotLockedError{i.SDK}
	if i.Strict {
		return errkind.BadEnvironment(err)
	}
	i.Tell(progress.Warning, err.Error())
	return nil
}

// NotLockedError reports an image on an engine that is not the one that the lock binds.
type NotLockedError struct{ Image string }

func (e *NotLockedError) Error() string {
	return fmt.Sprintf("the SDK image %s of the engine has other content than the image that "+
		"Twoliter.lock binds: buildsys sdk fetch takes that; --sdk-image names another on purpose",
		e.Image)
}

func (i Images) record(ref, digest string) error {
	if i.Records.Digest(ref) == digest {
		return nil
	}
	return i.Records.Set(ref, digest)
}

// compare warns if the remote caches have results of another SDK image with the same name, which
// are useless here.
func (i Images) compare(ctx context.Context, id string) {
	if there, ok := i.Remote.FindSDK(ctx, i.SDK); ok && there.ID != id {
		other := remote.OtherSDKError{Image: there.Image, Here: id, There: there.ID,
			Origin: there.Origin}
		i.Tell(progress.Warning, other.Error())
	}
}

// Find returns the digest of the engine's SDK image. If the engine lacks it, Find first fetches it
// from a remote cache.
func (i Images) Find(ctx context.Context, eng Engine) (string, error) {
	if i.SDK == "" {
		return "", ErrUnnamed
	}
	digest, there, err := eng.HasImage(ctx, i.SDK)
	if err == nil && there {
		err = i.checkOrigin(digest)
	}
	if err != nil || there {
		return digest, err
	}
	if digest, there, err = i.Fetch(ctx, eng); err != nil || there {
		return digest, err
	}
	switch {
	case strings.HasPrefix(i.SDK, plan.ContextPrefix):
		return "", errkind.Environmentf("the SDK image %s is not on the engine: buildsys sdk build "+
			"makes it from sdk/, or name another image with --sdk-image", i.SDK)
	case i.BuildKit:
		return "", errkind.Environmentf("buildkitd cannot find the SDK image %s in its registry, "+
			"and it was not imported (buildsys sdk import)", i.SDK)
	}
	return "", errkind.Environmentf("the SDK image %s is not on the engine: pull it first "+
		"(docker pull %[1]s)", i.SDK)
}

// trusts reports whether this run trusts an origin, which is empty for this machine.
func (i Images) trusts(origin string) bool {
	return origin == "" || i.Trusts != nil && i.Trusts(origin)
}

// checkOrigin returns an error if the engine's SDK image is one that this run does not trust. It
// may have been fetched by a run for another tree.
func (i Images) checkOrigin(digest string) error {
	origin := i.Records.origin(i.SDK, digest)
	if i.trusts(origin) {
		return nil
	}
	return errkind.Environmentf("the SDK image %s was fetched from %s, and this run takes nothing "+
		"from there (--cache-from, --release): import it again from a root file system that you "+
		"trust, with buildsys sdk import", i.SDK, origin)
}

// missing returns the error about an image of a tree's own Dockerfile that the engine lacks.
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
