// missing: files, headers, libraries and programs that a build looks for and does not have.

package diagnosis

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"buildsys/internal/progress"
)

var (
	specsFile   = regexp.MustCompile(`cannot read spec file '([^']+)'`)
	header      = regexp.MustCompile(`^(\S+?:\d+(?::\d+)?): fatal error: (\S+): No such file or directory`)
	library     = regexp.MustCompile(`cannot find -l([^\s:]+)`)
	pkgConfig   = regexp.MustCompile(`^Package '?([^'\s,]+?)'? was not found in the pkg-config search path`)
	noPkgConfig = regexp.MustCompile(`^(?:No package '([^']+)' found|Package '([^']+)', required by )`)
	// A line of bash ("x: line 3: "), of dash ("x: 3: "), of make or of env comes before the
	// program.
	command = regexp.MustCompile(`^(?:\S+: (?:line )?\d+: |env: |(?:make(?:\[\d+\])?|bash|sh): )` +
		`['‘]?([^\s:'’]+)['’]?: (command not found|not found|No such file or directory)$`)
)

// missingFile finds a specs file of the compiler that is not there: that of the C library.
func missingFile(o *output) (finding, bool) {
	m, at := o.first(specsFile)
	if m == nil {
		return finding{}, false
	}
	name := path.Base(m[1])
	f := finding{at: at, text: "the compiler needs " + name + ", which is not there"}
	f.hint = o.owner(Wanted{Path: m[1]}, name)
	return f, true
}

func missingHeader(o *output) (finding, bool) {
	m, at := o.first(header)
	if m == nil {
		return finding{}, false
	}
	f := finding{at: at, text: fmt.Sprintf("%s: the header %s is not there", m[1], m[2])}
	f.hint = o.owner(Wanted{Path: "include/" + m[2]}, m[2])
	return f, true
}

func missingLibrary(o *output) (finding, bool) {
	m, at := o.first(library)
	if m == nil {
		return finding{}, false
	}
	f := finding{at: at, text: fmt.Sprintf("the linker does not find the library %s (-l%[1]s)", m[1])}
	name := "lib" + m[1]
	if f.hint = o.known(Wanted{Path: name + ".so"}, name+".so"); f.hint == "" {
		f.hint = o.owner(Wanted{Path: name + ".a"}, name)
	}
	return f, true
}

func missingPackage(o *output) (finding, bool) {
	m, at := o.first(pkgConfig)
	if m == nil {
		if m, at = o.first(noPkgConfig); m == nil {
			return finding{}, false
		}
	}
	name := strings.Join(m[1:], "")
	f := finding{at: at, text: "pkg-config does not find " + name}
	if f.hint = o.known(Wanted{Path: "pkgconfig/" + name + ".pc"}, name+".pc"); f.hint == "" {
		f.hint = o.owner(Wanted{Provides: "pkgconfig(" + name + ")"}, "pkgconfig("+name+")")
	}
	return f, true
}

func missingProgram(o *output) (finding, bool) {
	m, at := o.first(command)
	if m == nil || strings.Contains(m[1], "/") && !strings.HasPrefix(m[1], "/") {
		return finding{}, false
	}
	f := finding{at: at, text: "there is no program " + m[1]}
	f.hint = o.owner(Wanted{Path: "bin/" + path.Base(m[1])}, path.Base(m[1]))
	return f, true
}

var cannotRun = regexp.MustCompile(`(?:^|[\s:'])(\.{0,2}/?[^\s:']*/[^\s:']+)'?: ` +
	`(?:cannot execute(?:: required file not found| binary file.*)?|not found|` +
	`No such file or directory|Exec format error)`)

// checkOfTarget finds a %check that runs what was built for the target. A program that is there and
// "not found" has no loader.
func checkOfTarget(o *output) (finding, bool) {
	if o.phase != "%check" {
		return finding{}, false
	}
	m, at := o.first(cannotRun)
	if m == nil {
		return finding{}, false
	}
	return finding{at: at, text: m[1] + " is built for the target and cannot run in the build: its " +
		"loader is not there", hint: "take %check out of " + o.specName() + ", or have it test a build " +
		"for the build machine (gcc, not %{_cross_cc})"}, true
}

// owner returns what to do about something missing: which RPM has it, and the line to add.
func (o *output) owner(w Wanted, name string) string {
	if hint := o.known(w, name); hint != "" {
		return hint
	}
	if o.tree.Owners == nil {
		return ""
	}
	return "no RPM of the tree that is built so far has " + name
}

// known is owner for what some RPM has; otherwise it returns "".
func (o *output) known(w Wanted, name string) string {
	if o.tree.Owners == nil {
		return ""
	}
	owners := o.tree.Owners(w)
	if len(owners) == 0 {
		return ""
	}
	own := owners[0]
	if strings.HasPrefix(w.Path, "bin/") && sysroot.MatchString(own.Path) {
		return fmt.Sprintf("%s is in %s, as a program of the target: a build can run only those of the "+
			"SDK", clean(name), clean(own.RPM))
	}
	if own.Package == o.tree.Package {
		return ""
	}
	hint := fmt.Sprintf("%s is in %s: add", clean(name), clean(own.RPM))
	if !own.Declared && own.Entry != "" {
		hint += fmt.Sprintf(" %s to [build-dependencies] in %s, and", own.Entry, o.tree.manifest())
	}
	return hint + fmt.Sprintf(" \"BuildRequires: %s\" to %s", clean(own.Requires), o.tree.spec())
}

func clean(text string) string { return progress.Clean(text) }
