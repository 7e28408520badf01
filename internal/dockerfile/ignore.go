// ignore: the files that a .dockerignore excludes from the build context.

package dockerfile

import (
	"bytes"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// IgnoreName is the name of the file that excludes others from the build context.
const IgnoreName = ".dockerignore"

// Ignore is the set of patterns in a .dockerignore. It is not safe for concurrent use. The zero
// value ignores nothing.
type Ignore struct {
	Patterns []string
	matcher  *patternmatcher.PatternMatcher
}

// ParseIgnore reads a .dockerignore.
func ParseIgnore(text []byte) (*Ignore, error) {
	patterns, err := ignorefile.ReadAll(bytes.NewReader(text))
	if err != nil {
		return nil, &Error{File: IgnoreName, Err: err}
	}
	m, err := patternmatcher.New(patterns)
	if err != nil {
		return nil, &Error{File: IgnoreName, Err: err}
	}
	return &Ignore{patterns, m}, nil
}

// Matches reports whether a file, by its slash path in the context, is excluded.
func (i *Ignore) Matches(name string) bool {
	if i.matcher == nil || len(i.Patterns) == 0 {
		return false
	}
	out, err := i.matcher.MatchesOrParentMatches(name)
	return out && err == nil // New has compiled the patterns, so err is nil
}
