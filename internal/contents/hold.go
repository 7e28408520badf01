// hold: holds the regular files of an image against those that its packages are said to have.

package contents

import (
	"cmp"
	"context"
	"encoding/hex"
	"maps"
	"path"
	"slices"
	"strings"

	"buildsys/internal/image"
)

// maxPath is the longest path that Linux follows: a file with a longer one is in no image.
const maxPath = 4096

// Unlike is a regular file that is not as it is said to be.
type Unlike struct {
	Path   string // where an RPM has it: "/boot/vmlinuz" for the kernel on BOOT
	Change string // Added, Removed or Changed
	Sum    string // SHA-256 in the image; empty if it is not there
	Want   string // SHA-256 that was wanted; empty if none was
	Part   *Part  // the partition that it is in; nil if it is not there
	File   image.Walked
}

// OfDisk returns the image on one disk, which stays the caller's to close.
func OfDisk(ctx context.Context, name string, disk *image.File) *Image {
	img := &Image{Name: name}
	img.addDisk(ctx, disk, 0)
	return img
}

// Hold compares the regular files of the partitions that RPMs bring files to with those in want:
// the SHA-256, in hex digits, by the path in the RPM. It returns how many have those bytes, and all
// others by their paths.
func (img *Image) Hold(ctx context.Context, want map[string]string) (same int, all []Unlike,
	err error) {
	root, err := img.Root()
	if err != nil {
		return 0, nil, err
	}
	files, err := root.All()
	if err != nil {
		return 0, nil, err
	}
	h := holder{ctx: ctx, seen: map[string]bool{}, folded: map[string]string{}}
	h.wanted(root, files, want)
	for _, p := range img.Parts {
		prefix, ok := p.Prefix()
		if !ok || p.Holds == "" {
			continue
		}
		if err := p.usable(); err != nil {
			return 0, nil, err
		}
		list := files
		if p != root {
			if list, err = p.All(); err != nil {
				return 0, nil, err
			}
		}
		if err := h.part(p, prefix, list); err != nil {
			return 0, nil, p.fault(ctx, err)
		}
	}
	for name, one := range h.want {
		if !h.seen[name] {
			h.unlike = append(h.unlike, Unlike{Path: name, Change: Removed, Want: one})
		}
	}
	slices.SortStableFunc(h.unlike, func(a, b Unlike) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.Want, b.Want))
	})
	return h.same, h.unlike, nil
}

// holder compares the files of an image.
type holder struct {
	ctx    context.Context
	want   map[string]string // by where a file is after links of the root
	folded map[string]string // paths by what FAT takes for the same
	seen   map[string]bool
	same   int
	unlike []Unlike
}

// wanted takes the wanted files, each where the root file system has its directory.
func (h *holder) wanted(root *Part, files []image.Walked, want map[string]string) {
	at := make(map[string]uint16, len(files))
	for _, f := range files {
		at[f.Path] = f.Type()
	}
	dirs := map[string]string{}
	h.want = make(map[string]string, len(want))
	for _, name := range slices.Sorted(maps.Keys(want)) {
		is, sum := name, want[name]
		if len(name) <= maxPath {
			is = path.Join(lead(root, at, dirs, path.Dir(name)), path.Base(name))
		}
		if had, twice := h.want[is]; twice && had != sum {
			// One path of the image cannot have the bytes of both.
			h.unlike = append(h.unlike, Unlike{Path: name, Change: Removed, Want: sum})
			continue
		}
		h.want[is] = sum
		h.folded[strings.ToLower(is)] = is
	}
}

// lead returns where a directory of RPMs is after links of the root file system, whose files have
// the types in at. It remembers in dirs what it finds.
func lead(root *Part, at map[string]uint16, dirs map[string]string, dir string) string {
	if known, ok := dirs[dir]; ok || dir == "/" || dir == "." {
		return cmp.Or(known, "/")
	}
	is := path.Join(lead(root, at, dirs, path.Dir(dir)), path.Base(dir))
	if at[is] == image.ModeLink {
		is = realDir(root, is)
	}
	dirs[dir] = is
	return is
}

// part compares the files of a partition.
func (h *holder) part(p *Part, prefix string, files []image.Walked) error {
	hash := newSums(h.ctx, p)
	for _, f := range files {
		if f.Type() != image.ModeRegular {
			continue
		}
		sum, err := hash.of(f)
		if err != nil {
			return err
		}
		one := Unlike{Path: path.Join(prefix, f.Path), Change: Added, Sum: hex.EncodeToString(sum[:]),
			Part: p, File: f}
		if p.Holds == "vfat" {
			one.Path = cmp.Or(h.folded[strings.ToLower(one.Path)], one.Path)
		}
		if want, ok := h.want[one.Path]; ok {
			h.seen[one.Path] = true
			one.Want, one.Change = want, Changed
		}
		if one.Sum == one.Want {
			h.same++
			continue
		}
		h.unlike = append(h.unlike, one)
	}
	return nil
}
