// work: how much is done for the specs of a tree. They come from others, and are looked at before
// every build.

package lint

import (
	"context"
	"strings"
)

const (
	// maxSpecWork bounds the work of reading one spec, and maxTreeWork that of searching all of them,
	// each in units of some hundred nanoseconds. Specs take about one for each of their bytes.
	maxSpecWork = 4_000_000
	maxTreeWork = 100_000_000
	// maxFindings is how many findings of one step are kept.
	maxFindings = 200
	// perName is the work of keeping one name, so that a spec has half a million at most.
	perName = 8
)

// work counts what is left to be done.
type work struct {
	ctx  context.Context
	left int
}

// take counts units. It returns false if there are not so many, and after the end of the context.
func (w *work) take(units int) bool {
	if w.left -= units; w.left < 0 || w.ctx.Err() != nil {
		w.left = -1
		return false
	}
	return true
}

// search returns whether a spec mentions a text, and true if that would take too long.
func (l *linter) search(spec *Spec, text string) bool {
	return !l.work.take(spec.text.Len()/64+1) || spec.mentions(text)
}

// unusedIn reports whether no line of a spec names a file. It returns false if that would take too
// long.
func (l *linter) unusedIn(spec *Spec, named map[string]bool, file string) bool {
	return !named[file] && !l.search(spec, file) && l.work.take(len(spec.Patterns)*8) &&
		!spec.mayName(file)
}

// finds is what a linter has found.
type finds struct {
	brought  map[string]bool         // packages that some need without declaring it
	broken   map[brokenNeed][]string // where
	findings []Finding
	unused   []Finding      // valid only if every architecture finds the same
	count    map[string]int // of a step
	kept     bool           // the last one is in findings
}

// room counts a finding of a step, and reports whether it is kept.
func (f *finds) room(step string) bool {
	f.count[step]++
	return f.count[step] <= maxFindings
}

// full reports whether nothing more is kept of a package.
func (l *linter) full(name string) bool {
	return l.count[packageStep(name)] >= maxFindings || l.work.ctx.Err() != nil
}

// users are the users and groups that files of packages make.
type users struct {
	names map[string]bool
	open  bool // there may be more
}

// makers are parts of specs that may make any user.
var makers = []string{"useradd", "groupadd"}

// addNames adds the names in a file of sysusers.d, passwd or group. It reports whether it is one.
func (u *users) addNames(text string) (is bool) {
	for line := range strings.Lines(text) {
		if anyUsers.MatchString(line) {
			is = true
		}
		name, _, isEntry := strings.Cut(line, ":")
		if isEntry && !strings.ContainsAny(name, " \t") {
			u.names[name] = true
		}
		kind, rest := cutSpace(line)
		if kind = strings.TrimSuffix(kind, "!"); kind != "u" && kind != "g" && kind != "m" {
			continue
		}
		name, _ = cutSpace(strings.TrimPrefix(rest, `"`))
		u.names[name] = true
		for i := range len(name) { // "name:group"
			if !isNameByte(name[i]) && i < maxUserName {
				u.names[name[:i]] = true
			}
		}
	}
	return is
}

// maxUserName bounds the name of a user, as Linux does.
const maxUserName = 256
