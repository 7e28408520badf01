// fetch: looks up results and downloads their outputs.

package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"
	"golang.org/x/text/unicode/norm"

	"buildsys/internal/cache"
	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/oci"
)

// fetchAtOnce bounds the files of one result that are downloaded at once.
const fetchAtOnce = 4

// Lookup asks the caches for the result of an action, which is the hash of transcript, of a step.
// It costs one small request and transfers no output. A result that is refused is reported, and
// never returned again.
func (c *Cache) Lookup(ctx context.Context, id cache.ActionID, step,
	transcript string) (cache.Entry, bool) {
	if c == nil || c.isRefused(id) {
		return cache.Entry{}, false
	}
	for _, t := range c.from {
		var data []byte
		err := t.do(ctx, 0, func(ctx context.Context) (err error) {
			data, err = t.back.manifest(ctx, id.String())
			return err
		})
		var e cache.Entry
		if err == nil && len(data) > oci.MaxDocument {
			err = oci.Bad("its manifest has more than %d bytes", oci.MaxDocument)
		}
		if err == nil {
			if e, err = decodeManifest(data, id, step, transcript); err != nil {
				err = oci.Bad("%v", err)
			}
		}
		switch {
		case err == nil:
			e.Origin = t.place.String()
			c.hits.Add(1)
			return e, true
		case errkind.Is[oci.BadError](err):
			c.refuse(id, step, t, err)
		case ctx.Err() != nil:
			return cache.Entry{}, false
		}
	}
	return cache.Entry{}, false
}

// Fetch downloads the outputs of e, which Lookup returned in this run or an earlier one, into the
// empty directory dir, and checks every byte. After an error dir may hold some of them. A
// *RefusedError means that they are not what they should be, and that Lookup will not return them
// again; an *oci.LocalError means that this machine failed.
func (c *Cache) Fetch(ctx context.Context, e cache.Entry, dir string) error {
	root, err := confined.OpenDir(dir)
	if err != nil {
		return oci.Local(err)
	}
	defer root.Close()
	budget := c.o.Limits.budget(sizeOf(e))
	limited, cancel := context.WithTimeoutCause(ctx, budget, slowError{budget})
	defer cancel()
	if err := c.fetchFiles(limited, e, root); err != nil {
		if ctx.Err() == nil && limited.Err() != nil {
			return c.tooSlow(e, context.Cause(limited))
		}
		return err
	}
	if c.o.Accept != nil {
		open := func(f cache.File) (*os.File, error) { return root.Open(f.Name) }
		if err := c.o.Accept(e, open); err != nil {
			return c.Refuse(e, err)
		}
	}
	c.fetched.Add(1)
	return nil
}

// sizeOf returns the size of all outputs of e.
func sizeOf(e cache.Entry) (sum int64) {
	for _, f := range e.Files {
		sum += min(max(f.Size, 0), math.MaxInt64-sum)
	}
	return sum
}

// tooSlow counts a failure of the cache that e came from.
func (c *Cache) tooSlow(e cache.Entry, err error) error {
	for _, t := range c.from {
		if t.place.String() == e.Origin {
			return t.failed(err)
		}
	}
	return err
}

func (c *Cache) fetchFiles(ctx context.Context, e cache.Entry, root *os.Root) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(fetchAtOnce)
	for _, f := range e.Files {
		if parent := path.Dir(f.Name); parent != "." {
			if err := root.MkdirAll(parent, 0o755); err != nil {
				return errors.Join(c.notCreated(e, err), group.Wait())
			}
		}
		group.Go(func() error { return c.fetchFile(ctx, e, f, root) })
	}
	return group.Wait()
}

// Refuse records that the outputs of e are not what they should be, so that they are not used again
// in this run and a good result replaces them. It returns a *RefusedError.
func (c *Cache) Refuse(e cache.Entry, reason error) error {
	c.mu.Lock()
	c.refused[e.Action] = true
	c.mu.Unlock()
	return &RefusedError{Step: e.Step, Origin: e.Origin, Reason: reason}
}

func (c *Cache) refuse(id cache.ActionID, step string, t *target, reason error) {
	err := c.Refuse(cache.Entry{Action: id, Step: step, Origin: t.place.String()}, reason)
	c.o.Warn(err.Error())
}

