// within: work that nothing can stop.

package ctxio

import (
	"context"
	"fmt"
	"time"
)

// Within does what nothing stops, such as looking at keys of others, which may be so large that it
// takes days. It returns when that is done, when ctx ends, or after patience; what goes on after
// that counts for nothing. what names it in the error.
func Within[T any](ctx context.Context, patience time.Duration, what string,
	do func() (T, error)) (T, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience,
		fmt.Errorf("%s takes more than %v", what, patience))
	defer cancel()
	var value T
	var err error
	done := make(chan struct{})
	go func() { defer close(done); value, err = do() }()
	select {
	case <-done:
		return value, err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}
