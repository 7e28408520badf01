// compare: describes what differs between the two builds of a step.

package build

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"buildsys/internal/builddir"
	"buildsys/internal/rpm"
)

// Comparison is the result of comparing two builds of a step.
type Comparison struct {
	Name        string        // of the package, the kit or the variant
	Differences []string      // one for each file; empty if the builds are the same
	Dir         string        // with both builds, if they differ
	Details     []Explanation // about what differs inside the files
}

// Same reports whether the two builds are the same, byte for byte.
func (c Comparison) Same() bool { return len(c.Differences) == 0 }

// Explanation is what one program found different inside the files of two builds.
type Explanation struct {
	Lines []string
	From  string // file with all lines; empty if there is none
}

// compare compares the second build of a step with the outputs of the first. It keeps both if they
// differ.
func compare(ctx context.Context, name, first string, b builddir.Builds) (Comparison, error) {
	where, files, err := differences(first, b.Second())
	if err != nil {
		return Comparison{}, err
	}
	if len(where) == 0 {
		return Comparison{Name: name}, b.Remove()
	}
	c := Comparison{Name: name, Differences: where, Dir: b.Dir()}
	if err := b.KeepFirst(first); err != nil {
		return c, err
	}
	if len(files) > 0 {
		c.Details = explain(ctx, b, files)
	}
	return c, nil
}

// differences returns a description of each file that differs between two directories, by name.
// files are those of them that both have.
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
			where = append(where, name+" is only in the first build")
			continue
		}
		if !slices.Contains(a, name) {
			where = append(where, name+" is only in the second build")
			continue
		}
		at, err := firstDifference(filepath.Join(first, name), filepath.Join(second, name))
		if err != nil {
			return nil, nil, err
		}
		if at >= 0 {
			where, files = append(where, fmt.Sprintf("%s differs from byte %d on", name, at)), append(files,
				name)
		}
	}
	return where, files, nil
}

// fileNames returns the paths of all files below dir, relative to it.
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

// firstDifference returns the offset of the first byte that differs, or -1 if the files are equal.
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

// maxReport bounds diffoscope's report, which is held in memory. It says at its end that it was cut
// off. People read some kilobytes of one; two images that share nothing give gigabytes.
const maxReport = 32 << 20

// explain returns what differs inside files of the two builds: in RPMs by their headers, and by
// diffoscope if it is installed.
func explain(ctx context.Context, b builddir.Builds, files []string) []Explanation {
	var all []Explanation
	for _, name := range files {
		one, err := rpm.ReadHeader(filepath.Join(b.First(), name))
		other, err2 := rpm.ReadHeader(filepath.Join(b.Second(), name))
		if err := errors.Join(err, err2); err == nil {
			all = append(all, Explanation{Lines: rpm.Diff(one, other)})
		}
	}
	program, err := exec.LookPath("diffoscope")
	if err != nil {
		return append(all, Explanation{Lines: []string{
			"to see what differs inside the files, install diffoscope " +
				"(Debian: apt install diffoscope-minimal python3-rpm) and run:",
			fmt.Sprintf("  diffoscope %s %s", b.First(), b.Second()),
		}})
	}
	// diffoscope exits with 1 if files differ. Its output shows all other failures.
	out, _ := exec.CommandContext(ctx, program, "--no-progress", "--max-text-report-size",
		strconv.Itoa(maxReport), "--text", "-", b.First(), b.Second()).CombinedOutput()
	report, err := b.KeepReport("diffoscope", out)
	if err != nil {
		all = append(all, Explanation{Lines: []string{err.Error()}})
	}
	lines := strings.Split(string(bytes.TrimRight(out, "\n")), "\n")
	return append(all, Explanation{Lines: lines, From: report})
}
