// Package contents is about what is in images: the files of all partitions, the packages that
// brought them, what they take, and how two images differ. It takes files out of images. Package
// image reads the file systems; whoever calls this package knows the packages.
package contents

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"buildsys/internal/errkind"
	"buildsys/internal/image"
)

// Image is an image whose partitions can be read.
type Image struct {
	Name  string // as the caller has it
	Parts []*Part
	disks []*image.File
}

// Part is a partition. An image without a partition table has one, without label and number.
type Part struct {
	Label  string
	Number int
	Disk   int // the disk that it is on, from 0
	Role   string
	Type   string // type GUID
	Size   int64  // bytes
	Holds  string // kind of file system; empty if none is known
	UUID   string // of the file system
	// Files are those of the file system; nil if they cannot be read, for the reason in Why.
	Files image.Files
	Why   error
	data  io.ReaderAt
}

// Title names the partition for people.
func (p *Part) Title() string {
	switch {
	case p.Label != "":
		return p.Label
	case p.Number > 0:
		return strconv.Itoa(p.Number)
	}
	return "file system"
}

// Open opens the image in files: the disks of one machine, in formats that image.OpenAll reads. dir
// is for temporary files without a name; empty means the default place. The caller closes it.
func Open(ctx context.Context, name string, files []string, dir string) (*Image, error) {
	img := &Image{Name: name}
	for _, file := range files {
		disks, err := image.OpenAll(ctx, file, dir)
		if err != nil {
			img.Close()
			return nil, err
		}
		for _, d := range disks {
			img.disks = append(img.disks, d)
			img.addDisk(ctx, d, len(img.disks)-1)
		}
	}
	return img, nil
}

// Close closes the disks.
func (img *Image) Close() {
	for _, d := range img.disks {
		d.Close() // it was only read
	}
}

func (img *Image) addDisk(ctx context.Context, d *image.File, number int) {
	all := image.Bounded(ctx, d, d.Size)
	table, err := image.ReadGPT(all, d.Size)
	if err != nil {
		// A file system of its own, such as those for updates; else it says what is missing.
		p := &Part{Disk: number, Role: "file system", Size: d.Size, data: all}
		if p.open(); p.Files == nil && p.Holds == "" {
			p.Why = fmt.Errorf("%w, and no file system: %w", err, p.Why)
		}
		img.Parts = append(img.Parts, p)
		return
	}
	for _, e := range table.Entries {
		p := &Part{Label: e.Label, Number: e.Number, Disk: number, Role: image.Role(e.Type),
			Type: e.Type, Size: min(e.Size, max(0, d.Size-e.Start)),
			data: io.NewSectionReader(all, e.Start, e.Size)}
		p.open()
		img.Parts = append(img.Parts, p)
	}
}

func (p *Part) open() {
	fs, err := image.ReadFileSystem(p.data)
	if err != nil {
		p.Why = err
		return
	}
	p.Holds, p.UUID = fs.Kind, fs.UUID
	p.Files, p.Why = image.OpenFiles(p.data, p.Size)
}

// Root returns the partition with the root file system: the first that is for one, else the first
// that has /usr or /etc, else the only one with files.
func (img *Image) Root() (*Part, error) {
	var readable []*Part
	for _, p := range img.Parts {
		if p.Files != nil {
			readable = append(readable, p)
		}
	}
	for _, p := range img.Parts {
		if p.Role == "root" && p.Holds != "" {
			return p, p.usable()
		}
	}
	for _, p := range readable {
		for _, dir := range []string{"usr", "etc"} {
			if i, _, err := image.Find(p.Files, dir, true); err == nil && i.Type() == image.ModeDir {
				return p, nil
			}
		}
	}
	switch {
	case len(readable) == 1:
		return readable[0], nil
	case len(readable) > 1:
		return nil, errkind.Usagef("%s has no root file system that is known: name a partition with "+
			"--partition: %s", img.Name, img.titles())
	case len(img.Parts) == 1:
		return nil, fmt.Errorf("%s: %w", img.Name, img.Parts[0].usable())
	}
	return nil, errkind.Usagef("%s has no file system that can be read", img.Name)
}

// usable returns an error if the files cannot be read: of usage if they may be good.
func (p *Part) usable() error {
	if p.Files != nil {
		return nil
	}
	err := fmt.Errorf("partition %s: %w", p.Title(), p.Why)
	if errors.Is(p.Why, image.ErrNoFiles) {
		return errkind.BadUsage(err)
	}
	return &image.BadImageError{Faults: []error{err}}
}

func (img *Image) titles() string {
	var names []string
	for _, p := range img.Parts {
		if p.Files != nil {
			names = append(names, p.Title())
		}
	}
	return strings.Join(names, ", ")
}

// Part returns the partition with a label, with the end of a label behind a dash ("BOOT-A" of
// "OS-BOOT-A"), or with a number; without a name the root.
func (img *Image) Part(name string) (*Part, error) {
	if name == "" {
		return img.Root()
	}
	var found []*Part
	for _, is := range []func(*Part) bool{
		func(p *Part) bool { return p.Label == name },
		func(p *Part) bool { return strings.EqualFold(p.Label, name) },
		func(p *Part) bool {
			return strings.HasSuffix(strings.ToUpper(p.Label), "-"+strings.ToUpper(name))
		},
		func(p *Part) bool { return strconv.Itoa(p.Number) == name },
	} {
		for _, p := range img.Parts {
			if len(found) == 0 && is(p) {
				found = append(found, p)
			}
		}
	}
	if len(found) == 0 {
		return nil, errkind.Usagef("%s has no partition %q: there are %s", img.Name, name, img.titles())
	}
	return found[0], found[0].usable()
}

