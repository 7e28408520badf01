// Package figures keeps what benchmarks measured, by commit, in a file of the repository, and finds
// what has become worse since.
package figures

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Figure is a figure of which less is better.
type Figure struct {
	Name  string // "qemu-dev, no-op: wall"
	Value float64
	Unit  string // "s", or "" for a ratio
}

// Run is what one run of a benchmark measured.
type Run struct {
	Date    time.Time
	Commit  string
	Machine string // figures of different machines are not compared
	// Quiet means that nothing else ran on the machine. Other figures are kept, but nothing is
	// compared with them.
	Quiet   bool
	Figures []Figure
}

// Change is a figure beside the last one of the same name and machine, both of a quiet machine.
type Change struct {
	Figure
	Before float64
	Commit string // of Before
}

// Worse reports whether the figure is more than a tenth above the one before.
func (c Change) Worse() bool { return c.Value > 1.1*c.Before }

// String describes the change: "no-op: wall: 0.100 s, was 0.050 s (+100 %) at 1a2b3c4d".
func (c Change) String() string {
	return fmt.Sprintf("%s: %.3f %s, was %.3f %s (%+.0f %%) at %s", c.Name, c.Value, c.Unit, c.Before,
		c.Unit, 100*(c.Value/c.Before-1), c.Commit)
}

var columns = []string{"date", "commit", "machine", "quiet", "name", "value", "unit"}

// Append adds the figures of a run to the file, one in a line with tabs between its columns, and
// returns how they differ from those before.
func Append(path string, r Run) ([]Change, error) {
	for _, text := range append(names(r), r.Commit, r.Machine) {
		if strings.ContainsAny(text, "\t\n") {
			return nil, fmt.Errorf("%s: %q has a tab or a line break", path, text)
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	changes, err := add(f, r)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return changes, nil
}

func names(r Run) []string {
	var all []string
	for _, f := range r.Figures {
		all = append(all, f.Name, f.Unit)
	}
	return all
}

func add(f io.ReadWriter, r Run) ([]Change, error) {
	last, empty, err := read(f, r.Machine)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	if empty {
		text.WriteString(strings.Join(columns, "\t") + "\n")
	}
	var changes []Change
	for _, figure := range r.Figures {
		fmt.Fprintf(&text, "%s\t%s\t%s\t%t\t%s\t%.4g\t%s\n", r.Date.UTC().Format(time.DateOnly),
			r.Commit, r.Machine, r.Quiet, figure.Name, figure.Value, figure.Unit)
		if before, found := last[figure.Name]; found && r.Quiet {
			before.Figure = figure
			changes = append(changes, before)
		}
	}
	_, err = io.WriteString(f, text.String())
	return changes, err
}

// read returns the last figures of a machine while it was quiet, by name, as what a change is from.
func read(f io.Reader, machine string) (last map[string]Change, empty bool, err error) {
	last, empty = map[string]Change{}, true
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		fields := strings.Split(lines.Text(), "\t")
		if n == 1 {
			if empty = false; !slices.Equal(fields, columns) {
				return nil, false, fmt.Errorf("line 1: the columns are not %q", columns)
			}
			continue
		}
		if len(fields) != len(columns) {
			return nil, false, fmt.Errorf("line %d has %d columns, not %d", n, len(fields), len(columns))
		}
		value, err := strconv.ParseFloat(fields[5], 64)
		if err != nil {
			return nil, false, fmt.Errorf("line %d: %w", n, err)
		}
		if fields[2] == machine && fields[3] == "true" {
			last[fields[4]] = Change{Before: value, Commit: fields[1]}
		}
	}
	return last, empty, lines.Err()
}
