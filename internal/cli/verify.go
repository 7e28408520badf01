// verify: builds packages or images a second time in other surroundings and compares what comes out.

package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"buildsys/internal/graph"
	"buildsys/internal/plan"
	"buildsys/internal/rpm"
)

// maxLines is how many lines of an explanation are shown; a file has the rest.
const maxLines = 40

// irreproducibleError says that steps came out differently when they were built again.
type irreproducibleError struct {
	names []string
	of    int
	kind  plan.Kind
}

// Error names the packages, the kits or the variant.
func (e irreproducibleError) Error() string {
	if e.kind == plan.Variant {
		return fmt.Sprintf("the images of variant %s are not reproducible", strings.Join(e.names, ", "))
	}
	what := "packages"
	if e.kind == plan.Kit {
		what = "kits"
	}
	return fmt.Sprintf("%d of %d %s are not reproducible: %s", len(e.names), e.of, what, strings.Join(e.names, ", "))
}

// verify builds what was requested of a plan whose outputs are in place once more, past every cache and in other
// surroundings, and compares: the named packages, or of a variant its images alone. Both builds are kept where they differ.
func verify(ctx context.Context, sys *System, c config, conn *connection, p plan.Plan, want request) error {
	first := requested(p, want)
	second := again(p, first, c.reproducibleDir)
	for _, s := range first { // what an earlier run left must not be taken for this one's
		if err := os.RemoveAll(c.reproducibleDir(s)); err != nil {
			return environmentError{err}
		}
	}
	failed := runPlan(ctx, sys, c, conn, second, nil)
	if failed != nil && (ctx.Err() != nil || errors.Is(failed, errSDKChanged)) {
		return failed
	}
	var different []string
	for i, s := range second.Steps {
		if _, err := os.Stat(s.Out); errors.Is(err, fs.ErrNotExist) {
			continue // its build failed, which was told
		}
		same, err := compare(ctx, sys.Stdout, s.Name, first[i].Out, c.reproducibleDir(first[i]))
		if err != nil {
			return environmentError{err}
		}
		if !same {
			different = append(different, s.Name)
		}
	}
	if failed != nil || len(different) == 0 {
		return failed
	}
	return irreproducibleError{different, len(first), first[0].Kind}
}

// requested returns the steps of a plan that were asked for by name, without what they need.
func requested(p plan.Plan, want request) []plan.Step {
	var steps []plan.Step
	for _, s := range p.Steps {
		if s.Kind == plan.Variant && s.Name == want.variant || s.Kind == plan.Kit ||
			s.Kind == plan.Package && slices.Contains(want.packages, s.Name) {
			steps = append(steps, s)
		}
	}
	return steps
}

// again is the plan of the second builds: only those steps, all at once, since what they need is there.
func again(p plan.Plan, steps []plan.Step, dir func(plan.Step) string) plan.Plan {
	second := plan.Plan{Arch: p.Arch}
	for _, s := range steps {
		s.Out = filepath.Join(dir(s), "second")
		s.ID = "second-build/" + s.Name
		s.Solve = p.SolveOf(s)
		s.Uses, s.Waits = graph.Set{}, nil
		s.Link = ""
		s.Solve.Fresh = true
		s.Solve.Args = maps.Clone(s.Solve.Args)
		s.Solve.Args["VARY"] = "1"
		second.Steps = append(second.Steps, s)
	}
	return second
}

// reproducibleDir is where the two builds of a step are kept when they differ.
func (c config) reproducibleDir(s plan.Step) string {
	name := s.Name
	switch s.Kind {
	case plan.Variant: // as below build/images
		name = c.arch + "-" + name
	case plan.Kit: // a package may have the same name
		name = "kit-" + name
	}
	return filepath.Join(c.buildDir(), "reproducible", name)
}

