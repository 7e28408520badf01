// Expands qcow2 images into raw ones (qemu, docs/interop/qcow2.txt).

package image

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	qcow2Magic   = "QFI\xfb"
	maxDiskBytes = 64 << 40 // of an expanded disk
	maxQcow2L1   = 32 << 20 // bytes, the limit of qemu

	qcow2DirtyBit   = 1 << 0
	qcow2Compressed = 1 << 62
	qcow2Offset     = 0x00fffffffffffe00
	qcow2Zero       = 1
)

// qcow2Header is the part of the header that versions 2 and 3 have in common, big endian.
type qcow2Header struct {
	Magic         [4]byte
	Version       uint32
	BackingOffset uint64
	BackingSize   uint32
	ClusterBits   uint32
	Size          uint64
	Encryption    uint32
	L1Entries     uint32
	L1Offset      uint64
}

// expandQcow2 writes the disk in a qcow2 file of packed bytes to an empty file, without zeros, and
// returns its size.
func expandQcow2(x *expansion, src io.ReaderAt, packed int64) (int64, error) {
	h, err := readQcow2Header(src)
	if err != nil {
		return 0, err
	}
	size := int64(h.Size)
	if err := x.fits(size); err != nil {
		return 0, err
	}
	l1 := make([]byte, h.L1Entries*8)
	if _, err := src.ReadAt(l1, int64(h.L1Offset)); err != nil {
		return 0, fmt.Errorf("read qcow2 table: %w", err)
	}
	cluster := int64(1) << h.ClusterBits
	perTable := cluster / 8
	if need := (size + cluster*perTable - 1) / (cluster * perTable); need > int64(h.L1Entries) {
		return 0, fmt.Errorf("the qcow2 table has %d entries, a disk of %d bytes needs %d", h.L1Entries,
			size, need)
	}
	r := qcow2Reader{src: src, bits: h.ClusterBits, data: make([]byte, cluster),
		left: packed + cluster}
	l2 := make([]byte, cluster)
	for at := int64(0); at < size; at += cluster * perTable {
		table := int64(binary.BigEndian.Uint64(l1[at/(cluster*perTable)*8:]) & qcow2Offset)
		if table == 0 {
			continue
		}
		if err := x.take(cluster); err != nil {
			return 0, err
		}
		if _, err := src.ReadAt(l2, table); err != nil {
			return 0, fmt.Errorf("read qcow2 table at byte %d: %w", table, err)
		}
		for i := int64(0); i < perTable && at+i*cluster < size; i++ {
			data, err := r.cluster(binary.BigEndian.Uint64(l2[i*8:]))
			if err != nil {
				return 0, fmt.Errorf("read qcow2 cluster for byte %d: %w", at+i*cluster, err)
			}
			data = data[:min(int64(len(data)), size-at-i*cluster)]
			if err := x.write(data, at+i*cluster); err != nil {
				return 0, err
			}
		}
	}
	return size, x.dst.Truncate(size)
}

// readQcow2Header reads the header, and refuses a file that is not the whole disk.
func readQcow2Header(src io.ReaderAt) (h qcow2Header, err error) {
	buf := make([]byte, 104)
	if _, err := src.ReadAt(buf, 0); err != nil {
		return h, fmt.Errorf("read qcow2 header: %w", err)
	}
	if err := binary.Read(bytes.NewReader(buf), binary.BigEndian, &h); err != nil {
		return h, fmt.Errorf("decode qcow2 header: %w", err)
	}
	incompatible := uint64(0)
	if h.Version >= 3 {
		incompatible = binary.BigEndian.Uint64(buf[72:])
	}
	switch {
	case h.Version != 2 && h.Version != 3:
		return h, &UnsupportedError{fmt.Sprintf("qcow2 version %d", h.Version)}
	case h.BackingOffset != 0 || h.Encryption != 0 || incompatible&^qcow2DirtyBit != 0:
		return h, &UnsupportedError{fmt.Sprintf("a qcow2 file with a backing file, encryption or "+
			"special features (%#x)", incompatible)}
	case h.ClusterBits < 9 || h.ClusterBits > 21 || h.Size > maxDiskBytes ||
		h.L1Entries > maxQcow2L1/8 || h.L1Offset > 1<<56:
		return h, errors.New("the qcow2 header is damaged")
	}
	return h, nil
}

type qcow2Reader struct {
	src  io.ReaderAt
	bits uint32
	data []byte // of one cluster
	left int64  // bytes of clusters that may still be read: no cluster is in two places
}

// cluster returns the data that an entry of a second-level table leads to, or nothing for zeros.
func (r *qcow2Reader) cluster(entry uint64) ([]byte, error) {
	if entry&qcow2Compressed != 0 {
		shift := 62 - (r.bits - 8) // offset below, number of further sectors above
		offset := int64(entry & (1<<shift - 1))
		length := int64(entry>>shift&(1<<(r.bits-8)-1)+1)*sector - offset%sector
		_, err := io.ReadFull(flate.NewReader(io.NewSectionReader(r.src, offset, length)), r.data)
		return r.data, err
	}
	offset := int64(entry & qcow2Offset)
	if offset == 0 || entry&qcow2Zero != 0 {
		return nil, nil
	}
	if r.left -= int64(len(r.data)); r.left < 0 {
		return nil, errors.New("the clusters of the disk are more than the file has: it is damaged")
	}
	if n, err := r.src.ReadAt(r.data, offset); n < len(r.data) {
		if err != io.EOF || n == 0 {
			return nil, errors.Join(err, io.ErrUnexpectedEOF)
		}
		clear(r.data[n:]) // the last cluster of a file may be short
	}
	return r.data, nil
}

// writeNonZero writes all blocks of holeSize that are not zero, and returns how many bytes they
// have.
func writeNonZero(dst *os.File, data []byte, at int64) (written int64, err error) {
	zero := make([]byte, min(len(data), holeSize))
	for len(data) > 0 {
		n := min(len(data), holeSize)
		if !bytes.Equal(data[:n], zero[:n]) {
			if _, err := dst.WriteAt(data[:n], at); err != nil {
				return written, err
			}
			written += int64(n)
		}
		data, at = data[n:], at+int64(n)
	}
	return written, nil
}
