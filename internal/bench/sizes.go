// How long buildsys takes to see that there is nothing to do, as trees grow. No engine is used.

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"buildsys/internal/cli"
	"buildsys/internal/engine"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/treegen"
)

// size has the figures of buildsys plan for one size of tree.
type size struct {
	packages int
	wall     float64 // seconds, median
	// cpu is processor time in seconds, median; it says more than wall on a busy machine.
	cpu float64
	rss float64 // MiB
}

// sizesTimed times trees from 10 packages, doubling up to the given number.
func sizesTimed(ctx context.Context, m machine, most int) ([]size, error) {
	var all []size
	for n := 10; n <= most; n *= 2 {
		one, err := sizeTimed(ctx, m, n)
		if err != nil {
			return all, fmt.Errorf("planning %d packages: %w", n, err)
		}
		fmt.Fprintf(m.Log, "planning %d packages: %.3f s, %.0f MiB\n", n, one.wall, one.rss)
		all = append(all, one)
	}
	return all, nil
}

func sizeTimed(ctx context.Context, m machine, n int) (size, error) {
	dir, err := sizesDir(m)
	if err != nil {
		return size{}, err
	}
	defer os.RemoveAll(dir)
	// In a separate process: Linux counts the memory of a process as that of the processes it
	// starts.
	made := command{dir: dir, args: []string{m.Self, "-make-sized", fmt.Sprint(n)}}
	if _, err := made.run(ctx, false); err != nil {
		return size{}, err
	}
	cmd := command{dir: dir, args: []string{m.Buildsys, "plan"},
		env: []string{"DOCKER_HOST=tcp://127.0.0.1:1"}}
	for key, value := range sizedEnv(dir) {
		cmd.env = append(cmd.env, key+"="+value)
	}
	var runs []sample
	for begin := time.Now(); len(runs) < 3 || (len(runs) < 9 && time.Since(begin) < 2*time.Second); {
		s, err := cmd.run(ctx, false)
		if err != nil {
			return size{}, err
		}
		runs = append(runs, s)
	}
	return size{n, median(runs, wallOf), median(runs, cpuOf),
		median(runs, func(s sample) float64 { return s.rss })}, nil
}

func sizedEnv(dir string) map[string]string {
	return map[string]string{"BUILDSYS_CACHE_DIR": filepath.Join(dir, "cache"),
		"BUILDSYS_SDK_IMAGE": "buildsys.invalid/none:1",
		"BUILDSYS_VARIANT":   treegen.Variant, "BUILDSYS_VERSION_BUILD": "00000000", "HOME": dir}
}

// MakeSized writes a tree of n packages and an image into the empty directory dir, and builds it
// with an engine that takes no time. It reports errors to log.
func MakeSized(dir string, n int, log io.Writer) error {
	if err := treegen.Shape(treegen.Shallow).Write(dir, n, false); err != nil {
		return err
	}
	env := sizedEnv(dir)
	status := cli.Main(cli.System{
		Args: []string{"build-variant", "--jobs", "8"}, Dir: dir,
		Getenv: func(key string) string { return env[key] },
		Stdin:  strings.NewReader(""), Stdout: io.Discard, Stderr: log,
		Dial:   func(context.Context, engine.Options) (engine.Engine, error) { return instant{}, nil },
		Unread: true,
	})
	if status != cli.ExitOK {
		return fmt.Errorf("building a tree of %d packages without an engine ended with status %d", n,
			status)
	}
	return nil
}

// sizesDir creates a directory in memory if there is a place for it: planning reads from the page
// cache anyway, but making the trees forces every output to disk.
func sizesDir(m machine) (string, error) {
	if dir, err := os.MkdirTemp("/dev/shm", "buildsys-bench-"); err == nil {
		return dir, nil
	}
	return os.MkdirTemp(m.Work, "sizes-")
}

// instant is an engine that builds at once.
type instant struct{}

func (instant) Build(_ context.Context, s plan.Solve, out string, _ func(progress.Event)) error {
	name, _, _ := strings.Cut(s.Name, " ")
	return os.WriteFile(filepath.Join(out, rpmName(name)), []byte(header(name)), 0o644)
}

func (instant) Await(context.Context, time.Duration) error { return nil }

func (instant) Info(context.Context) (engine.Info, error) { return engine.Info{CPUs: 8}, nil }

func (instant) HasImage(context.Context, string) (string, bool, error) {
	return "sha256:0", true, nil
}

func (instant) ImportImage(context.Context, string, io.Reader) error {
	return errors.ErrUnsupported
}

func (instant) LoadImage(context.Context, io.Reader) error { return errors.ErrUnsupported }

func (instant) Close() error { return nil }
