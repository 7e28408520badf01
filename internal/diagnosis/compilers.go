// compilers: what compilers, linkers, configure and make say.

package diagnosis

import (
	"regexp"
	"strings"
)

var (
	compiler   = regexp.MustCompile(`^([^\s:]+:\d+(?::\d+)?): (?:fatal )?error: (.+)$`)
	goCompiler = regexp.MustCompile(`^(?:\./)?(\S+\.go:\d+:\d+): (.+)$`)
	rust       = regexp.MustCompile(`^error(?:\[(E\d+)\])?: (.+)$`)
	rustPlace  = regexp.MustCompile(`^\s*--> (\S+:\d+:\d+)`)
	reference  = regexp.MustCompile(
		"(?:undefined reference to|undefined symbol:) [`'\"]?([^`'\"\\s]+)")
	configure = regexp.MustCompile(`^(?:configure: error: |CMake Error.*?: |.*?: ERROR: )(.+)$`)
	noRule    = regexp.MustCompile(
		`^make(?:\[\d+\])?: \*\*\* (No rule to make target .+)\.  Stop\.$`)
	anything = regexp.MustCompile(`^(?:[\w./+-]+: )?(?:fatal )?(?:error|ERROR|Error): (.+)$`)
)

// compileError finds the first error of a compiler: those after it often follow from it.
func compileError(o *output) (finding, bool) {
	m, at := o.first(compiler)
	if m == nil {
		if m, at = o.first(goCompiler); m == nil || strings.HasPrefix(m[2], "note") {
			return finding{}, false
		}
	}
	return finding{at: at, text: m[1] + ": " + m[2]}, true
}

// rustError finds an error of rustc, which names its place in the next line.
func rustError(o *output) (finding, bool) {
	for at := o.start; at < len(o.lines)-1; at++ {
		m := rust.FindStringSubmatch(o.lines[at])
		p := rustPlace.FindStringSubmatch(o.lines[at+1])
		if m != nil && p != nil {
			return finding{at: at, text: p[1] + ": " + m[2]}, true
		}
	}
	return finding{}, false
}

func undefined(o *output) (finding, bool) {
	m, at := o.first(reference)
	if m == nil {
		return finding{}, false
	}
	return finding{at: at, text: "the linker does not find " + m[1],
		hint: "the library that has it is not linked: look at the -l in the command, and at " +
			"its order"}, true
}

func configureError(o *output) (finding, bool) {
	m, at := o.first(configure)
	if m == nil {
		return finding{}, false
	}
	return finding{at: at, text: m[1]}, true
}

func makeError(o *output) (finding, bool) {
	m, at := o.first(noRule)
	if m == nil {
		return finding{}, false
	}
	return finding{at: at, text: m[1]}, true
}

// anyError finds a line that calls itself an error.
func anyError(o *output) (finding, bool) {
	for at := o.start; at < len(o.lines); at++ {
		line := o.lines[at]
		m := anything.FindStringSubmatch(line)
		if m != nil && !noise.MatchString(line) && !strings.HasPrefix(m[1], "ld returned") {
			return finding{at: at, text: strings.TrimSpace(line)}, true
		}
	}
	return finding{}, false
}
