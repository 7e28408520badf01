// owner: which RPM brought a file of an image.

package contents

import (
	"context"
	"encoding/hex"
	"path"
	"slices"
	"strings"

	"buildsys/internal/image"
)

// RPM is a package whose files are in an image.
type RPM struct {
	Name    string `json:"name"` // without the prefix that the OS puts before names
	Version string `json:"version"`
	Release string `json:"release"`
	Arch    string `json:"architecture"`
	File    string `json:"file"`       // name of the file; empty if none is known
	Source  string `json:"source_rpm"` // name of the file that it was built from
	Package string `json:"package"`    // directory of the tree below packages/; empty if not known
	// Keys are those of the steps that built these bytes, the last one first; empty if not known.
	Keys []string `json:"keys"`

	Files map[string]RPMFile `json:"-"` // by the path in the image
}

// RPMFile is what an RPM says of a file.
type RPMFile struct {
	Mode   uint16
	Size   int64
	Digest string // SHA-256 in hex digits; empty for others than regular files
	Target string // of a symbolic link
}

// String returns name, version and release.
func (r *RPM) String() string { return r.Name + "-" + r.Version + "-" + r.Release }

// InImage returns the path of an RPM's file in an image: what lies below a sysroot becomes the root
// file system.
func InImage(name string) string {
	const sysroot = "/sys-root/"
	if i := strings.Index(name, sysroot); i >= 0 {
		name = name[i+len(sysroot)-1:]
	}
	return path.Join("/", name)
}

// Owners knows the RPMs of an image.
type Owners struct {
	RPMs []*RPM
	// Unknown are the packages of which no RPM is known.
	Unknown []image.Package
	byPath  map[string][]*RPM
}

// NewOwners returns what RPMs bring. A nil img leaves paths that lead through symbolic links as
// they are.
func NewOwners(img *Image, rpms []*RPM, unknown []image.Package) *Owners {
	o := &Owners{RPMs: rpms, Unknown: unknown, byPath: map[string][]*RPM{}}
	var root *Part
	if img != nil {
		root, _ = img.Root()
	}
	dirs := map[string]string{}
	for _, r := range rpms {
		real := map[string]RPMFile{}
		for name, f := range r.Files {
			dir := path.Dir(name)
			if _, known := dirs[dir]; !known {
				dirs[dir] = realDir(root, dir)
			}
			name = path.Join(dirs[dir], path.Base(name))
			real[name] = f
			o.byPath[name] = append(o.byPath[name], r)
		}
		r.Files = real
	}
	for _, of := range o.byPath {
		slices.SortFunc(of, func(a, b *RPM) int { return strings.Compare(a.Name, b.Name) })
	}
	return o
}

// realDir returns where a directory of RPMs is in the root file system: they are unpacked through
// its symbolic links.
func realDir(root *Part, dir string) string {
	if root == nil {
		return dir
	}
	if _, where, err := image.Find(root.Files, dir, true); err == nil {
		return where
	}
	return dir // of another partition
}

// Of returns the RPMs that have a file.
func (o *Owners) Of(p *Part, file string) []*RPM {
	prefix, ok := p.Prefix()
	if !ok {
		return nil
	}
	return o.byPath[path.Join(prefix, file)]
}

// Differs returns in what a file is not as an RPM has it; "" if it is the same.
func (o *Owners) Differs(ctx context.Context, p *Part, file image.Walked, r *RPM) (string, error) {
	prefix, _ := p.Prefix()
	is := r.Files[path.Join(prefix, file.Path)]
	switch {
	case is.Mode&image.ModeType != file.Type():
		return "it is " + TypeName(file.Mode) + ", and " + TypeName(is.Mode) + " in the RPM", nil
	case file.Type() == image.ModeLink && is.Target != file.Target:
		return "it leads to " + file.Target + ", and to " + is.Target + " in the RPM", nil
	case file.Type() == image.ModeRegular && is.Digest != "":
		sum, err := p.Sum(ctx, file)
		if err != nil {
			return "", err
		}
		if hex.EncodeToString(sum[:]) != is.Digest {
			return "its bytes are not those of the RPM: the step that makes the image changed it", nil
		}
	}
	if p.Holds != "vfat" && is.Mode&image.ModePerm != file.Mode&image.ModePerm &&
		file.Type() != image.ModeLink {
		return "its mode is " + ModeText(file.Mode) + ", and " + ModeText(is.Mode) + " in the RPM", nil
	}
	return "", nil
}

// Matches counts how many regular files of an RPM are in the image with their bytes.
func (img *Image) Matches(ctx context.Context, r *RPM) (same, of int, err error) {
	root, err := img.Root()
	if err != nil {
		return 0, 0, err
	}
	hash := newSums(ctx, root)
	for name, f := range r.Files {
		if f.Digest == "" || f.Mode&image.ModeType != image.ModeRegular {
			continue
		}
		of++
		inode, where, err := image.Find(root.Files, name, true)
		if err != nil || inode.Type() != image.ModeRegular || inode.Size != f.Size {
			continue
		}
		sum, err := hash.of(image.Walked{Path: where, Inode: inode})
		if err != nil {
			return same, of, err
		}
		if hex.EncodeToString(sum[:]) == f.Digest {
			same++
		}
	}
	return same, of, nil
}
