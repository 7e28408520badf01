// xz: unpacks xz within a bound on memory. github.com/ulikunitz/xz takes dictionaries as large as a
// file says, 4 GiB for each block. So its LZMA2 reader alone is used; the container is read here:
// streams of blocks, each behind a header that names its dictionary. Their checksums say nothing:
// the archive has its sha512.

package archive

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

const (
	// maxDict is the dictionary of xz -9, the largest preset.
	maxDict = 64 << 20
	// The dictionaries of all blocks, which are cleared, may have maxDicts bytes and dictRatio for
	// each unpacked one. xz -T makes blocks of three times their dictionaries, people smaller ones.
	maxDicts  = 4 * maxDict
	dictRatio = 8
	// maxBlocks bounds the blocks of all streams. Those of xz -T have at least a megabyte.
	maxBlocks = 1 << 16
)

var errNotXZ = errors.New("xz: the file is damaged")

// xzReader reads all streams of a file.
type xzReader struct {
	in     counted
	check  int       // bytes of the checksum behind each block
	inside bool      // a stream
	block  io.Reader // nil between blocks
	blocks int       // of this stream
	count  int       // of blocks of all streams
	dicts  int64     // bytes of their dictionaries
	out    int64     // unpacked bytes
}

func newXZ(in *bufio.Reader) *xzReader { return &xzReader{in: counted{Reader: in}} }

// Read reads unpacked bytes.
func (x *xzReader) Read(p []byte) (n int, err error) {
	for len(p) > 0 && n == 0 && err == nil {
		if x.block == nil {
			if err := x.next(); err != nil {
				return 0, err
			}
		}
		n, err = x.block.Read(p)
		x.out += int64(n)
		if errors.Is(err, io.EOF) {
			x.block = nil
			err = x.skip(x.check)
		}
	}
	return n, err
}

// next begins a block. After the last one of the last stream, the error is io.EOF.
func (x *xzReader) next() error {
	for {
		if !x.inside {
			if err := x.stream(); err != nil {
				return err
			}
		}
		x.in.n = 0
		size, err := x.in.ReadByte()
		if err != nil {
			return unexpected(err)
		}
		if size != 0 {
			return x.begin((int(size)+1)*4 - 1)
		}
		if err := x.index(); err != nil {
			return unexpected(err)
		}
		x.inside = false
	}
}

// stream reads the header of a stream, and the zeros before it.
func (x *xzReader) stream() error {
	for {
		head, err := x.in.Peek(4)
		if len(head) == 0 && errors.Is(err, io.EOF) {
			return io.EOF
		}
		if err != nil {
			return unexpected(err)
		}
		if string(head) != "\x00\x00\x00\x00" {
			break
		}
		_, _ = x.in.Discard(4)
	}
	var head [12]byte
	if _, err := io.ReadFull(x.in.Reader, head[:]); err != nil {
		return unexpected(err)
	}
	if string(head[:7]) != "\xfd7zXZ\x00\x00" || head[7] > 15 {
		return errNotXZ
	}
	x.check = [...]int{0, 4, 8, 16, 32, 64}[(head[7]+2)/3]
	x.inside, x.blocks = true, 0
	return nil
}

// begin reads the rest of the header of a block.
func (x *xzReader) begin(size int) error {
	head := make([]byte, size)
	if _, err := io.ReadFull(x.in.Reader, head); err != nil {
		return unexpected(err)
	}
	flags, fields := head[0], head[1:size-4]
	for range int(flags>>6&1 + flags>>7) { // the sizes of the block
		_, n := binary.Uvarint(fields)
		if n <= 0 {
			return errNotXZ
		}
		fields = fields[n:]
	}
	if flags&0x3f != 0 || len(fields) < 3 || fields[0] != 0x21 || fields[1] != 1 {
		return errors.New("xz: it uses a filter other than LZMA2: pack it again, with xz -6")
	}
	dict, err := lzma.DecodeDictCap(fields[2])
	if err != nil {
		return errNotXZ
	}
	x.blocks, x.count, x.dicts = x.blocks+1, x.count+1, x.dicts+dict
	switch {
	case dict > maxDict:
		return fmt.Errorf("xz: it needs a dictionary of %d MiB, more than %d: pack it again, "+
			"with xz -9 at most", dict>>20, maxDict>>20)
	case x.dicts > maxDicts+dictRatio*x.out || x.count > maxBlocks:
		return fmt.Errorf("xz: its blocks are small or many: %d with %d bytes, and dictionaries of %d: "+
			"pack it again, without --block-size", x.count-1, x.out, x.dicts)
	}
	x.in.n = 0
	x.block, err = lzma.Reader2Config{DictCap: max(int(dict), lzma.MinDictCap)}.NewReader2(&x.in)
	return unexpected(err)
}

// index reads the index of a stream, which has two numbers for each block, and its footer.
func (x *xzReader) index() error {
	blocks, err := binary.ReadUvarint(&x.in)
	if err == nil && blocks != uint64(x.blocks) {
		err = errNotXZ
	}
	for range 2 * x.blocks {
		if err != nil {
			return err
		}
		_, err = binary.ReadUvarint(&x.in)
	}
	if err != nil {
		return err
	}
	const checksum, footer = 4, 12
	return x.skip(checksum + footer)
}

// skip goes to the next multiple of four bytes and past n more.
func (x *xzReader) skip(n int) error {
	_, err := x.in.Discard(int(-x.in.n&3) + n)
	return unexpected(err)
}

// unexpected returns err, or for the end of the file that it ends too early.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// counted counts the bytes that are read.
type counted struct {
	*bufio.Reader
	n int64
}

// Read reads bytes.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

// ReadByte reads a byte.
func (c *counted) ReadByte() (byte, error) {
	b, err := c.Reader.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}
