// log: downloads what a step printed on the machine that built it.

package remote

import (
	"context"
	"fmt"
	"os"
	"slices"

	"buildsys/internal/bytesize"
	"buildsys/internal/cache"
	"buildsys/internal/oci"
)

// maxLog is the size of the largest log that is downloaded. A kernel's has three MiB.
const maxLog = 256 << 20

// FetchLog downloads the log of e, which Lookup returned in this run or an earlier one, into the
// empty file to, and checks every byte. After an error, to may hold some of it. A result is as good
// without its log, so no error refuses the result.
func (c *Cache) FetchLog(ctx context.Context, e cache.Entry, to *os.File) error {
	switch {
	case e.Log.Size > maxLog:
		return fmt.Errorf("the log has %s, more than %s", bytesize.Format(e.Log.Size),
			bytesize.Format(maxLog))
	case e.Log.IsZero():
		return ErrNotFound
	case !c.Reads():
		return fmt.Errorf("it is in %s, which is not used", e.Origin)
	case e.Log == oci.BlobOf(nil):
		return nil
	}
	at := slices.IndexFunc(c.from, func(t *target) bool { return t.place.String() == e.Origin })
	if at < 0 {
		return fmt.Errorf("it is in %s, which is not used", e.Origin)
	}
	budget := c.o.Limits.budget(e.Log.Size)
	ctx, cancel := context.WithTimeoutCause(ctx, budget, slowError{budget})
	defer cancel()
	return c.from[at].download(ctx, e.Log, to)
}
