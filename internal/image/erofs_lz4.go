// Reads compressed files of erofs: an index says for each cluster of a file where its bytes begin
// in a piece of lz4 data.

package image

import (
	"encoding/binary"
	"errors"
	"fmt"
)

var errCluster = errors.New("its index of compressed data is damaged")

// Types of clusters. A head is where a piece begins; those after it belong to it.
const (
	clusterPlain = iota
	clusterHead
	clusterNext
	clusterHead2 // a head with the second algorithm
)

// Bits of h_advise.
const (
	adviseCompact2B  = 0x1 // in full indexes: extents
	adviseBig1       = 0x2
	adviseBig2       = 0x4
	adviseInline     = 0x8
	adviseInterlaced = 0x10
	adviseFragment   = 0x20
)

const (
	// countsBlocks says that the first cluster behind a head has the number of the piece's blocks.
	countsBlocks = 1 << 11
	maxPiece     = 1 << 20 // bytes of compressed data: the limit of erofs
	// maxUnpacked bounds what one piece becomes. lz4 makes at most 255 bytes of one.
	maxUnpacked = 256 * maxPiece
)

// clusters is the index of a compressed file.
type clusters struct {
	f        *Erofs
	file     Inode
	advise   uint16
	inline   int64 // bytes of the last piece, if it is behind the index
	lz4      [2]bool
	bits     uint  // of a cluster's size
	total    int64 // clusters
	base     int64 // offset of the first entry
	end      int64 // of the index
	cached   []byte
	cachedAt int64
}

// cluster is an entry of the index.
type cluster struct {
	kind   int
	offset int64 // in the cluster, where a piece begins
	block  int64 // of a head
	blocks int64 // of the piece, if the entry behind a head says it
}

func (f *Erofs) openClusters(file Inode) (*clusters, error) {
	c := &clusters{f: f, file: file, cachedAt: -1}
	at := (file.layout.after + 7) &^ 7
	var h [8]byte
	if err := f.readAt(h[:], at); err != nil {
		return nil, fmt.Errorf("read its index: %w", err)
	}
	c.advise, c.bits = binary.LittleEndian.Uint16(h[4:]), f.blockBits+uint(h[7]&7)
	c.lz4 = [2]bool{h[6]&15 == 0, h[6]>>4 == 0}
	c.base = at + 8
	if file.layout.kind == erofsFull {
		c.base += 8
	}
	unsupported := c.advise&adviseFragment != 0 || h[7]&0x80 != 0 || // in another inode
		file.layout.kind == erofsFull && c.advise&adviseCompact2B != 0 || // extents
		file.layout.kind == erofsCompact && c.bits > 14
	if unsupported {
		return nil, fmt.Errorf("is compressed in a way that is not supported (%#x)", c.advise)
	}
	if c.advise&adviseInline != 0 {
		c.inline = int64(binary.LittleEndian.Uint16(h[2:]))
	}
	c.total = (file.Size + 1<<c.bits - 1) >> c.bits
	return c, nil
}

// entry returns an entry of the index.
func (c *clusters) entry(n int64) (cluster, error) {
	if c.file.layout.kind == erofsFull {
		b, err := c.bytes(c.base+8*n, 8)
		if err != nil {
			return cluster{}, err
		}
		le := binary.LittleEndian
		e := cluster{kind: int(le.Uint16(b) & 3), offset: int64(le.Uint16(b[2:])),
			block: int64(le.Uint32(b[4:]))}
		if d := int64(le.Uint16(b[4:])); e.kind == clusterNext && d&countsBlocks != 0 {
			e.blocks = d &^ countsBlocks
		}
		return e, nil
	}
	// A few entries of 4 bytes up to a multiple of 32 bytes, then as many of 2 bytes as fill their
	// packs of 16, then the rest in 4 bytes.
	first := (32 - c.base%32) % 32 / 4
	short := int64(0)
	if c.advise&adviseCompact2B != 0 && first < c.total {
		short = (c.total - first) &^ 15
	}
	switch {
	case n < first:
		return c.packed(c.base+4*n, 2, 2)
	case n-first < short:
		return c.packed(c.base+4*first+2*(n-first), 1, 16)
	}
	return c.packed(c.base+4*first+2*short+4*(n-first-short), 2, 2)
}

