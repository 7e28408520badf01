// verify: builds packages a second time in other surroundings and compares the RPMs.

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

	"buildsys/internal/plan"
	"buildsys/internal/rpm"
)

// maxLines is how many lines of an explanation are shown; a file has the rest.
const maxLines = 40

// irreproducibleError says that packages came out differently when they were built again.
type irreproducibleError struct {
	packages []string
	of       int
}

// Error names the packages.
func (e irreproducibleError) Error() string {
	return fmt.Sprintf("%d of %d packages are not reproducible: %s", len(e.packages), e.of, strings.Join(e.packages, ", "))
}

// verify builds each named package of a plan whose outputs are in place once more, past every cache and in other
// surroundings, and compares. Both sets of RPMs are kept where they differ.
func verify(ctx context.Context, sys *System, c config, conn *connection, p plan.Plan, names []string) error {
	second := again(p, names, c.reproducibleDir)
	for _, s := range second.Steps { // what an earlier run left must not be taken for this one's
		if err := os.RemoveAll(c.reproducibleDir(s.Name)); err != nil {
			return environmentError{err}
		}
	}
	failed := runPlan(ctx, sys, c, conn, second, nil)
	if failed != nil && (ctx.Err() != nil || errors.Is(failed, errSDKChanged)) {
		return failed
	}
	var different []string
	for _, s := range second.Steps {
		if _, err := os.Stat(s.Out); errors.Is(err, fs.ErrNotExist) {
			continue // its build failed, which was told
		}
		first := p.Steps[slices.IndexFunc(p.Steps, func(o plan.Step) bool { return o.ID == string(plan.Package)+"/"+s.Name })].Out
		same, err := compare(ctx, sys.Stdout, s.Name, first, c.reproducibleDir(s.Name))
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
	return irreproducibleError{different, len(second.Steps)}
}

// again is the plan of the second builds: only the named packages, all at once, since what they need is there.
func again(p plan.Plan, names []string, dir func(name string) string) plan.Plan {
	second := plan.Plan{Arch: p.Arch}
	for _, s := range p.Steps {
		if s.Kind != plan.Package || !slices.Contains(names, s.Name) {
			continue
		}
		s.ID = "second-build/" + s.Name
		s.Deps = nil
		s.Out = filepath.Join(dir(s.Name), "second")
		s.Solve.Fresh = true
		s.Solve.Args = maps.Clone(s.Solve.Args)
		s.Solve.Args["VARY"] = "1"
		second.Steps = append(second.Steps, s)
	}
	return second
}

// reproducibleDir is where the two builds of a package are kept when they differ.
func (c config) reproducibleDir(name string) string {
	return filepath.Join(c.buildDir(), "reproducible", name)
}

// compare tells whether the second build in dir gave the same files as the first, and if not, what differs. When they
// are the same nothing is kept.
func compare(ctx context.Context, w io.Writer, name, first, dir string) (same bool, err error) {
	second := filepath.Join(dir, "second")
	where, file, err := differenceOf(first, second)
	if err != nil {
		return false, err
	}
	if where == "" {
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
	fmt.Fprintf(w, "%s is not reproducible: %s; both builds are in %s\n", name, where, dir)
	if file != "" {
		explain(ctx, w, filepath.Join(kept, file), filepath.Join(second, file), filepath.Join(dir, "diffoscope.txt"))
	}
	return false, nil
}

// differenceOf names the first file, by name, that is not the same in two directories, and the place where it begins to
// differ; "" when there is none. file is set when both have it.
func differenceOf(first, second string) (where, file string, err error) {
	a, err := fileNames(first)
	if err != nil {
		return "", "", err
	}
	b, err := fileNames(second)
	if err != nil {
		return "", "", err
	}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(a, b)))) {
		switch {
		case !slices.Contains(b, name):
			return name + " came only out of the first build", "", nil
		case !slices.Contains(a, name):
			return name + " came only out of the second build", "", nil
		}
		at, err := firstDifference(filepath.Join(first, name), filepath.Join(second, name))
		if err != nil {
			return "", "", err
		}
		if at >= 0 {
			return fmt.Sprintf("%s differs from byte %d on", name, at), name, nil
		}
	}
	return "", "", nil
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

// explain says what differs inside two RPMs: by their headers, and by diffoscope where it is installed.
func explain(ctx context.Context, w io.Writer, first, second, report string) {
	a, err := rpm.ReadHeader(first)
	b, err2 := rpm.ReadHeader(second)
	if err := errors.Join(err, err2); err == nil {
		show(w, rpm.Diff(a, b))
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
