// The transcript of an action: labelled lines that no two different sets of inputs can share.

package cache

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// salt begins every transcript. Raise the number when steps run differently from the same inputs, so that results of
// older programs are not used.
const salt = "buildsys action 1"

// Transcript collects the inputs of one step as text, for the hash and for people. The order of the lines counts, so
// callers add what has no order sorted.
type Transcript struct {
	text strings.Builder
}

// NewTranscript starts the transcript of a step, such as "package/bash x86_64".
func NewTranscript(step string) *Transcript {
	t := &Transcript{}
	t.text.WriteString(salt + "\n")
	t.Add("step", step)
	return t
}

// Add writes one line: the label, then the values, each quoted as a Go string when it is empty or holds anything but
// visible ASCII without quotes and backslashes. So different labels and values always give different text.
func (t *Transcript) Add(label string, values ...string) { t.AddLine(NewLine(label, values...)) }

// Line is one line of a transcript, to be added to several.
type Line struct{ text string }

// NewLine makes the line that Add writes.
func NewLine(label string, values ...string) Line {
	var b strings.Builder
	b.WriteString(word(label))
	for _, v := range values {
		b.WriteByte(' ')
		b.WriteString(word(v))
	}
	b.WriteByte('\n')
	return Line{b.String()}
}

// AddLine writes a line.
func (t *Transcript) AddLine(l Line) { t.text.WriteString(l.text) }

// String returns the lines added so far, each ended by a newline.
func (t *Transcript) String() string { return t.text.String() }

// ID returns the action ID: the sha256 of String.
func (t *Transcript) ID() ActionID { return ActionID(sha256.Sum256([]byte(t.text.String()))) }

// word returns v in the form it has in a line.
func word(v string) string {
	if isBare(v) {
		return v
	}
	return strconv.Quote(v)
}

func isBare(v string) bool {
	for i := range len(v) {
		if c := v[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return v != ""
}

// parseLine undoes Add. It accepts only what Add can have written.
func parseLine(line string) ([]string, error) {
	var words []string
	rest := line
	for {
		var one string
		if strings.HasPrefix(rest, `"`) {
			quoted, err := strconv.QuotedPrefix(rest)
			if err != nil {
				return nil, fmt.Errorf("bad quotes in %q", line)
			}
			one, _ = strconv.Unquote(quoted)
			rest = rest[len(quoted):]
			if word(one) != quoted {
				return nil, fmt.Errorf("needless quotes in %q", line)
			}
		} else {
			end := strings.IndexByte(rest, ' ')
			if end < 0 {
				end = len(rest)
			}
			one, rest = rest[:end], rest[end:]
			if !isBare(one) {
				return nil, fmt.Errorf("missing quotes in %q", line)
			}
		}
		words = append(words, one)
		if rest == "" {
			return words, nil
		}
		if rest[0] != ' ' {
			return nil, errors.New("missing space after quotes")
		}
		rest = rest[1:]
	}
}
