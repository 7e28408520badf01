// Package diagnosis says why a step failed, by its output: the phase of rpmbuild, the cause in one
// line, what to do, and the lines that matter. It reads what rpmbuild, patch, compilers, linkers
// and the recipes print, and asks the tree who has a file that is missing.
package diagnosis

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"buildsys/internal/progress"
)

// Tree is what a diagnosis may ask about the tree. Every function may be nil.
type Tree struct {
	Package string // whose RPMs the step makes; empty for other steps
	// File returns the text of a file of the package, nil if it has none of that name.
	File func(name string) []byte
	// Owners returns who has what is missing.
	Owners func(Wanted) []Owner
}

// Wanted is something that a step misses.
type Wanted struct {
	Path     string // of a file: whole, or its last parts: "ncursesw/curses.h"
	Provides string // a name that RPMs may provide: "pkgconfig(ncursesw)"
}

// Owner is an RPM that has it.
type Owner struct {
	RPM      string // its name
	Requires string // its name as specs write it: %{_cross_os}musl-devel
	Package  string // that makes it
	Path     string // of the file
	Entry    string // line of a manifest: musl = { path = "../musl" }
	Declared bool   // the failed package has that line
}

// manifest and spec are the files that a person edits.
func (t Tree) manifest() string { return "packages/" + t.Package + "/Cargo.toml" }
func (t Tree) spec() string     { return "packages/" + t.Package + "/" + t.Package + ".spec" }

// most is how many lines of a step's output are shown.
const most = 20

// output is the output of a failed step.
type output struct {
	tree  Tree
	lines []string // cleaned
	phase string   // in which rpmbuild failed
	start int      // of that phase in lines
}

// finding is what a rule has found. at is the line that says it, or -1.
type finding struct {
	phase, text, hint string
	at                int
	more              []string // lines that are not in the output
}

// rules are asked in this order: first those that know the cause best.
var rules = []func(*output) (finding, bool){
	missingSource, specError, fromRecipe, patchFails, patchFailsInGit, filesNotFound, filesUnpackaged,
	checkOfTarget, missingFile, missingHeader, missingLibrary, missingPackage, missingProgram,
	compileError, rustError, undefined, configureError, makeError, anyError,
}

// Of returns why a step failed whose output is lines. code is its exit status.
func Of(lines []string, code int, t Tree) *progress.Cause {
	o := &output{tree: t, lines: make([]string, len(lines))}
	for i, line := range lines {
		o.lines[i] = progress.Clean(line)
	}
	o.findPhase()
	for _, rule := range rules {
		if f, ok := rule(o); ok {
			return o.cause(f)
		}
	}
	return o.unknown(code)
}

// unknown returns what can be said of any failure. Of a phase that said nothing, it shows the
// commands.
func (o *output) unknown(code int) *progress.Cause {
	f := finding{at: -1, text: fmt.Sprintf("ended with exit code %d", code)}
	if last := o.around(-1, 1); len(last) > 0 {
		f.text += ": " + strings.TrimSpace(last[0])
		return o.cause(f)
	}
	var commands []string
	for _, line := range o.lines[o.start:] {
		if strings.HasPrefix(line, "+") {
			commands = append(commands, line)
		}
	}
	if n := len(commands); n > 0 {
		f.text += " after " + strings.TrimLeft(commands[n-1], "+ ")
		f.more = commands[max(n-most, 0):]
	}
	return o.cause(f)
}

func (o *output) cause(f finding) *progress.Cause {
	c := &progress.Cause{Phase: o.phase, Text: f.text, Hint: f.hint}
	if f.phase != "" {
		c.Phase = strings.Trim(f.phase, "-")
	}
	c.Lines = append(o.around(f.at, most-len(f.more)), f.more...)
	return c
}

// failedIn matches what rpmbuild says of the script of a phase.
var failedIn = regexp.MustCompile(`^\s*(?:error: )?Bad exit status from \S+ \((%[a-z_]+)\)`)

// findPhase finds the phase that failed, and where it began.
func (o *output) findPhase() {
	for i, line := range o.lines {
		if phase, ok := progress.Phase(line); ok && phase != "%mkbuilddir" {
			o.phase, o.start = phase, i
		}
		if m := failedIn.FindStringSubmatch(line); m != nil {
			o.phase = m[1]
		}
	}
}

// noise matches lines that say nothing about a cause: what a shell traces, what rpmbuild says of
// itself, and what is said in other words elsewhere.
var noise = regexp.MustCompile(`^(\++ |\s*$|Building (target|for target)|Executing\(|--- failed: |` +
	`RPM build (errors|warnings):|\s*(error: )?Bad exit status from |RPM_EC=|compilation terminated|` +
	`==> the last lines of |make(\[\d+\])?: (Entering|Leaving) directory|` +
	`make(\[\d+\])?: \*\*\* Waiting for unfinished jobs)`)

// around returns the lines that matter around one, at most n.
func (o *output) around(at, n int) []string {
	if n <= 0 {
		return nil
	}
	var before, after []string
	for i := o.start; i < len(o.lines); i++ {
		line := o.lines[i]
		if strings.HasPrefix(line, "RPM build ") { // rpmbuild says it all again
			break
		}
		switch {
		case noise.MatchString(line):
		case i < at || at < 0:
			before = append(before, line)
		default:
			after = append(after, line)
		}
	}
	if at < 0 {
		return before[max(len(before)-n, 0):]
	}
	context := 3
	if len(after) < n-context { // more of what came before, then
		context = n - len(after)
	}
	before = before[max(len(before)-context, 0):]
	all := append(slices.Clone(before), after...)
	return all[:min(len(all), n)]
}

// first returns the match of the first line of the phase that failed, and its place. Before a
// phase, as in images, it looks at all lines.
func (o *output) first(pattern *regexp.Regexp) (match []string, at int) {
	for i := o.start; i < len(o.lines); i++ {
		if strings.HasPrefix(o.lines[i], "+") { // a trace of a shell
			continue
		}
		if m := pattern.FindStringSubmatch(o.lines[i]); m != nil {
			return m, i
		}
	}
	return nil, -1
}

// all returns the matches of all lines, each once, and the place of the first.
func (o *output) all(pattern *regexp.Regexp) (matches [][]string, at int) {
	at = -1
	for i, line := range o.lines {
		m := pattern.FindStringSubmatch(line)
		if m == nil || slices.ContainsFunc(matches, func(x []string) bool {
			return slices.Equal(x[1:], m[1:])
		}) {
			continue
		}
		if matches = append(matches, m); at < 0 {
			at = i
		}
	}
	return matches, at
}
