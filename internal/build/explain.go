// explain: says why a step failed, by its output, before anybody is told that it did.

package build

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"

	"buildsys/internal/confined"
	"buildsys/internal/diagnosis"
	"buildsys/internal/errkind"
	"buildsys/internal/progress"
	"buildsys/internal/workspace"
)

// How much of the end of a log is read. What fails says so at the end, but for what other jobs of
// make still print.
const (
	maxExplained = 1 << 20
	maxLines     = 20_000
)

// explainer is a sink that adds the cause to the events of steps that failed, and passes all events
// on. The logs are written before.
type explainer struct {
	s    *Session
	log  func(step string) string   // path of the step's output
	tail func(step string) []string // its last lines, if there is no log
	next progress.Sink

	mu     sync.Mutex
	causes map[string]*progress.Cause // by step
}

// Event implements progress.Sink.
func (x *explainer) Event(e progress.Event) {
	if e.Kind == progress.StepFailed && e.Cause == nil {
		e.Cause = x.cause(e.Step, e.Err)
		x.mu.Lock()
		x.causes[e.Step] = e.Cause
		x.mu.Unlock()
	}
	x.next.Event(e)
}

// add adds the causes to a summary.
func (x *explainer) add(s *progress.Summary) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range s.Failures {
		s.Failures[i].Cause = x.causes[s.Failures[i].Step]
	}
}

// cause returns why a step failed, or nil if its output does not have the reason.
func (x *explainer) cause(step string, err error) *progress.Cause {
	var inOutput interface{ InOutput() (exit int, ok bool) }
	if !errors.As(err, &inOutput) || errkind.Of(err) != errkind.StepFailed {
		return nil
	}
	exit, ok := inOutput.InOutput()
	if !ok {
		return nil
	}
	lines, err := lastLines(x.log(step))
	if err != nil {
		lines = x.tail(step)
	}
	kind, name, _ := strings.Cut(step, "/")
	var tree diagnosis.Tree
	if kind == "package" {
		tree = x.tree(name)
	}
	return diagnosis.Of(lines, exit, tree)
}

// tree answers questions about the tree of a package.
func (x *explainer) tree(name string) diagnosis.Tree {
	t := diagnosis.Tree{Package: name}
	ws, err := workspace.Load(x.s.c.Root, x.s.c.Strictness)
	if err != nil || ws.Packages[name] == nil { // it was changed meanwhile
		return t
	}
	p := ws.Packages[name]
	t.File = func(file string) []byte {
		data, err := confined.ReadIn(ws.FS, p.Dir+"/"+file, maxExplained)
		if err != nil {
			return nil
		}
		return data
	}
	index := sync.OnceValue(func() []rpmFiles { return x.s.indexRPMs(ws) })
	t.Owners = func(w diagnosis.Wanted) []diagnosis.Owner { return ownersOf(ws, p, index(), w) }
	return t
}

// lastLines returns the last lines of a file.
func lastLines(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	skipped := max(info.Size()-maxExplained, 0)
	data, err := io.ReadAll(io.NewSectionReader(f, skipped, maxExplained))
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if skipped > 0 { // the first line is cut
		lines = lines[1:]
	}
	return lines[max(len(lines)-maxLines, 0):], err
}
