// section: extracts the part of a Dockerfile that one target is made of.

package plan

import (
	"bytes"
	"slices"

	"buildsys/internal/workspace"
)

// section returns the parts of a Dockerfile that a target needs: all before the first part, and
// the target's own. So an edit of how images are made leaves the keys of all packages alone. Lines
// of other parts become empty, which keeps line numbers right in the engine's messages. A
// Dockerfile without a part for the target is returned whole.
func section(dockerfile []byte, target string) []byte {
	parts := workspace.Parts(dockerfile)
	own := func(p workspace.Part) bool { return p.Uses(target) }
	if !slices.ContainsFunc(parts[1:], own) {
		return dockerfile
	}
	var out bytes.Buffer
	for _, p := range parts {
		if own(p) {
			out.Write(p.Text)
		} else {
			out.Write(bytes.Repeat([]byte("\n"), bytes.Count(p.Text, []byte("\n"))))
		}
	}
	return append(bytes.TrimRight(out.Bytes(), "\n"), '\n')
}
