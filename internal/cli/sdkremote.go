// sdkremote: the SDK image in remote caches: what it is called, where a machine without it takes it from, who uploads it.

package cli

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
	"github.com/spf13/cobra"

	"buildsys/internal/bytesize"
	"buildsys/internal/cache"
	"buildsys/internal/progress"
	"buildsys/internal/remote"
)

// knowSDK finds out what SDK image every key holds, when no engine was ever asked: a remote cache can tell, so that a
// machine without an engine computes the same keys as the one that filled the cache.
func (n *connection) knowSDK(ctx context.Context) error {
	if n.c.recordedSDK() != "" && n.knowsImages() {
		return nil
	}
	if sdk, ok := n.remote.FindSDK(ctx, n.c.sdkImage); ok && n.knowsImages() {
		return n.c.recordSDK(sdk.ID)
	}
	_, err := n.connect(ctx)
	return err
}

// fetchSDK imports the SDK image from a remote cache.
func (n *connection) fetchSDK(ctx context.Context) (id string, ok bool, err error) {
	sdk, ok := n.remote.FindSDK(ctx, n.c.sdkImage)
	if !ok {
		return "", false, nil
	}
	n.say(progress.FetchProgress, fmt.Sprintf("taking the SDK image from %s (%s)",
		sdk.Origin, bytesize.Format(sdk.Rootfs.Size)))
	packed, err := os.CreateTemp(n.c.temporary(), "sdk-*.tar.zst")
	if err != nil {
		return "", false, environmentError{err}
	}
	defer os.Remove(packed.Name())
	defer packed.Close()
	if err := n.remote.FetchSDK(ctx, sdk, packed); err != nil {
		return "", false, environmentError{fmt.Errorf("the engine does not have the SDK image %s: %w", sdk.Image, err)}
	}
	if _, err := packed.Seek(0, io.SeekStart); err != nil {
		return "", false, environmentError{err}
	}
	tar, err := unpackSDK(packed, maxSDK)
	if err != nil {
		return "", false, environmentError{err}
	}
	defer tar.zstd.Close()
	if err := n.eng.ImportImage(ctx, sdk.Image, tar, nil, nil); err != nil {
		return "", false, err
	}
	id, ok, err = n.eng.HasImage(ctx, sdk.Image)
	if err == nil && id != sdk.ID {
		err = environmentError{fmt.Errorf("the SDK image %s from %s is %s and not %s, as it says there", sdk.Image, sdk.Origin, id, sdk.ID)}
	}
	return id, ok, err
}

const (
	maxSDK       = 32 << 30  // bytes of an SDK image's root file system, unpacked; Skiff's has 1 GB
	maxSDKWindow = 128 << 20 // bytes of memory that unpacking it may take
)

// unpacked is a root file system that is unpacked while it is read, and no bomb.
type unpacked struct {
	zstd *zstd.Decoder
	left int64 // bytes that may come
}

func unpackSDK(packed io.Reader, limit int64) (*unpacked, error) {
	d, err := zstd.NewReader(packed, zstd.WithDecoderMaxWindow(maxSDKWindow))
	return &unpacked{d, limit}, err
}

// Read fails when more comes than an SDK image has.
func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.zstd.Read(p)
	if u.left -= int64(n); u.left < 0 {
		return 0, environmentError{errors.New("the SDK image of the remote cache is refused: unpacked it is larger than any SDK image")}
	}
	return n, err
}

// compareSDK says so when the remote caches hold results of another SDK image of the same name, which are of no use here.
func (n *connection) compareSDK(ctx context.Context, id string) {
	if sdk, ok := n.remote.FindSDK(ctx, n.c.sdkImage); ok && sdk.ID != id {
		n.say(progress.Warning, (&remote.OtherSDKError{Image: sdk.Image, Here: id, There: sdk.ID, Origin: sdk.Origin}).Error())
	}
}

func (n *connection) say(kind progress.Kind, text string) {
	if n.sink != nil {
		n.sink.Event(progress.Event{Kind: kind, Text: text})
	}
}

// temporary is a directory for large files: the one for everybody's may be in memory.
func (c config) temporary() string {
	dir := filepath.Join(c.cacheDir, "sdk")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "" // CreateTemp then takes that one
	}
	return dir
}

func newSDKFetch(sys *System, s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "fetch",
		Short: "Import the tree's SDK image from a remote cache (--cache-from), in place of the one that is there",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withSDK(cmd, sys, s, func(cmd *cobra.Command, conn *connection) error {
				if err := conn.openRemote(false); err != nil {
					return err
				}
				defer conn.remote.Close(cmd.Context(), nil)
				id, ok, err := conn.fetchSDK(cmd.Context())
				if err != nil {
					return err
				}
				if !ok {
					return environmentError{fmt.Errorf("no remote cache (--cache-from) has the SDK image %s", conn.c.sdkImage)}
				}
				fmt.Fprintln(sys.Stdout, conn.c.sdkImage)
				return conn.c.recordSDK(id)
			})
		},
	}
}

// openRemote gives a command other than a build the remote caches: those that are read, or the one that is written.
func (n *connection) openRemote(write bool) (err error) {
	n.sink = warnings{n.sys.Stderr}
	o := remote.Options{From: n.c.cacheFrom, Warn: func(text string) { n.say(progress.Warning, text) }}
	if write {
		o.From, o.To = nil, n.c.cacheTo
	}
	if n.remote, err = remote.Open(o); err != nil {
		return usageError{err}
	}
	return nil
}

// packed is a copy of an SDK image's tar, made while it is imported.
type packed struct {
	file *os.File
	hash interface{ Sum([]byte) []byte }
	zstd *zstd.Encoder
}

func newPacked(dir string) (*packed, error) {
	f, err := os.CreateTemp(dir, "sdk-*.tar.zst")
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	p := &packed{file: f, hash: h}
	p.zstd, err = zstd.NewWriter(io.MultiWriter(f, h))
	return p, err
}

// Write packs what is read for the engine.
func (p *packed) Write(b []byte) (int, error) { return p.zstd.Write(b) }

func (p *packed) finish() (cache.Blob, error) {
	if err := p.zstd.Close(); err != nil {
		return cache.Blob{}, err
	}
	info, err := p.file.Stat()
	if err != nil {
		return cache.Blob{}, err
	}
	return cache.Blob{SHA256: [32]byte(p.hash.Sum(nil)), Size: info.Size()}, nil
}

func (p *packed) remove() {
	_ = p.file.Close()
	_ = os.Remove(p.file.Name())
}

// shareSDK uploads an SDK image that was just imported. The import stands whatever comes of it.
func (n *connection) shareSDK(ctx context.Context, p *packed, replace bool) error {
	rootfs, err := p.finish()
	if err != nil {
		return environmentError{err}
	}
	id, ok, err := n.eng.HasImage(ctx, n.c.sdkImage)
	if err != nil || !ok {
		return errors.Join(err, errors.New("the engine does not have the image that it has just imported"))
	}
	if err := n.openRemote(true); err != nil {
		return err
	}
	err = n.remote.PushSDK(ctx, remote.SDK{Image: n.c.sdkImage, ID: id, Rootfs: rootfs}, p.file, replace)
	n.remote.Close(ctx, nil)
	if err != nil {
		return environmentError{fmt.Errorf("the SDK image was imported but not uploaded to %s: %w", n.c.cacheTo, err)}
	}
	fmt.Fprintf(n.sys.Stderr, "uploaded to %s (%s)\n", n.c.cacheTo, bytesize.Format(rootfs.Size))
	return nil
}
