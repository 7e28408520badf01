// section: extracts the part of a Dockerfile that one target is made of.

package plan

import (
	"bytes"
	"regexp"
)

// sectionLine begins the part of a Dockerfile that only one target uses. The part ends at the next
// such line.
var sectionLine = regexp.MustCompile("^# ---- target `([a-z-]+)`")

// section returns the part of a Dockerfile that a target needs: all before the first section, and
// the target's own. So an edit of how images are made leaves the keys of all packages alone. Lines
// of other sections become empty, which keeps line numbers right in the engine's messages. A
// Dockerfile without a section for the target is returned whole.
func section(dockerfile []byte, target string) []byte {
	var out bytes.Buffer
	current, found := "", false
	for line := range bytes.Lines(dockerfile) {
		if m := sectionLine.FindSubmatch(line); m != nil {
			current = string(m[1])
			found = found || current == target
		}
		if current != "" && current != target {
			line = []byte("\n")
		}
		out.Write(line)
	}
	if !found {
		return dockerfile
	}
	return append(bytes.TrimRight(out.Bytes(), "\n"), '\n')
}
