// part: the locked temporary file of a download, and its move into the store.

package fetch

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"buildsys/internal/atomicfile"
	"buildsys/internal/confined"
	"buildsys/internal/ctxio"
)

var errNotRegular = errors.New("it is not a regular file")

// part is <name>.part, locked with flock against other processes and other goroutines of this one.
// The kernel drops the lock when its owner dies, so a lock is never stale. <name>.part.json beside
// it identifies the remote file that the bytes belong to.
type part struct {
	path string
	f    *os.File
	sum  hash.Hash // of the bytes so far
	size int64     // bytes so far
	from validator // what the bytes belong to; zero if they cannot be resumed
	// hidden says that nothing of the bytes may be shown: a tree named their place, and it may be
	// one that is not public.
	hidden bool
	plain  bool // some of it came without TLS
}

// validator identifies one version of a remote file, as well as its server allows: it has what
// If-Range needs to resume a download.
type validator struct {
	URL   string
	Range string // value for If-Range: a strong ETag or a strong Last-Modified
	Total int64  // bytes of the whole file; -1 if unknown
}

// errGone means that the owner of the temporary file renamed or removed it while this process
// waited for the lock.
var errGone = errors.New("the temporary file is gone")

// openPart opens and locks <final>.part, and creates it and its directory if needed. It calls
// waiting if another owner has the lock. After errGone, the caller must check whether the work is
// done.
func openPart(ctx context.Context, final string, waiting func()) (*part, error) {
	path := final + ".part"
	if err := mkdirAll(filepath.Dir(path)); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o644)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errGone // removed with its directory by an owner that found no source
	}
	if err != nil {
		return nil, storeError("create", path, err)
	}
	if err := lock(ctx, f, waiting); err != nil {
		return nil, err
	}
	mine, err1 := f.Stat()
	if err1 == nil && !mine.Mode().IsRegular() {
		f.Close()
		return nil, storeError("open", path, errNotRegular)
	}
	there, err2 := os.Lstat(path)
	if err1 != nil || err2 != nil || !os.SameFile(mine, there) {
		f.Close()
		return nil, errGone
	}
	return &part{path: path, f: f, sum: sha512.New(), from: readValidator(path)}, nil
}

// lock takes an exclusive flock on f, and closes f if that fails.
func lock(ctx context.Context, f *os.File, waiting func()) error {
	err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		waiting()
		got := make(chan error, 1)
		go func() { got <- flock(f, syscall.LOCK_EX) }()
		select {
		case err = <-got:
		case <-ctx.Done():
			// flock cannot be interrupted; the goroutine releases the lock as soon as it has it.
			go func() { <-got; f.Close() }()
			return context.Cause(ctx)
		}
	}
	if err != nil {
		f.Close()
		return storeError("lock", f.Name(), err)
	}
	return nil
}

func flock(f *os.File, how int) error {
	return atomicfile.Lock(f, how, "use another cache directory (BUILDSYS_CACHE_DIR)")
}

// reset drops all bytes.
func (p *part) reset() error {
	if err := p.forget(); err != nil {
		return err
	}
	if err := p.f.Truncate(0); err != nil {
		return storeError("truncate", p.path, err)
	}
	return p.rewind()
}

func (p *part) rewind() error {
	p.sum.Reset()
	p.size = 0
	if _, err := p.f.Seek(0, io.SeekStart); err != nil {
		return storeError("seek in", p.path, err)
	}
	return nil
}

// resume hashes the bytes kept from an earlier attempt at url, so that p is ready for more. If they
// cannot be used, it counts p as empty, but keeps the bytes until this or another place has better
// ones: they may be from a place that is asked later.
func (p *part) resume(ctx context.Context, url string) error {
	if err := p.rewind(); err != nil {
		return err
	}
	if p.from.URL != url || p.from.Range == "" {
		return nil
	}
	n, err := io.Copy(p.sum, ctxio.NewReader(ctx, p.f))
	if err != nil {
		return storeError("read", p.path, err)
	}
	p.size = n
	if p.from.Total >= 0 && n > p.from.Total {
		return p.reset()
	}
	return nil
}

// Write appends b to the file and to the hash. Errors are *StoreError.
func (p *part) Write(b []byte) (int, error) {
	n, err := p.f.Write(b)
	p.sum.Write(b[:n])
	p.size += int64(n)
	if err != nil {
		return n, storeError("write", p.path, err)
	}
	return n, nil
}

// wrong returns the attempt at a place whose bytes have the wrong sha512.
func (p *part) wrong(ctx context.Context, pl place, sum string) Attempt {
	if p.hidden {
		return Attempt{Place: pl.label, SHA512: sum, Hidden: true}
	}
	return Attempt{Place: pl.label, SHA512: sum, Size: p.size, Looks: p.describe(ctx)}
}

func (p *part) hex() string { return hex.EncodeToString(p.sum.Sum(nil)) }

// remember records what the bytes to come belong to.
func (p *part) remember(v validator) error {
	if v.Range == "" {
		return p.forget()
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := atomicfile.Replace(p.path+".json", b, 0o644); err != nil {
		return storeError("write", p.path+".json", err)
	}
	p.from = v
	return nil
}

func (p *part) forget() error {
	p.from = validator{}
	if err := os.Remove(p.path + ".json"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return storeError("remove", p.path+".json", err)
	}
	return nil
}

// maxValidator bounds a record: headers have at most 256 KiB.
const maxValidator = 1 << 20

// readValidator returns what was recorded beside path. A damaged record counts as none, so the
// download starts over.
func readValidator(path string) validator {
	var v validator
	at := confined.Path{Root: filepath.Dir(path), Name: filepath.Base(path) + ".json"}
	b, err := at.Read(maxValidator)
	if err != nil || json.Unmarshal(b, &v) != nil {
		return validator{}
	}
	return v
}

// commit makes the verified bytes durable and gives them their final name, below root. It does not
// use package atomicfile, because the temporary file must outlive its writer, and must be locked
// until it has its final name.
func (p *part) commit(final, root string) error {
	if err := p.f.Sync(); err != nil {
		return storeError("sync", p.path, err)
	}
	if err := p.forget(); err != nil {
		return err
	}
	if err := os.Rename(p.path, final); err != nil {
		return storeError("rename", p.path, err)
	}
	// The directories may be new: their own entries must be on the disk too.
	for _, dir := range []string{filepath.Dir(final), filepath.Dir(filepath.Dir(final)), root} {
		if err := atomicfile.Sync(dir); err != nil {
			return storeError("sync", dir, err)
		}
	}
	return nil
}

// release drops the lock. It keeps bytes only if a later run can resume them, and never on a full
// disk.
func (p *part) release(err error) {
	there, serr := os.Lstat(p.path)
	mine, merr := p.f.Stat()
	if serr == nil && merr == nil && os.SameFile(there, mine) { // not renamed into place
		if mine.Size() == 0 || p.from.Range == "" || err == nil || diskFull(err) {
			os.Remove(p.path + ".json")
			os.Remove(p.path)
			// Only empty directories go; a waiter creates them again.
			os.Remove(filepath.Dir(p.path))
			os.Remove(filepath.Dir(filepath.Dir(p.path)))
		}
	}
	p.f.Close()
}
