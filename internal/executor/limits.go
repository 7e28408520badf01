// Limits of one step: how long it may run.

package executor

import (
	"context"
	"errors"
	"fmt"

	"buildsys/internal/engine"
)

// build calls the builder, and stops it when the step runs for longer than it may: engines know no
// such limit. What a step leaves is the builder's to bound, who sees it arrive. origin is that of
// the entry of the result.
func (w worker) build(ctx context.Context, dir string) (origin string, err error) {
	limited, stop := ctx, context.CancelFunc(func() {})
	if limit := w.o.StepTime; limit > 0 {
		limited, stop = context.WithTimeoutCause(ctx, limit,
			&engine.LimitError{What: fmt.Sprintf("it ran for more than %v (--step-timeout)", limit)})
	}
	defer stop()
	served := w.objects()
	err = w.o.Builder.Build(limited, w.withObjects(w.solve(), served), dir, w.report)
	origin, differs := w.endObjects(served, err == nil && limited.Err() == nil)
	if differs != nil { // worse than anything else: results of earlier builds may be wrong, too
		return "", differs
	}
	over, late := errors.AsType[*engine.LimitError](context.Cause(limited))
	if late && err != nil && ctx.Err() == nil {
		return "", over
	}
	return origin, err
}
