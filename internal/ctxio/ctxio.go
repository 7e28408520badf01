// Package ctxio has a reader that ends with a context, for loops over the data of others: packed
// data may have no end.
package ctxio

import (
	"context"
	"io"
)

// NewReader returns a reader of r that fails once ctx is done, with the cause.
func NewReader(ctx context.Context, r io.Reader) io.Reader { return reader{ctx, r} }

type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}
