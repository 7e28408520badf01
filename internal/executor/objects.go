// Objects: what compilers made in earlier steps is served to a step while it runs.

package executor

import (
	"bytes"
	"io"

	"buildsys/internal/cache"
	"buildsys/internal/objects"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// objectsSocket is the name of the recipe's mount for a package's objects.
const objectsSocket = "buildsys-objects"

// objects returns the objects that the step may use, or nil for none.
func (w worker) objects() *objects.Step {
	s := w.step.Solve
	if w.o.Cache == nil || w.step.Kind != plan.Package || w.plan.Own || s.Fresh ||
		!bytes.Contains(s.Dockerfile, []byte("id="+objectsSocket)) { // nobody would ask
		return nil
	}
	return w.o.Cache.Objects.Step(w.step.Name)
}

// withObjects returns a build that objects are served to.
func (w worker) withObjects(s plan.Solve, served *objects.Step) plan.Solve {
	if served != nil {
		s.Sockets = map[string]func(io.ReadWriteCloser){objectsSocket: served.Serve}
	}
	return s
}

// endObjects ends the service and reports it. It returns what the result is made of, as the Origin
// of an entry, or that an object differs from what the compiler made.
func (w worker) endObjects(served *objects.Step, well bool) (origin string, differs error) {
	stats, differs := served.Close(well)
	if stats.Asked+stats.Refused > 0 {
		w.report(progress.Event{Kind: progress.StepObjects, Text: stats.String(), Bytes: stats.Served})
	}
	if stats.Known > 0 {
		origin = cache.FromObjects
	}
	return origin, differs
}
