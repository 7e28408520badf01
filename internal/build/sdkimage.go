// sdkimage: finds, fetches and imports the SDK image.

package build

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"buildsys/internal/bytesize"
	"buildsys/internal/errkind"
	"buildsys/internal/plan"
	"buildsys/internal/remote"
	"buildsys/internal/sdk"
)

// withSDK calls do with a connected engine and the SDK image. caches may be nil.
func (s *Session) withSDK(ctx context.Context, caches *remote.Cache,
	do func(*engineLink, sdk.Images) error) error {
	e := &engineLink{s: s}
	defer e.close()
	if err := e.dial(ctx); err != nil {
		return err
	}
	return do(e, s.images(plan.Plan{}, caches, s.out))
}

// CheckSDK fails if there is no engine or it does not have the SDK image. With ask, it is enough
// that a remote cache has the image: builds fetch it when they need it.
func (s *Session) CheckSDK(ctx context.Context, ask bool) error {
	return s.withSDK(ctx, nil, func(e *engineLink, images sdk.Images) error {
		_, err := images.Find(ctx, e.eng)
		if ask && err != nil && s.sharedSDK(ctx) {
			return nil
		}
		return err
	})
}

// sharedSDK reports whether a remote cache has the SDK image, so that builds can fetch it.
func (s *Session) sharedSDK(ctx context.Context) bool {
	if len(s.c.Remote.From) == 0 {
		return false
	}
	caches, err := s.openCaches(false)
	if err != nil {
		return false
	}
	defer caches.Close(ctx, nil)
	_, ok := caches.FindSDK(ctx, s.c.SDK.Image)
	return ok
}

// FetchSDK imports the SDK image from a remote cache, replacing the existing one.
func (s *Session) FetchSDK(ctx context.Context) error {
	caches, err := s.openCaches(false)
	if err != nil {
		return err
	}
	defer caches.Close(ctx, nil)
	return s.withSDK(ctx, caches, func(e *engineLink, images sdk.Images) error {
		id, ok, err := images.Fetch(ctx, e.eng)
		if err == nil && !ok {
			err = errkind.Environmentf("no remote cache (--cache-from) has the SDK image %s", images.SDK)
		}
		if err != nil {
			return err
		}
		return images.Records.Set(images.SDK, id)
	})
}

// ImportSDK imports the tar of a root file system as the SDK image, and uploads it if a remote
// cache is written to. With replace it replaces another image of the same name there. imported is
// called before the upload: the import holds even if that fails.
func (s *Session) ImportSDK(ctx context.Context, rootfs io.Reader, replace bool,
	imported func()) error {
	tar := bufio.NewReader(rootfs)
	if _, err := tar.Peek(1); err == io.EOF { // an engine would accept it, and every step would fail
		return errkind.Usagef("the root file system to import is empty")
	}
	rootfs = tar
	return s.withSDK(ctx, nil, func(e *engineLink, images sdk.Images) error {
		if s.c.Remote.To == (remote.Location{}) {
			return importOwn(ctx, e, images, rootfs, imported)
		}
		packed, err := sdk.NewPacked(images.Records.TempDir())
		if err != nil {
			return err
		}
		defer packed.Remove()
		rootfs = io.TeeReader(rootfs, packed)
		if err := importOwn(ctx, e, images, rootfs, imported); err != nil {
			return err
		}
		// The tar may go on after what the engine has read.
		if _, err := io.Copy(io.Discard, rootfs); err != nil {
			return errkind.BadEnvironment(err)
		}
		return s.shareSDK(ctx, e, images, packed, replace)
	})
}

// importOwn imports an SDK image that the caller has made.
func importOwn(ctx context.Context, e *engineLink, images sdk.Images, rootfs io.Reader,
	imported func()) error {
	err := e.eng.ImportImage(ctx, images.SDK, rootfs)
	if err == nil {
		err = images.Records.MadeHere(images.SDK)
	}
	if err == nil {
		imported()
	}
	return err
}

func (s *Session) shareSDK(ctx context.Context, e *engineLink, images sdk.Images,
	packed *sdk.Packed, replace bool) (err error) {
	if images.Remote, err = s.openCaches(true); err != nil {
		return err
	}
	sent, err := images.Share(ctx, e.eng, packed, replace)
	images.Remote.Close(ctx, nil)
	if err != nil {
		return errkind.Environmentf("the SDK image was imported but not uploaded to %s: %w",
			s.c.Remote.To, err)
	}
	s.out.Notice(fmt.Sprintf("uploaded to %s (%s)", s.c.Remote.To, bytesize.Format(sent)))
	return nil
}

// openCaches opens the remote caches outside of a build: those that are read from, or the one that
// is written to.
func (s *Session) openCaches(write bool) (*remote.Cache, error) {
	o := remote.Options{From: s.c.Remote.From, Warn: s.warn}
	if write {
		o.From, o.To = nil, s.c.Remote.To
	}
	caches, err := remote.Open(o)
	return caches, errkind.BadUsage(err)
}
