// Receive: takes a step's outputs as the engine sends them, and makes nothing on this machine that
// outputs may not be.

package buildkit

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"strings"
	"sync"
	"syscall"

	bkclient "github.com/moby/buildkit/client"

	"buildsys/internal/bytesize"
	"buildsys/internal/cache"
	"buildsys/internal/confined"
	"buildsys/internal/ctxio"
	"buildsys/internal/engine"
	"buildsys/internal/errkind"
	"buildsys/internal/plan"
)

// BuildKit's receiver of directories makes whatever the engine sends: devices, programs with a
// set-user-ID bit, links to anywhere, as much as there is. So the outputs are asked for as one tar
// stream, which every engine can send, and only what outputs may be is made of it, with modes of
// ours. Owners, times and attributes of files are no part of outputs, and left out. Everything else
// is an error that ends the build. (No engine sends sockets.)

// OutputError reports that a build wrote something that must not be published.
type OutputError struct {
	Name string // plan.Solve.Name
	File string // path inside the outputs; empty if all of them are meant
	Err  error
}

// Error names the file.
func (e *OutputError) Error() string {
	if e.File == "" {
		return fmt.Sprintf("outputs of %s: %v", e.Name, e.Err)
	}
	return fmt.Sprintf("outputs of %s: file %q: %v", e.Name, e.File, e.Err)
}

// ErrorKind returns errkind.Integrity.
func (*OutputError) ErrorKind() errkind.Kind { return errkind.Integrity }

// Unwrap returns what is wrong.
func (e *OutputError) Unwrap() error { return e.Err }

// maxNames bounds the bytes of all names and targets, which are kept until the last has come. A
// hundred thousand names of a usual length have a tenth of that.
const maxNames = 64 << 20

// capability is the attribute that gives a program rights of root, as its header in a tar has it.
const capability = "SCHILY.xattr.security.capability"

// Errors of a stream that is not what an engine sends.
var (
	errCut     = errors.New("the engine sent only a part of the outputs")
	errNothing = errors.New("the engine sent no outputs, and reported success")
	errTwice   = errors.New("the engine sent outputs a second time, or after the build had ended")
)

// receiver takes the outputs of one build into a directory.
type receiver struct {
	of     plan.Solve
	trees  bool // whether directories, and links between files, may be among them
	limits engine.Limits
	root   *os.Root
	stop   func(error) // ends the build
	keys   []keyPart   // of the private keys that the build was given

	mu     sync.Mutex
	stream *io.PipeWriter // nil until the engine begins to send
	done   chan struct{}  // closed when nothing more is written; nil until the engine begins
	closed bool
	err    error // after done: why the outputs cannot be used

	bytes   int64 // of files
	names   int   // bytes of names
	entries int
	files   []cache.File
}

// newReceiver returns a receiver into dir, an empty directory. If what comes is refused it calls
// stop.
func newReceiver(s plan.Solve, dir string, limits engine.Limits,
	stop func(error)) (*receiver, error) {
	root, err := confined.OpenDir(dir)
	if err != nil {
		return nil, errkind.Environmentf("outputs of %s: %w", s.Name, err)
	}
	return &receiver{of: s, trees: trees(s), limits: limits, root: root, stop: stop}, nil
}

// exports asks the engine for the outputs.
func (r *receiver) exports() []bkclient.ExportEntry {
	return []bkclient.ExportEntry{{Type: bkclient.ExporterTar, Output: r.open}}
}

// open begins to receive. The engine's client calls it, and then writes to what it returns.
func (r *receiver) open(map[string]string) (io.WriteCloser, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.stream != nil {
		return nil, errTwice
	}
	from, to := io.Pipe()
	r.stream, r.done = to, make(chan struct{})
	go func() {
		defer close(r.done)
		r.err = r.receive(from)
		_ = from.CloseWithError(r.err)
		if r.err != nil && !errors.Is(r.err, errCut) {
			r.stop(r.err)
		}
	}()
	return incoming{to, r}, nil
}

