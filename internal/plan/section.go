// section: the part of a Dockerfile that one target is made of.

package plan

import (
	"bytes"
	"regexp"
)

// sectionLine begins the part of a Dockerfile that only one target uses, up to the next such line.
var sectionLine = regexp.MustCompile("^# ---- target `([a-z-]+)`")

// section returns what a target needs of a Dockerfile: what stands before the first section, and
// its own. An edit of how images are made then leaves the keys of all packages alone. Lines keep
// their numbers, for the messages of the engine: those of other sections are empty. A Dockerfile
// without a section for the target is used whole.
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
