// section: extracts the part of a Dockerfile that one target is made of.

package plan

import (
	"bytes"
	"slices"

	"buildsys/internal/workspace"
)

// hasPart reports whether a Dockerfile has a part for the steps of a kind. A tree's own copy of the
// recipe may be from before there were steps of that kind.
func hasPart(dockerfile []byte, kind Kind) bool {
	return slices.ContainsFunc(workspace.Parts(dockerfile)[1:],
		func(p workspace.Part) bool { return p.Uses(string(kind)) })
}

// section returns the parts of a Dockerfile that a target needs: all before the first part, and
// the target's own. So an edit of how images are made leaves the keys of all packages alone. Lines
// of other parts become empty, which keeps line numbers right in the engine's messages. A
// Dockerfile without a part for the target is returned whole.
func section(dockerfile []byte, target string) []byte {
	if !hasPart(dockerfile, Kind(target)) {
		return dockerfile
	}
	var out bytes.Buffer
	for _, p := range workspace.Parts(dockerfile) {
		if p.Uses(target) {
			out.Write(p.Text)
		} else {
			out.Write(bytes.Repeat([]byte("\n"), bytes.Count(p.Text, []byte("\n"))))
		}
	}
	return append(bytes.TrimRight(out.Bytes(), "\n"), '\n')
}
