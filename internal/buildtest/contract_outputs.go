// Contract, outputs: what a build must not leave, and how much.

package buildtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"buildsys/internal/errkind"
	"buildsys/internal/plan"
)

// The limits that Contract expects of a builder: a size of which an engine sends little before it
// is stopped, and the number of files that is usual.
const (
	MaxBytes = 64 << 20
	MaxFiles = 100_000
)

// forbiddenOutput is what a build leaves in /output because of a file LEAVE in its context, and how
// a builder refuses that.
type forbiddenOutput struct {
	target string
	leave  string       // what it leaves
	name   string       // in the error; "" if that names no file
	say    string       // in the error
	kind   errkind.Kind // of the error
}

var forbiddenOutputs = []forbiddenOutput{
	{"package", "disk /output/sda", "sda", "is a ", errkind.Integrity},
	{"package", "device /output/null", "null", "is a ", errkind.Integrity},
	{"kit", "fifo /output/pipe", "pipe", "is a ", errkind.Integrity},
	{"package", "mode /output/root 4755", "root", "setuid", errkind.Integrity},
	{"package", "mode /output/group 2755", "group", "setgid", errkind.Integrity},
	{"package", "capabilities /output/able", "able", "capabilities", errkind.Integrity},
	{"package", "link /output/up a.rpm", "up", "is a ", errkind.Integrity},
	{"kit", "link /output/up ../../etc/passwd", "up", "leaves the outputs", errkind.Integrity},
	{"package", "holes /output/hole", "", "outputs have more than 64 MiB", errkind.StepFailed},
	{"kit", fmt.Sprint("files /output/f ", MaxFiles+1), "", "outputs have more than 100000 files",
		errkind.StepFailed},
}

// Error and ErrorKind make it the Fake's error.
func (f forbiddenOutput) Error() string {
	return fmt.Sprintf("outputs: file %q: %s", f.name, f.say)
}

// ErrorKind returns the kind that every builder has for it.
func (f forbiddenOutput) ErrorKind() errkind.Kind { return f.kind }

func (c contract) forbidden(t *testing.T) {
	for _, bad := range forbiddenOutputs {
		t.Run(bad.target+" "+bad.leave, func(t *testing.T) {
			s := c.with(t, "LEAVE", bad.leave)
			s.Target = bad.target
			s.Dockerfile = recipe(s, "--mount=from="+plan.ContextPrefix+"package,target=/host/package")
			made, lines, err := c.build(t.Context(), t, s)
			if err == nil || errkind.Of(err) != bad.kind || transient(err) ||
				!strings.Contains(err.Error(), bad.say) || !strings.Contains(err.Error(), bad.name) {
				t.Errorf("error %v of kind %v, transient: %v; want %q about %q", err, errkind.Of(err),
					transient(err), bad.say, bad.name)
			}
			t.Log(err, lines) // how large a hole may be
			if names := slices.Collect(maps.Keys(made)); bad.name != "" &&
				slices.Contains(names, bad.name) {
				t.Errorf("%s was made", bad.name)
			}
		})
	}
}
