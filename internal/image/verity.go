// Reads and verifies dm-verity hash trees made by veritysetup: format 1, SHA-256, blocks of 4096
// bytes.

package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
)

// Verity is the superblock of a hash partition.
type Verity struct {
	UUID       string
	Salt       []byte
	DataBlocks int64 // blocks of 4096 bytes of the data partition that the tree covers
}

const (
	verityBlock     = 4096
	veritySignature = "verity\x00\x00"
	hashesPerBlock  = verityBlock / sha256.Size
)

// veritySuperblock is at the start of the hash partition, little endian (cryptsetup,
// lib/verity/verity.c).
type veritySuperblock struct {
	Signature     [8]byte
	Version       uint32
	HashType      uint32
	UUID          [16]byte
	Algorithm     [32]byte
	DataBlockSize uint32
	HashBlockSize uint32
	DataBlocks    uint64
	SaltSize      uint16
	_             [6]byte
	Salt          [256]byte
}

// ReadVerity reads the superblock of a hash partition.
func ReadVerity(hash io.ReaderAt) (Verity, error) {
	buf := make([]byte, 512)
	if _, err := hash.ReadAt(buf, 0); err != nil {
		return Verity{}, fmt.Errorf("read verity superblock: %w", err)
	}
	var s veritySuperblock
	if err := binary.Read(bytes.NewReader(buf), binary.LittleEndian, &s); err != nil {
		return Verity{}, fmt.Errorf("decode verity superblock: %w", err)
	}
	if string(s.Signature[:]) != veritySignature {
		return Verity{}, fmt.Errorf("no verity superblock: it does not begin with %q", veritySignature)
	}
	algorithm := string(bytes.TrimRight(s.Algorithm[:], "\x00"))
	if s.Version != 1 || s.HashType != 1 || algorithm != "sha256" || s.DataBlockSize != verityBlock ||
		s.HashBlockSize != verityBlock {
		return Verity{}, fmt.Errorf("verity superblock has version %d, format %d, %q, blocks of %d and "+
			"%d bytes: want 1, 1, sha256, %d and %[6]d",
			s.Version, s.HashType, algorithm, s.DataBlockSize, s.HashBlockSize, verityBlock)
	}
	// A tree of 2^40 blocks covers 4 PiB: a larger number is damage, and would overflow sizes.
	if s.SaltSize > 256 || s.DataBlocks == 0 || s.DataBlocks > 1<<40 {
		return Verity{}, fmt.Errorf("verity superblock has a salt of %d bytes and %d data blocks",
			s.SaltSize, s.DataBlocks)
	}
	return Verity{UUID: formatUUID(s.UUID), Salt: s.Salt[:s.SaltSize:s.SaltSize],
		DataBlocks: int64(s.DataBlocks)}, nil
}

// level is a run of blocks of the hash partition.
type level struct{ start, blocks int64 }

// levels returns the levels of the tree from the one above the data to the top, which is a single
// block. On disk the top comes first.
func (v Verity) levels() []level {
	var ls []level
	for n := v.DataBlocks; n > 1; {
		n = (n + hashesPerBlock - 1) / hashesPerBlock
		ls = append(ls, level{blocks: n})
	}
	next := int64(1) // after the superblock, which has a block of its own
	for i := len(ls) - 1; i >= 0; i-- {
		ls[i].start = next
		next += ls[i].blocks
	}
	return ls
}

// DataSize returns how many bytes of the data partition are covered.
func (v Verity) DataSize() int64 { return v.DataBlocks * verityBlock }

// HashSize returns how many bytes of the hash partition the superblock and the tree take.
func (v Verity) HashSize() int64 {
	n := int64(1)
	for _, l := range v.levels() {
		n += l.blocks
	}
	return n * verityBlock
}

// Verify recomputes the tree and returns its root hash in hex digits. The error names the first
// block that does not match its hash, in the data or in the tree.
func (v Verity) Verify(ctx context.Context, data, hash io.ReaderAt) (string, error) {
	below, what := io.NewSectionReader(data, 0, v.DataSize()), "data"
	for i, l := range v.levels() {
		stored := io.NewSectionReader(hash, l.start*verityBlock, l.blocks*verityBlock)
		if err := v.verifyLevel(ctx, below, stored); err != nil {
			return "", fmt.Errorf("%s: %w", what, err)
		}
		stored.Seek(0, io.SeekStart) // cannot fail
		below, what = stored, fmt.Sprintf("level %d of the hash tree", i)
	}
	top := make([]byte, verityBlock)
	if _, err := io.ReadFull(below, top); err != nil {
		return "", fmt.Errorf("%s: read: %w", what, err)
	}
	root := v.digest(top)
	return hex.EncodeToString(root[:]), nil
}

// verifyLevel compares the hashes of all blocks of one level with those stored in the level above.
func (v Verity) verifyLevel(ctx context.Context, blocks, hashes io.Reader) error {
	hashBlock := make([]byte, verityBlock)
	batch := make([]byte, verityBlock*hashesPerBlock)
	for n := 0; ; n += hashesPerBlock {
		if err := ctx.Err(); err != nil {
			return err
		}
		got, err := io.ReadFull(blocks, batch)
		if err == io.EOF {
			return nil
		}
		if err != nil && err != io.ErrUnexpectedEOF || got%verityBlock != 0 {
			return fmt.Errorf("read from block %d: %w", n, err)
		}
		if _, err := io.ReadFull(hashes, hashBlock); err != nil {
			return fmt.Errorf("read hashes of block %d: %w", n, err)
		}
		for i := range got / verityBlock {
			sum := v.digest(batch[i*verityBlock : (i+1)*verityBlock])
			if want := hashBlock[i*sha256.Size : (i+1)*sha256.Size]; !bytes.Equal(sum[:], want) {
				return fmt.Errorf("block %d (byte %d) has hash %x, the tree says %x", n+i, (n+i)*verityBlock,
					sum, want)
			}
		}
	}
}

// digest returns the hash of one block: format 1 puts the salt first.
func (v Verity) digest(block []byte) (sum [sha256.Size]byte) {
	h := sha256.New()
	h.Write(v.Salt)
	h.Write(block)
	h.Sum(sum[:0])
	return sum
}

// RootHash returns the root hash of a hash tree over data, as the top of the tree has it, in hex
// digits. Nothing is verified.
func RootHash(data, hash io.ReaderAt) (string, error) {
	v, err := ReadVerity(hash)
	if err != nil {
		return "", err
	}
	return v.rootHash(data, hash)
}
