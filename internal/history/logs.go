// logs: what the steps of a run printed, packed once a step has ended.

package history

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"buildsys/internal/builddir"
	"buildsys/internal/confined"
	"buildsys/internal/progress"
)

// packed is added to the name of a log that is packed.
const packed = ".zst"

// pack packs the log of a step that began for the nth time and has ended, in the background. If it
// fails, or the process is killed, the log stays as it is.
func (r *Recorder) pack(step string, n int) {
	if r.logs.Path(step) == "" {
		return
	}
	path := filepath.Join(r.dir, logsDir, builddir.LogName(step))
	r.packing.Go(func() {
		tmp := fmt.Sprintf("%s.%d.new", path, n) // of this one alone: the step may have begun again
		err := packFile(path, tmp)
		r.mu.Lock()
		defer r.mu.Unlock()
		if err != nil || r.parts[step] != n || r.file == nil || os.Rename(tmp, path+packed) != nil {
			_ = os.Remove(tmp)
			return
		}
		_ = os.Remove(path) // it is read first as long as it is there
	})
}

func packFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	w, err := zstd.NewWriter(out, zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(1<<20))
	if err == nil {
		_, err = io.Copy(w, in)
		err = errors.Join(err, w.Close())
	}
	return errors.Join(err, out.Close())
}

// Log opens what a step of the run printed. The error wraps fs.ErrNotExist if the run did not build
// it. A log that is still being written is read as far as it goes.
func (r Run) Log(step string) (io.ReadCloser, error) {
	dir := confined.Path{Root: r.dir, Name: logsDir}
	name := builddir.LogName(step)
	f, err := dir.Join(name).Open()
	if err == nil {
		return f, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if f, err = dir.Join(name + packed).Open(); err != nil {
		return nil, err
	}
	z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(16<<20),
		zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &unpacked{Reader: io.LimitReader(z, 2*maxLog), z: z, f: f}, nil
}

// unpacked is a packed log.
type unpacked struct {
	io.Reader
	z *zstd.Decoder
	f *os.File
}

// Close implements io.Closer.
func (u *unpacked) Close() error {
	u.z.Close()
	return u.f.Close()
}

// Events calls each with the events of the run, in order, without what steps printed.
func (r Run) Events(each func(progress.Event)) error {
	f, err := confined.Path{Root: r.dir, Name: eventsFile}.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	return progress.ReadJSON(io.LimitReader(f, maxEvents), each)
}