// compare tells whether the second build in dir gave the same files as the first, and if not, what differs. When they
// are the same nothing is kept.
func compare(ctx context.Context, w io.Writer, name, first, dir string) (same bool, err error) {
	second := filepath.Join(dir, "second")
	where, files, err := differences(first, second)
	if err != nil {
		return false, err
	}
	if len(where) == 0 {
		fmt.Fprintf(w, "%s is reproducible\n", name)
		return true, os.RemoveAll(dir)
	}
	kept := filepath.Join(dir, "first")
	if err := os.RemoveAll(kept); err != nil {
		return false, err
	}
	if err := os.CopyFS(kept, os.DirFS(first)); err != nil {
		return false, err
	}
	fmt.Fprintf(w, "%s is not reproducible: %s; both builds are in %s\n", name, strings.Join(where, ", "), dir)
	if len(files) > 0 {
		explain(ctx, w, kept, second, files, filepath.Join(dir, "diffoscope.txt"))
	}
	return false, nil
}

// differences says of each file that is not the same in two directories, by name, where it begins to differ. files are
// those of them that both have.
func differences(first, second string) (where, files []string, err error) {
	a, err := fileNames(first)
	if err != nil {
		return nil, nil, err
	}
	b, err := fileNames(second)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(a, b)))) {
		if !slices.Contains(b, name) {
			where = append(where, name+" came only out of the first build")
			continue
		}
		if !slices.Contains(a, name) {
			where = append(where, name+" came only out of the second build")
			continue
		}
		at, err := firstDifference(filepath.Join(first, name), filepath.Join(second, name))
		if err != nil {
			return nil, nil, err
		}
		if at >= 0 {
			where, files = append(where, fmt.Sprintf("%s differs from byte %d on", name, at)), append(files, name)
		}
	}
	return where, files, nil
}

// fileNames returns the paths of all files below dir.
func fileNames(dir string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			names = append(names, rel)
		}
		return err
	})
	return names, err
}

// firstDifference returns the offset of the first byte that differs, -1 when the files are equal.
func firstDifference(a, b string) (int64, error) {
	x, err := os.Open(a)
	if err != nil {
		return 0, err
	}
	defer x.Close()
	y, err := os.Open(b)
	if err != nil {
		return 0, err
	}
	defer y.Close()
	left, right := bufio.NewReader(x), bufio.NewReader(y)
	for at := int64(0); ; at++ {
		one, e1 := left.ReadByte()
		other, e2 := right.ReadByte()
		for _, err := range []error{e1, e2} {
			if err != nil && err != io.EOF {
				return 0, err
			}
		}
		switch {
		case e1 != nil && e2 != nil:
			return -1, nil
		case e1 != nil || e2 != nil || one != other:
			return at, nil
		}
	}
}

// explain says what differs inside files of two directories: in RPMs by their headers, and by diffoscope where it is
// installed.
func explain(ctx context.Context, w io.Writer, first, second string, files []string, report string) {
	for _, name := range files {
		a, err := rpm.ReadHeader(filepath.Join(first, name))
		b, err2 := rpm.ReadHeader(filepath.Join(second, name))
		if err := errors.Join(err, err2); err == nil {
			show(w, rpm.Diff(a, b))
		}
	}
	program, err := exec.LookPath("diffoscope")
	if err != nil {
		fmt.Fprintln(w, "  for what differs inside the files install diffoscope (Debian: apt install diffoscope-minimal python3-rpm) and run:")
		fmt.Fprintf(w, "    diffoscope %s %s\n", first, second)
		return
	}
	// It exits with 1 for files that differ. Whatever else goes wrong shows in what it prints.
	out, _ := exec.CommandContext(ctx, program, "--no-progress", "--text", "-", first, second).CombinedOutput()
	if err := os.WriteFile(report, out, 0o644); err != nil {
		fmt.Fprintf(w, "  cannot keep the report of diffoscope: %v\n", err)
	}
	show(w, strings.Split(string(bytes.TrimRight(out, "\n")), "\n"))
	fmt.Fprintf(w, "  (from %s)\n", report)
}

func show(w io.Writer, lines []string) {
	for i, line := range lines {
		if i == maxLines {
			fmt.Fprintf(w, "  … and %d lines more\n", len(lines)-i)
			return
		}
		fmt.Fprintf(w, "  %s\n", line)
	}
}