// incoming is what the engine writes to.
type incoming struct {
	*io.PipeWriter
	r *receiver
}

// Close reports to the engine what became of the outputs.
func (in incoming) Close() error {
	_ = in.PipeWriter.Close()
	<-in.r.done
	return in.r.err
}

// finish ends the reception: once it has returned, nothing is written any more. It returns why the
// outputs cannot be used, which may be the error of the solve.
func (r *receiver) finish(ctx context.Context, solve error) error {
	r.mu.Lock()
	r.closed = true
	stream, done := r.stream, r.done
	r.mu.Unlock()
	defer r.root.Close()
	switch {
	case stream == nil && solve == nil:
		return &OutputError{Name: r.of.Name, Err: errNothing}
	case stream == nil:
		return solve
	case solve != nil:
		_ = stream.CloseWithError(errCut)
	}
	select {
	case <-done:
	case <-ctx.Done():
		_ = stream.CloseWithError(errCut)
		<-done
	}
	if r.err != nil && !errors.Is(r.err, errCut) || solve == nil {
		return r.err
	}
	return solve
}

// refused reports whether finish has returned an error about the outputs, and not about the engine.
func refused(err error) bool {
	return errkind.Is[*OutputError](err) || errkind.Is[*engine.LimitError](err) ||
		errkind.Is[*hostError](err)
}

// hostError reports that this machine cannot hold the outputs.
type hostError struct {
	name string
	err  error
}

func (e *hostError) Error() string {
	return fmt.Sprintf("cannot write the outputs of %s: %v", e.name, e.err)
}

func (*hostError) ErrorKind() errkind.Kind { return errkind.Environment }

func (e *hostError) Unwrap() error { return e.err }

// full reports whether err is about a full disk of this machine.
func full(err error) bool {
	return errkind.Is[*hostError](err) &&
		(errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT))
}

func (r *receiver) host(err error) error {
	if err == nil {
		return nil
	}
	return &hostError{r.of.Name, err}
}

func (r *receiver) refuse(file, format string, args ...any) error {
	return &OutputError{Name: r.of.Name, File: file, Err: fmt.Errorf(format, args...)}
}

// ending notices the end of a stream: a tar has an end of its own, which comes before.
type ending struct {
	io.Reader
	ended bool
}

func (e *ending) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	e.ended = e.ended || err != nil
	return n, err
}

// receive makes the files of a tar.
func (r *receiver) receive(stream io.Reader) error {
	from := &ending{Reader: stream}
	for t := tar.NewReader(from); ; {
		h, err := t.Next()
		switch {
		case from.ended:
			return errCut
		case err == io.EOF:
			switch n, err := io.ReadFull(stream, make([]byte, 1)); {
			case n > 0:
				return r.refuse("", "the engine sent more after their end")
			case err != io.EOF:
				return errCut
			}
			return r.complete()
		case err != nil:
			return r.refuse("", "the engine sent what is no archive: %w", err)
		}
		err = r.take(h, t)
		if err != nil && from.ended && !errkind.Is[*OutputError](err) {
			return errCut
		}
		if err != nil {
			return err
		}
	}
}

