// Comparison of two objects of the same input: that which is kept, and that which was made again.

package objects

import (
	"bytes"
	"io"
	"strings"
)

// What entries of ccache have that differs each time: when they were made, and with it their
// checksum (ccache 4.7 and later, format 1).
const (
	ccacheTime    = 7 // after magic, versions, compression
	ccacheTimeEnd = ccacheTime + 8
	ccacheSum     = 16 // at the end
)

// comparison compares what is written to it with a kept value.
type comparison struct {
	key     string
	old     io.Reader
	size    int64 // of old
	at      int64
	differs bool
	buf     []byte
}

// Write implements io.Writer. Its error is that of reading the kept value.
func (c *comparison) Write(p []byte) (int, error) {
	if c.differs || c.at+int64(len(p)) > c.size {
		c.differs = true
		return len(p), nil
	}
	c.buf = append(c.buf[:0], p...)
	old := make([]byte, len(p))
	if _, err := io.ReadFull(c.old, old); err != nil {
		return 0, err
	}
	c.mask(c.buf)
	c.mask(old)
	c.differs = !bytes.Equal(c.buf, old)
	c.at += int64(len(p))
	return len(p), nil
}

// mask clears what need not be the same.
func (c *comparison) mask(p []byte) {
	if !strings.HasPrefix(c.key, ccachePrefix) || c.size < ccacheTimeEnd+ccacheSum {
		return
	}
	blank := func(from, to int64) {
		from, to = max(from-c.at, 0), min(to-c.at, int64(len(p)))
		if from < to {
			clear(p[from:to])
		}
	}
	blank(ccacheTime, ccacheTimeEnd)
	blank(c.size-ccacheSum, c.size)
}

// equal reports, at the end, whether both were the same.
func (c *comparison) equal() bool { return !c.differs && c.at == c.size }
