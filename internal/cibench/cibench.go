// Package cibench times what a CI system waits for: the sample OS on machines that have nothing, a
// second time on another one, and after changes; without a cache, with the layers of the last image
// as the cache, and with a remote cache of buildsys. All of it is for real: engines of its own with
// empty storage, Debian's docker-registry, clones in other places.
package cibench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Options say what to measure and with what.
type Options struct {
	Checkout  string   // repository to clone; its last commit is what is built
	Buildsys  string   // the program
	Docker    string   // a docker command whose build works without plugins
	SDK       string   // root file system of the SDK image, a tar
	Lookaside string   // directory that has the sources
	Results   string   // file that gets what was measured, as JSON, after every cell
	Arch      string   // "x86_64" or "aarch64"
	Variant   string   // whose image is built
	Packages  []string // build these, and what they need, instead of the image; for a try
	Columns   []string // of "layers" and "buildsys" what to measure; empty is both
	Middle    Change   // "halfway"
	FirstHand Change   // in code that belongs to the tree itself
	// cpu.shares (control groups v1) of all that is measured, together; 0 leaves it beside everything
	// else
	Weight int
	Log    io.Writer
}

// Change replaces one text of a file in the tree by another; the file must have it.
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
	Wall    float64 // seconds, from nothing to outputs in place and results uploaded
	Push    float64 // seconds of it for uploading, where that is a command of its own
	Down    int64   // bytes of answers of the registry, the SDK image aside
	Up      int64   // bytes sent to the registry
	SDK     int64   // bytes of answers of the registry that were the SDK image
	Steps   int     // packages and images that were really built
	Kernel  float64 // seconds of the step of the package kernel, where it was built and is known
	Outputs int64   // bytes of the final outputs
	Load    string  // average of the last minute before it
}

// Results are all cells, and what there is to know about the machine.
type Results struct {
	Facts  string
	Total  int    // steps of a cold build
	What   string // is built
	Middle string
	First  string
	Layers map[Row]Cell // whole-image layer cache
	Ours   map[Row]Cell
}

// Run measures. A build that fails costs its cell, and the error; the others are in the results,
// with those that the file of results had for columns that were not asked for.
func Run(ctx context.Context, o Options) (Results, error) {
	r, err := Load(o.Results)
	if err != nil || len(o.Columns) == 0 {
		r = Results{}
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
			load := loadAverage()
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

// Load reads what an earlier run has saved.
func Load(path string) (r Results, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(data, &r)
}

// scene is what all cells share: the registry, the SDK image in it, and a place for machines.
type scene struct {
	Options
	dir     string
	reg     *registry
	total   int
	counter int // of machines
}

func newScene(ctx context.Context, o Options) (*scene, error) {
	if o.Weight > 0 {
		if err := weigh(o.Weight); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp("", "cib") // short: there are sockets in it
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
	if err := removeBusy(s.dir); err != nil {
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

// seedSDK puts the SDK image where each way of building takes it from, in a form of its own: as an
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