// Prefix returns where a package's file lies in the RPM for the files of the partition: recipes
// move /boot to a partition of its own. ok is false if RPMs bring nothing there.
func (p *Part) Prefix() (prefix string, ok bool) {
	switch p.Role {
	case "boot":
		return "/boot", true
	case "EFI system":
		return "/boot/efi", true
	case "root", "file system", "unknown":
		return "", true
	}
	return "", false
}

// Find returns a file by its path. Symbolic links are followed; the last only if follow is true.
func (p *Part) Find(name string, follow bool) (image.Walked, error) {
	inode, where, err := image.Find(p.Files, name, follow)
	if err != nil {
		err = fmt.Errorf("%s: %w", path.Join("/", name), err)
		if errors.Is(err, image.ErrNotFound) {
			return image.Walked{}, errkind.BadUsage(err)
		}
		return image.Walked{}, &image.BadImageError{Faults: []error{err}}
	}
	found := image.Walked{Path: where, Inode: inode}
	if inode.Type() == image.ModeLink {
		found.Target, err = p.Files.Target(inode)
	}
	return found, err
}

// List returns a file, or the files of a directory; with deep those below as well.
func (p *Part) List(at image.Walked, deep bool) ([]image.Walked, error) {
	var all []image.Walked
	err := image.Walk(p.Files, at.Inode, strings.TrimSuffix(at.Path, "/"), deep,
		func(w image.Walked) error {
			all = append(all, w)
			return nil
		})
	if err != nil {
		return nil, &image.BadImageError{Faults: []error{fmt.Errorf("partition %s: %w", p.Title(), err)}}
	}
	return all, nil
}

// All returns all files of the partition.
func (p *Part) All() ([]image.Walked, error) {
	root, err := p.Find("/", true)
	if err != nil {
		return nil, err
	}
	return p.List(root, true)
}

// stream is a Sink that writes holes as zeros.
type stream struct{ io.Writer }

// Hole implements image.Sink.
func (s stream) Hole(n int64) error {
	_, err := io.CopyN(s.Writer, zeros{}, n)
	return err
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// Write writes the contents of a file.
func (p *Part) Write(ctx context.Context, to io.Writer, file image.Inode) error {
	return p.fault(ctx, p.Files.Copy(stream{ending{ctx, to}}, file))
}

// ending is a writer that ends with a context.
type ending struct {
	ctx context.Context
	io.Writer
}

func (e ending) Write(b []byte) (int, error) {
	if e.ctx.Err() != nil {
		return 0, context.Cause(e.ctx)
	}
	return e.Writer.Write(b)
}

// maxSummed bounds the bytes of all files of an image that are hashed: a file with holes may claim
// any size.
const maxSummed = 256 << 30

// sums hashes files of a partition; those of an inode once.
type sums struct {
	ctx   context.Context
	p     *Part
	left  int64
	known map[uint64][sha256.Size]byte
}

func newSums(ctx context.Context, p *Part) *sums {
	return &sums{ctx: ctx, p: p, left: maxSummed, known: map[uint64][sha256.Size]byte{}}
}

// of returns the SHA-256 of a file's contents.
func (s *sums) of(file image.Walked) ([sha256.Size]byte, error) {
	if sum, ok := s.known[file.Number]; ok && file.Links > 1 {
		return sum, nil
	}
	if s.left -= file.Size; s.left < 0 {
		return [sha256.Size]byte{}, fmt.Errorf("%s: the files have more than %d GiB: they are not read",
			file.Path, maxSummed>>30)
	}
	h := sha256.New()
	if err := s.p.Write(s.ctx, h, file.Inode); err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("%s: %w", file.Path, err)
	}
	sum := [sha256.Size]byte(h.Sum(nil))
	if file.Links > 1 {
		s.known[file.Number] = sum
	}
	return sum, nil
}

// Sum returns the SHA-256 of a file's contents.
func (p *Part) Sum(ctx context.Context, file image.Walked) ([sha256.Size]byte, error) {
	return newSums(ctx, p).of(file)
}

// Inventory returns the packages that the root file system lists, and the prefix of their RPMs'
// names.
func (img *Image) Inventory() ([]image.Package, string, error) {
	root, err := img.Root()
	if err != nil {
		return nil, "", err
	}
	packages, name, err := image.ReadInventory(root.Files)
	slices.SortFunc(packages, func(a, b image.Package) int { return strings.Compare(a.Name, b.Name) })
	return packages, name + "-", err
}

// RootHash returns the root hash of the first root file system under a hash tree, as the tree has
// it, or "" if there is none.
func (img *Image) RootHash() string {
	for _, p := range img.Parts {
		if p.Role != "hash tree of root" {
			continue
		}
		for _, root := range img.Parts {
			if root.Role == "root" {
				if hash, err := image.RootHash(root.data, p.data); err == nil {
					return hash
				}
				break
			}
		}
	}
	return ""
}

// sum returns the SHA-256 of the bytes of the partition, in hex digits.
func (p *Part) sum(ctx context.Context) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(ending{ctx, h}, io.NewSectionReader(p.data, 0, p.Size)); err != nil {
		return "", fmt.Errorf("partition %s: %w", p.Title(), err)
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}
