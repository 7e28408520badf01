// The disks of a machine: image files as QEMU has to open them. QEMU is told the format, and opens
// no other file that an image names.

package vm

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"buildsys/internal/confined"
	"buildsys/internal/image"
)

// disk is an image and how QEMU must open it.
type disk struct {
	file, format string
	overlay      string // file that gets the writes; empty if the image itself may have them
}

// openDisk expands a compressed image. For others it tells the format from the header, refuses
// images that are not all in their file, and makes the file for the guest's writes.
func (m *machine) openDisk(ctx context.Context, file string) (d disk, err error) {
	f, err := confined.Path{Name: file}.Open()
	if err != nil {
		return d, fmt.Errorf("open image: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return d, fmt.Errorf("open image: %w", err)
	}
	format, err := image.Identify(f, file, info.Size())
	if err != nil {
		return d, fmt.Errorf("image %s: %w", file, err)
	}
	if format.Name == image.LZ4 {
		return m.expand(ctx, f)
	}
	if d.file, err = filepath.Abs(file); err != nil {
		return d, fmt.Errorf("open image: %w", err)
	}
	d.format = format.Name
	d.overlay, err = m.makeOverlay(format.Size)
	return d, err
}

func (m *machine) expand(ctx context.Context, f *os.File) (disk, error) {
	raw, err := os.CreateTemp(m.dir, "disk-*.img")
	if err != nil {
		return disk{}, fmt.Errorf("expand image %s: %w", f.Name(), err)
	}
	defer raw.Close()
	if _, err := image.ExpandLZ4(ctx, raw, f); err != nil {
		return disk{}, fmt.Errorf("image %s: %w", f.Name(), err)
	}
	return disk{file: raw.Name(), format: image.Raw}, nil
}

// Clusters of an overlay: the size that qemu-img takes, and what it makes of the tables.
const (
	overlayBits    = 16
	overlayCluster = 1 << overlayBits
	overlayPerL1   = overlayCluster * (overlayCluster / 8) // bytes of the disk
)

// makeOverlay writes a qcow2 image of a disk of size bytes without any data. It names no other
// image: the command line says what is below it.
func (m *machine) makeOverlay(size int64) (string, error) {
	const sector = 512
	size = (size + sector - 1) / sector * sector
	entries := (size + overlayPerL1 - 1) / overlayPerL1
	used := 3 + (entries*8+overlayCluster-1)/overlayCluster // header, two tables of counts, L1
	data := make([]byte, used*overlayCluster)
	be := binary.BigEndian
	copy(data, "QFI\xfb")
	be.PutUint32(data[4:], 2) // version
	be.PutUint32(data[20:], overlayBits)
	be.PutUint64(data[24:], uint64(size))
	be.PutUint32(data[36:], uint32(entries))
	be.PutUint64(data[40:], 3*overlayCluster) // L1
	be.PutUint64(data[48:], overlayCluster)   // counts
	be.PutUint32(data[56:], 1)
	be.PutUint64(data[overlayCluster:], 2*overlayCluster)
	for i := range used {
		be.PutUint16(data[2*overlayCluster+2*i:], 1)
	}
	f, err := os.CreateTemp(m.dir, "writes-*.qcow2")
	if err == nil {
		_, err = f.Write(data)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return "", fmt.Errorf("prepare virtual machine: %w", err)
	}
	return f.Name(), nil
}

// node is one of QEMU's block nodes. Its file is always opened as a file, whatever its name is.
type node struct {
	Driver   string          `json:"driver"`
	Name     string          `json:"node-name"`
	ReadOnly bool            `json:"read-only"`
	Cache    *cacheMode      `json:"cache,omitempty"`
	File     fileNode        `json:"file"`
	Backing  json.RawMessage `json:"backing,omitempty"` // null, or the node below
}

type fileNode struct {
	Driver   string     `json:"driver"`
	Filename string     `json:"filename"`
	Cache    *cacheMode `json:"cache,omitempty"`
}

type cacheMode struct {
	NoFlush bool `json:"no-flush"`
}

// argument returns the value of -blockdev.
func (n node) argument(file string) string {
	n.File = fileNode{Driver: "file", Filename: file, Cache: n.Cache}
	text, err := json.Marshal(n)
	if err != nil {
		panic(err) // it has only strings, booleans and our own JSON
	}
	return string(text)
}

// arguments returns the options for the disk of a number, on a virtio device.
func (d disk) arguments(number int) []string {
	name := fmt.Sprintf("disk%d", number)
	below := node{Driver: d.format, Name: name, Cache: &cacheMode{NoFlush: true},
		ReadOnly: d.overlay != ""}
	if d.format != image.Raw { // raw images have no backing files, and know no such option
		below.Backing = json.RawMessage("null")
	}
	args := []string{"-blockdev", below.argument(d.file)}
	if d.overlay != "" {
		over := node{Driver: image.Qcow2, Name: "writes" + name[len("disk"):],
			Cache: below.Cache, Backing: json.RawMessage(`"` + name + `"`)}
		name = over.Name
		args = append(args, "-blockdev", over.argument(d.overlay))
	}
	return append(args, "-device", "virtio-blk-pci,drive="+name)
}
