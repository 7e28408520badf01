// Objects: what compilers made in earlier steps is served to a step while it runs.

package executor

import (
	"bytes"
	"io"

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

// endObjects ends the service, reports it, and returns the build's error. That an object differs
// from what the compiler made is worse than anything else: no result may be kept.
func (w worker) endObjects(served *objects.Step, err error) error {
	stats, differs := served.Close()
	if stats.Asked+stats.Refused > 0 {
		w.report(progress.Event{Kind: progress.StepObjects, Text: stats.String(), Bytes: stats.Served})
	}
	if differs != nil {
		return differs
	}
	return err
}
