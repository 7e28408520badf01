// sdkimage: finds, fetches and imports the SDK image.

package build

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"runtime"

	"buildsys/internal/bytesize"
	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/kit"
	"buildsys/internal/plan"
	"buildsys/internal/remote"
	"buildsys/internal/sdk"
	"buildsys/internal/workspace"
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

// FetchLockedSDK loads the SDK image that the tree's lock names into the engine, unless that has
// it. It does nothing if steps run in another image, or if the lock has no digest of it. What is in
// the way of an engine is only a warning: kits and sources need none.
func (s *Session) FetchLockedSDK(ctx context.Context, ws *workspace.Workspace) error {
	load, err := s.lockedSDK(ws)
	if err != nil || load == nil {
		return err
	}
	if s.c.Engine.BuildKit != "" {
		s.out.Notice("a buildkitd takes the SDK image " + s.c.SDK.Image + " from its registry itself")
		return nil
	}
	e := &engineLink{s: s}
	defer e.close()
	if err := e.dial(ctx); err != nil {
		if ctx.Err() != nil {
			return err
		}
		s.warn("the SDK image was not fetched: " + err.Error())
		return nil
	}
	if _, there, err := e.eng.HasImage(ctx, s.c.SDK.Image); err != nil || there {
		if err == nil {
			s.out.Notice("the SDK image " + s.c.SDK.Image + " is already on the engine")
		}
		return err
	}
	return load(ctx, e, s.images(plan.Plan{}, nil, s.out))
}

// lockedSDK returns what loads the SDK image of the tree's lock into an engine; nil if the lock
// does not bind the image that steps run in.
func (s *Session) lockedSDK(ws *workspace.Workspace) (
	func(context.Context, *engineLink, sdk.Images) error, error) {
	t, lock, ok, err := kitTree(ws)
	if err != nil || !ok || lock == nil {
		return nil, err
	}
	if err := t.CheckLock(lock); err != nil {
		return nil, err
	}
	name := t.ImageRef(lock.SDK.Image) // empty if it is in no registry
	if lock.SDK.Digest == "" || name == "" || name != s.c.SDK.Image {
		return nil, nil
	}
	return func(ctx context.Context, e *engineLink, images sdk.Images) error {
		info, err := e.eng.Info(ctx)
		if err != nil {
			return err
		}
		s.out.Notice("fetching the SDK image " + images.SDK + " by the digest in Twoliter.lock")
		arch := cmp.Or(info.Arch, map[string]string{"arm64": "aarch64"}[runtime.GOARCH], "x86_64")
		r, w := io.Pipe()
		saved := make(chan error, 1)
		go func() {
			err := t.SaveSDK(ctx, *lock.SDK, arch, images.SDK, images.Records.TempDir(), w)
			_ = w.CloseWithError(err)
			saved <- err
		}()
		err = e.eng.LoadImage(ctx, r)
		_ = r.Close()                                    // the writer ends, too
		if bad := <-saved; errkind.Is[*kit.Error](bad) { // the engine says only that it ended
			return bad
		}
		if err != nil {
			return errkind.BadEnvironment(err)
		}
		id, ok, err := e.eng.HasImage(ctx, images.SDK)
		if err == nil && !ok {
			err = errkind.Environmentf("the engine has loaded the SDK image %s, and does not have it",
				images.SDK)
		}
		if err != nil {
			return err
		}
		return images.Records.Set(images.SDK, id)
	}, nil
}

// FetchSDK imports the SDK image from a remote cache, replacing the existing one, or from the place
// that the lock has it from. Of the tree it reads only what names the SDK: packages with mistakes,
// or none at all, are not in its way.
func (s *Session) FetchSDK(ctx context.Context) error {
	dir, err := confined.OpenDir(s.c.Root)
	if err != nil {
		return errkind.Environmentf("open the project tree: %w", err)
	}
	defer dir.Close()
	load, err := s.lockedSDK(&workspace.Workspace{Root: s.c.Root, FS: dir.FS(),
		Project: workspace.ReadProject(dir.FS())})
	if err != nil {
		return err
	}
	caches, err := s.openCaches(false)
	if err != nil {
		return err
	}
	defer caches.Close(ctx, nil)
	return s.withSDK(ctx, caches, func(e *engineLink, images sdk.Images) error {
		id, ok, err := images.Fetch(ctx, e.eng)
		if err == nil && !ok && load != nil && !images.BuildKit {
			return load(ctx, e, images)
		}
		if err == nil && !ok && images.SDK == "" {
			err = sdk.ErrUnnamed
		}
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
