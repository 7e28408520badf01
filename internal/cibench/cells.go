// Cells: one build on one fresh machine, in each of the two ways.

package cibench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"buildsys/internal/buildtest"
	"buildsys/internal/plan"
)

// layered builds the tree as one Dockerfile. All runs but the cold one first pull the last image,
// whose layers are then the cache, and all upload their own. Runs after a change upload under
// another name, so that each finds the same cache.
func (s *scene) layered(ctx context.Context, row Row) (Cell, error) {
	m, p, err := s.prepare(ctx, row)
	if err != nil {
		return Cell{}, err
	}
	defer m.remove()
	work := filepath.Join(m.dir, "context")
	if err := writeContext(p, work); err != nil {
		return Cell{}, err
	}
	docker := func(args ...string) (string, error) {
		return run(ctx, work, m.env(), s.Docker, args...)
	}
	last := s.reg.address + "/" + imageName + ":last"
	to := last
	build := []string{"build", "--progress", "plain", "--network", "none", "--build-arg",
		"BUILDKIT_INLINE_CACHE=1"}
	before, begin := s.reg.traffic(), time.Now()
	if row != Cold {
		if _, err := docker("pull", "--quiet", last); err != nil {
			return Cell{}, err
		}
		build = append(build, "--cache-from", last)
	}
	if row == Halfway || row == FirstHand {
		to = s.reg.address + "/" + imageName + ":changed-" + strconv.Itoa(s.counter)
	}
	log, err := docker(append(build, "--tag", to, ".")...)
	s.keepLog(row, "layers", log)
	if err != nil {
		return Cell{}, err
	}
	out := filepath.Join(m.tree, "outputs")
	id, err := docker("create", "--network", "none", to, "true")
	if err != nil {
		return Cell{}, err
	}
	if _, err := docker("cp", firstLine(id)+":"+outputDir(p), out); err != nil {
		return Cell{}, err
	}
	built := time.Now()
	if _, err := docker("push", "--quiet", to); err != nil {
		return Cell{}, err
	}
	cell := s.cell(before, begin)
	cell.Push = time.Since(built).Seconds()
	cell.Steps, cell.Kernel = ranRuns(log)
	cell.Outputs, err = size(out)
	return cell, err
}

// prepare starts a machine for a row and plans its tree.
func (s *scene) prepare(ctx context.Context, row Row) (*machine, plan.Plan, error) {
	m, err := s.newMachine(ctx, row)
	if err != nil {
		return nil, plan.Plan{}, err
	}
	p, err := s.planOf(ctx, m)
	if err != nil {
		m.remove()
		return nil, plan.Plan{}, err
	}
	s.total = len(p.Steps)
	return m, p, nil
}

// planOf plans the tree of a machine with the build ID that buildsys would give its image.
func (s *scene) planOf(ctx context.Context, m *machine) (plan.Plan, error) {
	commit, err := run(ctx, m.tree, nil, "git", "describe", "--always", "--dirty", "--exclude", "*",
		"--abbrev=8")
	if err != nil {
		return plan.Plan{}, err
	}
	return s.makePlan(m.tree, firstLine(commit))
}

// ours builds the tree with buildsys and a remote cache in the registry.
func (s *scene) ours(ctx context.Context, row Row) (Cell, error) {
	m, p, err := s.prepare(ctx, row)
	if err != nil {
		return Cell{}, err
	}
	defer m.remove()
	env := append(m.env(), "BUILDSYS_CACHE_FROM="+s.reg.place(), "BUILDSYS_CACHE_TO="+s.reg.place())
	args := []string{"build-variant", s.Variant}
	if len(s.Packages) > 0 {
		args = append([]string{"build-package"}, s.Packages...)
	}
	before, begin := s.reg.traffic(), time.Now()
	log, err := run(ctx, m.tree, env, s.Buildsys, args...)
	s.keepLog(row, "buildsys", log)
	if err != nil {
		return Cell{}, err
	}
	cell := s.cell(before, begin)
	cell.Steps, cell.Kernel = ranSteps(log)
	var outs []string
	for _, step := range p.Steps {
		if step.Kind == plan.Variant || slices.Contains(s.Packages, step.Name) {
			outs = append(outs, step.Out)
		}
	}
	cell.Outputs, err = size(outs...)
	return cell, err
}

// cell returns the time and traffic of a build that has just ended.
func (s *scene) cell(before traffic, begin time.Time) Cell {
	wall := time.Since(begin).Seconds()
	t := s.reg.traffic().since(before)
	return Cell{Wall: wall, Down: t.down, Up: t.up, SDK: t.sdk}
}

// keepLog writes the output of a build to a file beside the results.
func (s *scene) keepLog(row Row, column, text string) {
	if s.Results == "" {
		return
	}
	name := strings.NewReplacer(" ", "-", ",", "").Replace(string(row)) + "." + column + ".log"
	if err := os.WriteFile(filepath.Join(filepath.Dir(s.Results), name), []byte(text),
		0o644); err != nil {
		s.logf("keeping a log: %v", err)
	}
}

// Lines of docker build --progress plain about a step: "#7 [ 4/21] RUN …", "#7 CACHED", "#7 DONE
// 12.3s".
var (
	runLine  = regexp.MustCompile(`(?m)^#(\d+) \[[^\]]*\] RUN (.*)$`)
	doneLine = regexp.MustCompile(`(?m)^#(\d+) DONE ([0-9.]+)s`)
	cachedAt = regexp.MustCompile(`(?m)^#(\d+) CACHED`)
)

// ranRuns returns how many RUNs really ran, and how long the kernel's took.
func ranRuns(log string) (count int, kernel float64) {
	runs, cached := map[string]string{}, map[string]bool{}
	for _, f := range runLine.FindAllStringSubmatch(log, -1) {
		runs[f[1]] = f[2]
	}
	for _, f := range cachedAt.FindAllStringSubmatch(log, -1) {
		cached[f[1]] = true
	}
	for _, f := range doneLine.FindAllStringSubmatch(log, -1) {
		text, isRun := runs[f[1]]
		if !isRun || cached[f[1]] {
			continue
		}
		count++
		if strings.Contains(text, "packages/kernel/package,") {
			kernel, _ = strconv.ParseFloat(f[2], 64)
		}
	}
	return count, kernel
}

// Lines of buildsys about a step: "[3/20] kernel started", "[4/20] kernel done in 3m20s".
var (
	startedLine = regexp.MustCompile(`(?m)^\[ *\d+/\d+\] .* started`)
	kernelLine  = regexp.MustCompile(`(?m)^\[ *\d+/\d+\] kernel done in (\S+)`)
)

func ranSteps(log string) (count int, kernel float64) {
	count = len(startedLine.FindAllString(log, -1))
	for _, f := range kernelLine.FindAllStringSubmatch(log, -1) {
		if took, err := time.ParseDuration(f[1]); err == nil {
			kernel = took.Seconds()
		}
	}
	return count, kernel
}

// facts describes the machine in one line.
func facts(ctx context.Context, docker string, s *scene) string {
	ask := func(name string, args ...string) string {
		out, err := run(ctx, s.dir, nil, name, args...)
		if err != nil {
			return "unknown"
		}
		return firstLine(out)
	}
	text := fmt.Sprintf("%s, %s, %s, client %s", time.Now().UTC().Format(time.DateOnly),
		buildtest.Hardware(), ask("dockerd", "--version"),
		ask(docker, "version", "--format", "{{.Client.Version}}"))
	if s.Weight > 0 {
		text += fmt.Sprintf("; engine, registry and builds had together a weight of %d against the "+
			"1024 of every other process", s.Weight)
	}
	return text
}
