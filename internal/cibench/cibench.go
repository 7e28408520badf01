// Package cibench times what a CI system waits for: builds of the sample OS on machines that have
// nothing, a second time on another such machine, and after changes; without a cache, with the
// layers of the last image as the cache, and with a remote cache of buildsys. Everything is real:
// separate engines with empty storage, Debian's docker-registry, clones in other directories.
package cibench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"buildsys/internal/buildtest"
)

// Options is what to measure, and with which programs.
type Options struct {
	Checkout  string   // repository to clone; its last commit is built
	Buildsys  string   // the program
	Docker    string   // a docker command that builds without plugins
	SDK       string   // root file system of the SDK image, a tar
	Lookaside string   // directory with the sources
	Results   string   // JSON file that is written after every cell
	Arch      string   // "x86_64" or "aarch64"
	Variant   string   // variant whose image is built
	Packages  []string // if not empty, build these and what they need instead of the image; for a try
	Columns   []string // which of "layers" and "buildsys" to measure; empty means both
	Middle    Change   // "halfway"
	FirstHand Change   // in code that belongs to the tree itself
	// Weight is the cpu.shares (control groups v1) of everything that is measured, together; 0
	// changes nothing.
	Weight int
	Log    io.Writer
}

// Change replaces one text in a file of the tree with another; the file must contain it.
type Change struct {
	What     string // for people: "libcap, a package that chrony needs"
	File     string // slash path in the tree
	Old, New string
}

// Row is one situation of a CI system.
type Row string

// The rows of the table.
const (
	Cold      Row = "cold"
	Second    Row = "second run, fresh machine"
	Halfway   Row = "a change halfway"
	FirstHand Row = "a change in first-party code"
)

var rows = []Row{Cold, Second, Halfway, FirstHand}

// Cell is what one build cost.
type Cell struct {
	Wall    float64 // wall time to outputs in place and results uploaded, in seconds
	Push    float64 // part of Wall for uploading, if that is a separate command; in seconds
	Down    int64   // bytes of the registry's answers, without the SDK image
	Up      int64   // bytes sent to the registry
	SDK     int64   // bytes of the registry's answers with the SDK image
	Steps   int     // packages and images that were really built
	Kernel  float64 // seconds of the step of the package kernel, if it was built and that is known
	Outputs int64   // bytes of the final outputs
	Load    string  // load average of the last minute before the build
}

// Results has all cells, and the facts about the machine.
type Results struct {
	Facts  string
	Total  int    // steps of a cold build
	What   string // description of what is built
	Middle string
	First  string
	Layers map[Row]Cell // whole-image layer cache
	Ours   map[Row]Cell
}

// Run measures. If a build fails, its cell is missing and Run returns the error; the results have
// the other cells, and those of columns that were not requested from the existing file.
func Run(ctx context.Context, o Options) (Results, error) {
	var r Results
	if len(o.Columns) > 0 {
		var err error
		if r, err = Load(o.Results); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return r, err
		}
	}
	r.What, r.Middle, r.First = o.Variant+" "+o.Arch, o.Middle.What, o.FirstHand.What
	if len(o.Packages) > 0 {
		r.What = fmt.Sprintf("%v %s", o.Packages, o.Arch)
	}
	s, err := newScene(ctx, o)
	if err != nil {
		return r, err
	}
	defer s.close()
	r.Facts = facts(ctx, o.Docker, s)
	columns := []struct {
		name  string
		run   func(context.Context, Row) (Cell, error)
		cells *map[Row]Cell
	}{{"layers", s.layered, &r.Layers}, {"buildsys", s.ours, &r.Ours}}
	var errs []error
	for _, row := range rows {
		for _, column := range columns {
			if len(o.Columns) > 0 && !slices.Contains(o.Columns, column.name) {
				continue
			}
			if *column.cells == nil || row == Cold {
				*column.cells = map[Row]Cell{}
			}
			s.logf("%s: %s", row, column.name)
			load := buildtest.LoadAverage()
			cell, err := column.run(ctx, row)
			if err != nil {
				err = fmt.Errorf("%s, %s: %w", column.name, row, err)
				s.logf("%v", err)
				errs = append(errs, err)
				continue
			}
			cell.Load = load
			(*column.cells)[row] = cell
			r.Total = s.total
			s.logf("%s: %s: %+v", row, column.name, cell)
			if err := r.save(o.Results); err != nil {
				return r, err
			}
		}
	}
	return r, errors.Join(errs...)
}

func (r Results) save(path string) error {
	if path == "" {
		return nil
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// Load reads the results that an earlier run has saved.
func Load(path string) (r Results, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// scene is what all cells share: the registry with the SDK image, and a place for machines.
type scene struct {
	Options
	dir     string
	reg     *registry
	total   int
	counter int // number of machines so far
}

func newScene(ctx context.Context, o Options) (*scene, error) {
	if o.Weight > 0 {
		if err := weigh(o.Weight); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp("", "cib") // short, because sockets are created in it
	if err != nil {
		return nil, err
	}
	s := &scene{Options: o, dir: dir}
	if s.reg, err = startRegistry(filepath.Join(dir, "registry")); err != nil {
		s.close()
		return nil, err
	}
	if err := s.seedSDK(ctx); err != nil {
		s.close()
		return nil, fmt.Errorf("putting the SDK image into the registry: %w", err)
	}
	return s, nil
}

func (s *scene) close() {
	if s.reg != nil {
		s.reg.stop()
	}
	if err := buildtest.RemoveBusy(s.dir); err != nil {
		s.logf("left behind: %v", err)
	}
}

func (s *scene) logf(format string, args ...any) {
	fmt.Fprintf(s.Log, "%s bench-ci: %s\n", time.Now().UTC().Format(time.TimeOnly),
		fmt.Sprintf(format, args...))
}

// Names in the registry.
const (
	sdkName   = "sdk:v1"
	cacheName = "cache"
	imageName = "last-image"
)

// seedSDK puts the SDK image where each way of building takes it from, in the form it needs: as an
// image, and as the root file system that buildsys packs.
func (s *scene) seedSDK(ctx context.Context) error {
	m, err := s.newMachine(ctx, Cold)
	if err != nil {
		return err
	}
	defer m.remove()
	env := append(m.env(), "BUILDSYS_CACHE_TO="+s.reg.place())
	out, err := run(ctx, m.tree, env, s.Buildsys, "sdk", "import", s.SDK)
	if err != nil {
		return err
	}
	name := firstLine(out)
	for _, args := range [][]string{{"tag", name, s.reg.address + "/" + sdkName},
		{"push", s.reg.address + "/" + sdkName}} {
		if _, err := run(ctx, m.dir, m.env(), s.Docker, args...); err != nil {
			return err
		}
	}
	s.reg.seeded()
	return nil
}
