// ignore: what a .dockerignore keeps out of the build context.

package dockerfile

import (
	"bytes"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// IgnoreName is the file that keeps others out of the build context.
const IgnoreName = ".dockerignore"

// Ignore is a set of patterns as in a .dockerignore. It is not for concurrent use. The zero value
// ignores nothing.
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

// Matches says whether a file, by its slash path in the context, is kept out.
func (i *Ignore) Matches(name string) bool {
	if i.matcher == nil || len(i.Patterns) == 0 {
		return false
	}
	out, err := i.matcher.MatchesOrParentMatches(name)
	return out && err == nil // patterns were compiled by New; a bad one is found there
}