// bytes returns bytes of the index, a block of which is kept.
func (c *clusters) bytes(at, n int64) ([]byte, error) {
	size := c.f.blockSize()
	start := at &^ (size - 1)
	if c.cachedAt != start {
		if at < 0 || start >= c.f.size {
			return nil, errCluster
		}
		c.cached = make([]byte, min(size, c.f.size-start))
		if err := c.f.readAt(c.cached, start); err != nil {
			return nil, fmt.Errorf("read its index: %w", err)
		}
		c.cachedAt = start
	}
	if at-start+n > int64(len(c.cached)) {
		return nil, errCluster
	}
	c.end = max(c.end, at+n)
	return c.cached[at-start:][:n], nil
}

// packed returns the entry at an offset, which is in a pack of count entries of 1<<shift bytes
// each: bits of all of them, then the block of the first head.
func (c *clusters) packed(at int64, shift uint, count int64) (cluster, error) {
	size := count << shift
	start := at &^ (size - 1)
	pack, err := c.bytes(start, size)
	if err != nil {
		return cluster{}, err
	}
	width := uint((size - 4) * 8 / count)
	low := max(c.bits, 12)
	decode := func(i int64) (kind int, value int64) {
		at := uint(i) * width
		var b [8]byte
		copy(b[:], pack[at/8:])
		v := binary.LittleEndian.Uint32(b[:]) >> (at & 7)
		return int(v >> low & 3), int64(v & (1<<low - 1))
	}
	i := (at - start) >> shift
	kind, value := decode(i)
	if kind == clusterNext {
		e := cluster{kind: kind}
		if value&countsBlocks != 0 && c.advise&(adviseBig1|adviseBig2) != 0 {
			e.blocks = value &^ countsBlocks
		}
		return e, nil
	}
	before := c.blocksBefore(decode, i)
	first := int64(binary.LittleEndian.Uint32(pack[size-4:]))
	return cluster{kind: kind, offset: value, block: first + before}, nil
}

// blocksBefore returns how many blocks the pieces have that begin before entry i of a pack.
func (c *clusters) blocksBefore(decode func(int64) (int, int64), i int64) int64 {
	n := int64(0)
	if c.advise&(adviseBig1|adviseBig2) == 0 {
		for n = 1; i > 0; {
			i--
			if kind, value := decode(i); kind == clusterNext {
				i -= value
			}
			if i >= 0 {
				n++
			}
		}
		return n
	}
	for i > 0 {
		i--
		switch kind, value := decode(i); {
		case kind == clusterNext && value&countsBlocks != 0:
			i--
			n += value &^ countsBlocks
		case kind == clusterNext:
			i -= max(value-2, 0)
		default:
			n++
		}
	}
	return n
}

// copyClusters copies a compressed file, piece by piece.
func (f *Erofs) copyClusters(to Sink, file Inode) error {
	if file.Size == 0 {
		return nil
	}
	c, err := f.openClusters(file)
	if err != nil {
		return err
	}
	head, err := c.entry(0)
	if err != nil {
		return err
	}
	if head.kind == clusterNext || head.offset != 0 {
		return errCluster
	}
	from := int64(0)
	// A head at the very end may say that nothing follows.
	for n := int64(1); n <= c.total && from < file.Size; n++ {
		next, end := cluster{}, file.Size
		if n < c.total {
			if next, err = c.entry(n); err != nil {
				return err
			}
			if next.kind == clusterNext {
				if next.blocks > 0 && from>>c.bits == n-1 {
					head.blocks = next.blocks
				}
				continue
			}
			end = n<<c.bits + next.offset
		}
		if end <= from || end > file.Size || next.offset > 1<<c.bits {
			return errCluster
		}
		if err := c.piece(to, head, from, end-from, end == file.Size); err != nil {
			return err
		}
		head, from = next, end
	}
	if from < file.Size {
		return errCluster
	}
	return nil
}

