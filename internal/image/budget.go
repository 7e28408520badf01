// Bounds what reading one image may cost, whatever the image claims: its parts may refer to the
// same bytes many times over, and a few bytes may expand to any number.

package image

import (
	"context"
	"fmt"
	"io"
	"os"
)

// Limits of the work for one image.
const (
	// maxRead bounds the bytes that are read besides those under hash trees. A kernel has 20 MiB,
	// is read a few times for each bank, and is the largest file that is read.
	maxRead = 2 << 30
	// maxHashed bounds the bytes under hash trees: root file systems have a few GiB, but a file
	// with holes can claim any size.
	maxHashed = 64 << 30
	// maxBanks is more than the two that images have.
	maxBanks = 4
	// maxPrograms bounds the programs of firmware whose signatures are checked. An ESP has two.
	maxPrograms = 100
)

// meter is an image whose readers share one budget, and stop when ctx ends.
type meter struct {
	ctx   context.Context
	img   io.ReaderAt
	limit int64 // bytes
	read  int64 // bytes
}

func newMeter(ctx context.Context, img io.ReaderAt, size int64) *meter {
	// Hash trees cover no byte twice. Each of their own levels is read as data and as hashes.
	return &meter{ctx: ctx, img: img, limit: maxRead + 2*min(max(size, 0), maxHashed)}
}

// Bounded returns an image of size bytes of which only so much is read as a good one has, and only
// until ctx ends.
func Bounded(ctx context.Context, img io.ReaderAt, size int64) io.ReaderAt {
	return newMeter(ctx, img, size)
}

// ReadAt reads from the image.
func (m *meter) ReadAt(b []byte, off int64) (int, error) {
	if m.ctx.Err() != nil {
		return 0, context.Cause(m.ctx)
	}
	if m.read += int64(len(b)); m.read > m.limit {
		return 0, fmt.Errorf("reading the image takes more than %d MiB: its parts refer to the same "+
			"data too often", m.limit>>20)
	}
	return m.img.ReadAt(b, off)
}

// limits bound the disks that come out of one packed file, in bytes.
type limits struct {
	disk int64 // of one disk, with its holes
	made int64 // decompressed or copied for all disks, zeros too
	data int64 // written for all disks, without zeros
}

// anyDisk is for images of which nothing is known. A disk's holes cost nothing, but its zeros may
// have to be decompressed, and its data takes space.
var anyDisk = limits{disk: maxDiskBytes, made: 256 << 30, data: 32 << 30}

// disksOf returns limits for the named disks of a layout; without a name, for all.
func disksOf(l Layout, name string) *limits {
	var sum limits
	for _, d := range l.Disks {
		if name == "" || d.Name == name {
			size := d.SizeMiB * mib
			sum.disk, sum.data = max(sum.disk, size), sum.data+size
		}
	}
	sum.made = sum.data + maxGrain // the last grain or cluster may be longer than the disk
	return &sum
}

// expansion is a disk that is being expanded to an empty file.
type expansion struct {
	ctx context.Context
	dst *os.File
	*limits
}

// write writes data that belongs at an offset, without its zeros, and accounts for it.
func (x *expansion) write(data []byte, at int64) error {
	if err := x.take(int64(len(data))); err != nil {
		return err
	}
	n, err := writeNonZero(x.dst, data, at)
	if x.data -= n; err == nil && x.data < 0 {
		err = tooLargeToExpand("data")
	}
	return err
}

// take accounts for bytes that were made.
func (x *expansion) take(n int64) error {
	if x.ctx.Err() != nil {
		return context.Cause(x.ctx)
	}
	if x.made -= n; x.made < 0 {
		return tooLargeToExpand("bytes to decompress")
	}
	return nil
}

// fits refuses a disk of size bytes if it is too large.
func (x *expansion) fits(size int64) error {
	if size < 0 || size > x.disk {
		return fmt.Errorf("it is a disk of %d bytes, more than the limit of %d", uint64(size), x.disk)
	}
	return nil
}

func tooLargeToExpand(what string) error {
	return fmt.Errorf("it has more %s than the limit: if it is good, expand it with qemu-img convert "+
		"-O raw", what)
}
