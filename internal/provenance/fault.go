// fault: what is wrong with an image, by kinds that scripts can tell apart.

package provenance

import (
	"fmt"
	"slices"
	"strings"

	"buildsys/internal/errkind"
	"buildsys/internal/safetext"
)

// Kind is the sort of a fault.
type Kind string

// The kinds of faults. Where an image has several, the first in this list is that of all.
const (
	BadSignature Kind = "signature" // it is not of the key, or there is none
	BadStatement Kind = "statement" // it cannot be read, or is not about this image
	BadStep      Kind = "step"      // the statement of a step is not the one that the image's names
	BadFiles     Kind = "files"     // one was changed, is missing, or is too many
	BadSBOM      Kind = "sbom"      // it does not say what is in the image
	BadContents  Kind = "contents"  // the image contradicts itself
	BadRebuild   Kind = "rebuild"   // the image comes out otherwise
)

// Kinds has all kinds in order.
var Kinds = []Kind{BadSignature, BadStatement, BadStep, BadFiles, BadSBOM, BadContents,
	BadRebuild}

// Fault is one thing that is wrong.
type Fault struct {
	Kind   Kind   `json:"kind"`
	Name   string `json:"name"` // of the file, partition, step or package
	Reason string `json:"reason"`
}

// String returns the fault in one line.
func (f Fault) String() string {
	return fmt.Sprintf("%s: %s: %s", f.Kind, safetext.Line(f.Name), safetext.Line(f.Reason))
}

// Faults is an error with everything that is wrong with an image.
type Faults []Fault

// maxLines is how many faults are said.
const maxLines = 200

// Error returns a line for each fault, but for those after many.
func (f Faults) Error() string {
	var lines []string
	for i, one := range f {
		if i == maxLines {
			lines = append(lines, fmt.Sprintf("and %d more", len(f)-i))
			break
		}
		lines = append(lines, one.String())
	}
	return strings.Join(lines, "\n")
}

// ErrorKind returns errkind.Integrity.
func (Faults) ErrorKind() errkind.Kind { return errkind.Integrity }

// Kind returns the kind of all.
func (f Faults) Kind() Kind {
	first := len(Kinds)
	for _, one := range f {
		if at := slices.Index(Kinds, one.Kind); at >= 0 {
			first = min(first, at)
		}
	}
	if first == len(Kinds) {
		return ""
	}
	return Kinds[first]
}

func faultf(kind Kind, name, format string, args ...any) Fault {
	return Fault{kind, name, fmt.Sprintf(format, args...)}
}
