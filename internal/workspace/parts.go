// parts: the parts of a Dockerfile of a recipe, each of which only some targets use.

package workspace

import (
	"bytes"
	"fmt"
	"regexp"
)

// partLine begins a part of a Dockerfile: the targets that use it are named in the line before a
// colon. The part ends at the next such line.
var partLine = regexp.MustCompile("^# ---- targets? [^:]*")

// Part is a part of a Dockerfile.
type Part struct {
	Names []byte // of its targets, as they are written; empty for what precedes the first part
	Text  []byte
}

// Parts returns the parts of a Dockerfile in their order. The first is what all targets use.
func Parts(dockerfile []byte) []Part {
	parts, start, at := []Part{{}}, 0, 0
	end := func() { parts[len(parts)-1].Text = dockerfile[start:at:at] }
	for line := range bytes.Lines(dockerfile) {
		if names := partLine.Find(line); names != nil {
			end()
			parts, start = append(parts, Part{Names: names}), at
		}
		at += len(line)
	}
	end()
	return parts
}

// Uses reports whether a target uses the part.
func (p Part) Uses(target string) bool {
	return p.Names == nil || bytes.Contains(p.Names, []byte("`"+target+"`"))
}

// replaceParts returns a Dockerfile with parts in the places of those that have the same names.
func replaceParts(dockerfile, by []byte) ([]byte, error) {
	parts := Parts(dockerfile)
	for _, other := range Parts(by)[1:] {
		found := false
		for i, p := range parts {
			if bytes.Equal(p.Names, other.Names) {
				parts[i].Text, found = other.Text, true
			}
		}
		if !found {
			return nil, fmt.Errorf("read the recipe inside buildsys: it has no part %q to replace",
				other.Names)
		}
	}
	var out []byte
	for _, p := range parts {
		out = append(out, bytes.TrimRight(p.Text, "\n")...)
		out = append(out, "\n\n\n"...)
	}
	return append(bytes.TrimRight(out, "\n"), '\n'), nil
}
