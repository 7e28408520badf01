// transcript: the inputs of an action as labelled lines, different for different inputs.

package cache

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// salt begins every transcript. Increase the number when steps run differently from the same
// inputs, so that results of older programs are not used.
const salt = "buildsys action 1"

// Transcript collects the inputs of one step as text, for the hash and for people. The order of the
// lines matters, so callers sort inputs that have no order.
type Transcript struct {
	text []byte
}

// Add writes one line: the label, then the values, each quoted as a Go string if it is empty or
// contains anything but visible ASCII without quotes and backslashes. So different labels and
// values always give different text.
func (t *Transcript) Add(label string, values ...string) { t.AddWords(label, NewWords(values...)) }

// Words are the values of a line, for use in several transcripts.
type Words struct{ text string }

// NewWords formats the values as Add does.
func NewWords(values ...string) Words {
	var b strings.Builder
	for _, v := range values {
		b.WriteByte(' ')
		b.WriteString(word(v))
	}
	return Words{b.String()}
}

// AddWords is Add with the values of NewWords.
func (t *Transcript) AddWords(label string, w Words) {
	t.text = append(t.text, word(label)...)
	t.text = append(t.text, w.text...)
	t.text = append(t.text, '\n')
}

// Restart empties t, keeping its memory, and begins the transcript of a step, such as "package/bash
// x86_64".
func (t *Transcript) Restart(step string) {
	t.text = append(t.text[:0], salt+"\n"...)
	t.Add("step", step)
}

// String returns the lines added so far, each ended by a newline.
func (t *Transcript) String() string { return string(t.text) }

// ID returns the action ID: the sha256 of String.
func (t *Transcript) ID() ActionID { return ActionID(sha256.Sum256(t.text)) }

// word returns v as it is written in a line.
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

// parseLine undoes Add. It accepts only lines that Add writes.
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