func (c *Cache) isRefused(id cache.ActionID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused[id]
}

// RefusedError means that a result of a remote cache is not what it should be. It counts as a miss.
type RefusedError struct {
	Step   string
	Origin string // the remote cache
	Reason error
}

// Error returns the step, the cache and the reason.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("the result of %s in the remote cache %s is refused: %v",
		e.Step, e.Origin, e.Reason)
}

// Unwrap returns the reason.
func (e *RefusedError) Unwrap() error { return e.Reason }

func (c *Cache) fetchFile(ctx context.Context, e cache.Entry, f cache.File, root *os.Root) error {
	if f.Link != "" {
		return c.notCreated(e, root.Symlink(f.Link, f.Name))
	}
	to, err := root.OpenFile(f.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return c.notCreated(e, err)
	}
	err = c.fetchBlob(ctx, e, cache.Blob{SHA256: f.SHA256, Size: f.Size}, to)
	if e := errors.Join(to.Chmod(f.Mode), to.Close()); err == nil && e != nil {
		err = oci.Local(e)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	return nil
}

// notCreated returns the error for an output that cannot be created. A name that this file system
// cannot have, or only once, is no failure of this machine: the step can be built, as its names are
// what the recipe makes them.
func (c *Cache) notCreated(e cache.Entry, err error) error {
	for _, name := range []error{syscall.ENAMETOOLONG, syscall.EILSEQ, syscall.EINVAL} {
		if errors.Is(err, name) {
			return c.Refuse(e, err)
		}
	}
	if errors.Is(err, syscall.EEXIST) && foldedTwins(e.Files) {
		return c.Refuse(e, err)
	}
	return oci.Local(err)
}

// foldedTwins reports whether names differ only in case or in how their letters are composed, which
// some file systems ignore.
func foldedTwins(files []cache.File) bool {
	seen := map[string]bool{}
	for _, f := range files {
		name := norm.NFC.String(strings.ToLower(f.Name))
		if seen[name] {
			return true
		}
		seen[name] = true
	}
	return false
}

// fetchBlob fills the empty file to: from local files, from the cache that returned e, or else from
// the other caches.
func (c *Cache) fetchBlob(ctx context.Context, e cache.Entry, b cache.Blob, to *os.File) error {
	if b == oci.BlobOf(nil) {
		return nil
	}
	if c.o.Have != nil {
		if f, err := c.o.Have(b); err == nil {
			err = errors.Join(copyBlob(to, f, b), f.Close())
			if err == nil {
				return nil
			}
			if err := rewind(to); err != nil {
				return err
			}
		}
	}
	err := errors.New("there is no remote cache to read from")
	for pass := range 2 {
		for _, t := range c.from {
			if (t.place.String() == e.Origin) != (pass == 0) {
				continue
			}
			one := t.download(ctx, b, to)
			if one == nil || ctx.Err() != nil || errkind.Is[*oci.LocalError](one) {
				return one
			}
			// Parts of the result were deleted: a complete one shall replace it.
			if errkind.Is[oci.BadError](one) || errors.Is(one, ErrNotFound) && pass == 0 {
				return c.Refuse(e, one)
			}
			err = fmt.Errorf("%s: %w", t.place, one)
		}
	}
	return err
}

// download fills the empty file to with a blob.
func (t *target) download(ctx context.Context, b cache.Blob, to *os.File) error {
	return t.do(ctx, b.Size, func(ctx context.Context) error {
		if err := rewind(to); err != nil {
			return err
		}
		body, err := t.back.blob(ctx, b)
		if err != nil {
			return err
		}
		defer body.Close()
		return copyBlob(to, body, b)
	})
}

func rewind(f *os.File) error {
	_, err := f.Seek(0, io.SeekStart)
	return oci.Local(errors.Join(err, f.Truncate(0)))
}

// copyBlob copies a blob and checks that it is b. Errors from writing are LocalErrors.
func copyBlob(to io.Writer, from io.Reader, b cache.Blob) error {
	check := newVerifier(b)
	_, err := io.CopyBuffer(io.MultiWriter(check, oci.LocalWriter{Writer: to}),
		struct{ io.Reader }{from}, make([]byte, 128<<10))
	if err != nil {
		return err
	}
	return check.end()
}