// take makes one file. Everything that is above it came before and is a directory.
func (r *receiver) take(h *tar.Header, from io.Reader) error {
	name := strings.TrimSuffix(h.Name, "/")
	r.entries++
	r.names += len(name) + len(h.Linkname)
	if err := r.limits.Over(r.bytes, r.entries); err != nil {
		return err
	}
	if r.names > maxNames {
		return &engine.LimitError{What: "the names of its outputs have more than " +
			bytesize.Format(maxNames)}
	}
	if reason := cache.BadPath(name); reason != "" {
		return r.refuse(name, "%s", reason)
	}
	search := &keySearch{parts: r.keys}
	if _, _ = io.WriteString(search, name+"\x00"+h.Linkname); search.found != "" {
		return r.refuse("", "a name has a part of the private key %s in it", search.found)
	}
	mode := h.FileInfo().Mode()
	if name == r.of.Inside && mode.IsDir() {
		return nil
	}
	name = r.within(name)
	if up, err := r.root.Lstat(path.Dir(name)); err != nil || !up.IsDir() {
		return r.refuse(name, "it does not lie in a directory of the outputs")
	}
	if _, err := r.root.Lstat(name); err == nil {
		return r.refuse(name, "the engine sent it twice")
	}
	switch {
	case mode&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0:
		return r.refuse(name, "has the mode %v; setuid, setgid and sticky bits are not accepted", mode)
	case h.PAXRecords[capability] != "":
		return r.refuse(name, "has capabilities of root, which are not accepted")
	case ctxio.HasHoles(h):
		return r.refuse(name, "has holes in the archive, which no engine sends")
	case h.Typeflag == tar.TypeReg && mode.IsRegular():
		return r.write(name, h.Size, from)
	case h.Typeflag == tar.TypeLink && mode.IsRegular():
		return r.copyOf(name, r.within(path.Clean(h.Linkname)))
	case h.Typeflag == tar.TypeDir && mode.IsDir() && r.trees:
		if err := r.root.Mkdir(name, 0o700); err != nil {
			return r.host(err)
		}
		return r.host(r.root.Chmod(name, 0o755)) // the umask may be strict
	case h.Typeflag == tar.TypeSymlink && mode&fs.ModeSymlink != 0 && r.trees:
		if h.Linkname == "" {
			return r.refuse(name, "is a symbolic link without a target")
		}
		r.files = append(r.files, cache.File{Name: name, Link: h.Linkname})
		return nil
	}
	return r.refuse(name, "is a %s; only regular files are accepted", modeName(mode))
}

// within returns the name that an output has in the directory of outputs.
func (r *receiver) within(name string) string {
	if r.of.Inside == "" {
		return name
	}
	return strings.TrimPrefix(name, r.of.Inside+"/")
}

// count adds a file's bytes, before one of them is written.
func (r *receiver) count(size int64) error {
	r.bytes += min(size, math.MaxInt64-r.bytes)
	return r.limits.Over(r.bytes, r.entries)
}

// write makes a regular file.
func (r *receiver) write(name string, size int64, from io.Reader) error {
	if err := r.count(size); err != nil {
		return err
	}
	f, err := r.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return r.host(err)
	}
	search := &keySearch{parts: r.keys}
	_, err = io.Copy(io.MultiWriter(f, search), from)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if search.found != "" {
		return r.refuse(name, "has a part of the private key %s in it", search.found)
	}
	r.files = append(r.files, cache.File{Name: name, Size: size})
	return r.host(err)
}

// copyOf makes a hard link to a file that came before. It counts like another copy, which it
// becomes when a result is restored.
func (r *receiver) copyOf(name, of string) error {
	info, err := r.root.Lstat(of)
	if err != nil || !info.Mode().IsRegular() {
		return r.refuse(name, "is a link to %q, which is no file of the outputs", of)
	}
	if err := r.count(info.Size()); err != nil {
		return err
	}
	r.files = append(r.files, cache.File{Name: name, Size: info.Size()})
	return r.host(r.root.Link(of, name))
}

// complete makes the symbolic links, once all that they may lead to is there.
func (r *receiver) complete() error {
	if len(r.files) == 0 {
		return r.refuse("", "the build wrote no file; its recipe must write its outputs into /output")
	}
	if err := cache.CheckFiles(r.files); err != nil {
		bad := &OutputError{Name: r.of.Name, Err: err}
		if file, ok := errors.AsType[*cache.FileError](err); ok {
			bad.File, bad.Err = file.Name, file.Err
		}
		return bad
	}
	for _, f := range r.files {
		if f.Link == "" {
			continue
		}
		if err := r.root.Symlink(f.Link, f.Name); err != nil {
			return r.host(err)
		}
	}
	return nil
}
