// section: extracts the part of a Dockerfile that one target is made of.

package plan

import (
	"bytes"
	"regexp"
)

// sectionLine begins a part of a Dockerfile that only some targets use: those whose names are in
// the line before a colon. The part ends at the next such line.
var sectionLine = regexp.MustCompile("^# ---- targets? [^:]*")

// section returns the parts of a Dockerfile that a target needs: all before the first section, and
// the target's own. So an edit of how images are made leaves the keys of all packages alone. Lines
// of other sections become empty, which keeps line numbers right in the engine's messages. A
// Dockerfile without a section for the target is returned whole.
func section(dockerfile []byte, target string) []byte {
	var out bytes.Buffer
	own, found := true, false
	for line := range bytes.Lines(dockerfile) {
		if names := sectionLine.Find(line); names != nil {
			own = bytes.Contains(names, []byte("`"+target+"`"))
			found = found || own
		}
		if !own {
			line = []byte("\n")
		}
		out.Write(line)
	}
	if !found {
		return dockerfile
	}
	return append(bytes.TrimRight(out.Bytes(), "\n"), '\n')
}
