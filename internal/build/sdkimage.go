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
	"buildsys/internal/engine"
	"buildsys/internal/errkind"
	"buildsys/internal/kit"
	"buildsys/internal/manifest"
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
	l, err := s.lockedSDK(ws)
	if err != nil || l == nil {
		return err
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
	id, there, err := e.eng.HasImage(ctx, s.c.SDK.Image)
	images := s.images(plan.Plan{}, nil, s.out)
	switch {
	case err == nil && there:
		return l.compare(ctx, e, images, id)
	case err != nil && (s.c.Engine.BuildKit == "" || s.c.Remote.Release || ctx.Err() != nil):
		return err
	case err != nil: // its registry does not answer here, but may for the buildkitd
		s.warn("whether the SDK image of the buildkitd is that of the lock is not known: " + err.Error())
		return nil
	case s.c.Engine.BuildKit != "":
		s.out.Notice("a buildkitd takes the SDK image " + s.c.SDK.Image + " from its registry itself")
		return nil
	}
	return l.load(ctx, e, images)
}

// lockedSDK is the SDK image that the tree's lock binds.
type lockedSDK struct {
	s    *Session
	tree kit.Tree
	lock manifest.LockedImage
}

// lockedSDK returns the SDK image of the tree's lock; nil if the lock does not bind the image that
// steps run in.
func (s *Session) lockedSDK(ws *workspace.Workspace) (*lockedSDK, error) {
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
	return &lockedSDK{s, t, *lock.SDK}, nil
}

// projectSDK is lockedSDK of a tree of which nothing else is read.
func (s *Session) projectSDK() (*lockedSDK, error) {
	dir, err := confined.OpenDir(s.c.Root)
	if err != nil {
		return nil, errkind.Environmentf("open the project tree: %w", err)
	}
	defer dir.Close()
	return s.lockedSDK(&workspace.Workspace{Root: s.c.Root, FS: dir.FS(),
		Project: workspace.ReadProject(dir.FS())})
}

// lockDigest returns the digest that the tree's lock has of the image that steps run in, or "".
// What is wrong with the lock is said by those who need it.
func (s *Session) lockDigest() string {
	if l, err := s.projectSDK(); err == nil && l != nil {
		return l.lock.Digest
	}
	return ""
}

// arch returns the architecture of the engine, by RPM's name.
func (e *engineLink) arch(ctx context.Context) (string, error) {
	info, err := e.eng.Info(ctx)
	return cmp.Or(info.Arch, map[string]string{"arm64": "aarch64"}[runtime.GOARCH], "x86_64"), err
}

// compare reports an image that the engine has under the name of the SDK and that is not the one of
// the lock.
func (l *lockedSDK) compare(ctx context.Context, e *engineLink, images sdk.Images,
	id string) error {
	want := images.Records.Locked(l.lock.Digest)
	if want != id { // unknown, or of an engine of before
		arch, err := e.arch(ctx)
		if err != nil {
			return err
		}
		data, err := l.tree.SDKConfig(ctx, l.lock, arch)
		if errkind.Of(err) == errkind.Integrity || ctx.Err() != nil {
			return err
		}
		if err != nil && want != "" {
			l.s.warn((&sdk.NotLockedError{Image: images.SDK}).Error())
			return nil
		}
		if err != nil {
			l.s.warn(fmt.Sprintf("the SDK image %s is already on the engine, and nothing says whether "+
				"it is the one that Twoliter.lock binds: %v", images.SDK, err))
			return nil
		}
		config, err := engine.ParseImageConfig(data)
		if err != nil {
			return errkind.Wrap(errkind.Integrity,
				fmt.Errorf("the configuration of the SDK image %s: %w", images.SDK, err))
		}
		want = config.ID()
		if err := images.Records.SetLocked(l.lock.Digest, want); err != nil {
			return err
		}
	}
	if want != id {
		l.s.warn((&sdk.NotLockedError{Image: images.SDK}).Error())
		return nil
	}
	l.s.out.Notice("the SDK image " + images.SDK + " is already on the engine")
	return nil
}

// load loads the image into the engine.
func (l *lockedSDK) load(ctx context.Context, e *engineLink, images sdk.Images) error {
	arch, err := e.arch(ctx)
	if err != nil {
		return err
	}
	l.s.out.Notice("fetching the SDK image " + images.SDK + " by the digest in Twoliter.lock")
	r, w := io.Pipe()
	saved := make(chan error, 1)
	go func() {
		err := l.tree.SaveSDK(ctx, l.lock, arch, images.SDK, images.Records.TempDir(), w)
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
	if err == nil {
		err = images.Records.SetLocked(l.lock.Digest, id)
	}
	if err != nil {
		return err
	}
	return images.Records.Set(images.SDK, id)
}

// FetchSDK imports the SDK image from a remote cache, replacing the existing one, or from the place
// that the lock has it from. Of the tree it reads only what names the SDK: packages with mistakes,
// or none at all, are not in its way.
func (s *Session) FetchSDK(ctx context.Context) error {
	locked, err := s.projectSDK()
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
		if err == nil && !ok && locked != nil && !images.BuildKit {
			return locked.load(ctx, e, images)
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
	return s.importSDK(ctx, s.c.SDK.Image, tar, replace, imported)
}

// importSDK is ImportSDK under a name.
func (s *Session) importSDK(ctx context.Context, name string, rootfs io.Reader, replace bool,
	imported func()) error {
	return s.withSDK(ctx, nil, func(e *engineLink, images sdk.Images) error {
		images.SDK = name
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