// piece copies the length bytes that begin at a head.
func (c *clusters) piece(to Sink, head cluster, from, length int64, last bool) error {
	at, packed := head.block<<c.f.blockBits, int64(1)<<c.bits
	big := head.kind == clusterHead && c.advise&adviseBig1 != 0 ||
		head.kind == clusterHead2 && c.advise&adviseBig2 != 0
	switch {
	case last && c.inline > 0:
		at, packed = c.indexEnd(), c.inline
	case big && head.blocks > 0:
		packed = head.blocks << c.f.blockBits
	}
	if packed > maxPiece || length > maxUnpacked {
		return errCluster
	}
	if head.kind == clusterPlain {
		return c.plain(to, at, from, length, packed)
	}
	if head.kind == clusterHead && !c.lz4[0] || head.kind == clusterHead2 && !c.lz4[1] {
		return errors.New("is compressed by another algorithm than lz4, which is not supported")
	}
	src := make([]byte, packed)
	if err := c.f.readAt(src, at); err != nil {
		return fmt.Errorf("read its data: %w", err)
	}
	if length > 256*packed {
		return errCluster
	}
	c.f.budget += packed // contents count only as what is read of an image
	if c.f.incompat&erofsPadding0 != 0 {
		for len(src) > 0 && src[0] == 0 {
			src = src[1:]
		}
	}
	dst := make([]byte, length)
	if err := unpackLZ4(dst, src); err != nil {
		return err
	}
	_, err := to.Write(dst)
	return err
}

// indexEnd returns the offset behind the whole index, where the last piece may be.
func (c *clusters) indexEnd() int64 {
	if c.file.layout.kind == erofsFull {
		return c.base + 8*c.total
	}
	return c.end
}

// plain copies a piece that is not compressed. An interlaced one lies at the place in its block
// that it has in the file, and goes on at the beginning of the block.
func (c *clusters) plain(to Sink, at, from, length, packed int64) error {
	if length > packed {
		return errCluster
	}
	if c.advise&adviseInterlaced == 0 {
		return c.f.copyBytes(to, at, length)
	}
	size := c.f.blockSize()
	skip := from & (size - 1)
	first := min(size-skip, length)
	if err := c.f.copyBytes(to, at+skip, first); err != nil {
		return err
	}
	return c.f.copyBytes(to, at, length-first)
}

var errLZ4 = errors.New("its compressed data is damaged")

// unpackLZ4 fills dst from an lz4 block, which may have more.
func unpackLZ4(dst, src []byte) error {
	at := 0
	length := func(n int) int {
		for n >= 15 && len(src) > 0 {
			more := int(src[0])
			n, src = n+more, src[1:]
			if more < 255 {
				break
			}
		}
		return n
	}
	for at < len(dst) {
		if len(src) == 0 {
			return errLZ4
		}
		token := int(src[0])
		src = src[1:]
		literals := min(length(token>>4), len(dst)-at)
		if literals > len(src) {
			return errLZ4
		}
		copy(dst[at:], src[:literals])
		at, src = at+literals, src[literals:]
		if at == len(dst) {
			return nil
		}
		if len(src) < 2 {
			return errLZ4
		}
		back := int(binary.LittleEndian.Uint16(src))
		src = src[2:]
		match := min(length(token&15)+4, len(dst)-at)
		if back == 0 || back > at {
			return errLZ4
		}
		for range match { // the two may overlap
			dst[at] = dst[at-back]
			at++
		}
	}
	return nil
}
