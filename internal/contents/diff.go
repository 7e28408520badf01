// diff: how two images differ: partitions, packages and files.

package contents

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"buildsys/internal/image"
)

// Diff is how one image differs from another.
type Diff struct {
	Partitions []PartDiff    `json:"partitions"`
	Packages   []PackageDiff `json:"packages"` // those that differ, the largest change first
	Files      []FileDiff    `json:"files"`    // all that differ, by partition and path
	// Boot has what differs of the boot configuration: kernels and their command lines.
	Boot []ValueDiff `json:"boot"`
	// OSRelease has what differs of os-release, by name.
	OSRelease []ValueDiff `json:"os_release"`
	Notes     []string    `json:"notes"` // what could not be compared
}

// Same reports whether nothing differs.
func (d Diff) Same() bool {
	return len(d.Partitions)+len(d.Packages)+len(d.Files)+len(d.Boot)+
		len(d.OSRelease) == 0
}

// PartDiff is a difference of a partition.
type PartDiff struct {
	Partition string `json:"partition"`
	What      string `json:"what"` // "size", "file system", "contents"…
	Before    string `json:"before"`
	After     string `json:"after"`
}

// ValueDiff is a value that differs.
type ValueDiff struct {
	Name   string `json:"name"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// PackageDiff is what differs of a package.
type PackageDiff struct {
	Name string `json:"name"`
	// Before and After are versions with releases; empty if the package is not in the image.
	Before  string `json:"before"`
	After   string `json:"after"`
	Bytes   int64  `json:"bytes"` // how much more its files take in the partition
	Added   int    `json:"added"`
	Removed int    `json:"removed"`
	Changed int    `json:"changed"`

	Old, New *RPM `json:"-"` // nil if not known
}

// FileDiff is what differs of a file.
type FileDiff struct {
	Partition string `json:"partition"`
	Path      string `json:"path"`
	Change    string `json:"change"` // "added", "removed" or "changed"
	Package   string `json:"package"`
	Bytes     int64  `json:"bytes"` // how much more it takes in the partition
	// What lists what changed: "contents", "size 3 to 5", "mode -rw-r--r-- to -rwxr-xr-x", …
	What []string `json:"what"`
}

// Changes of files.
const (
	Added   = "added"
	Removed = "removed"
	Changed = "changed"
)

// differ compares two images.
type differ struct {
	ctx      context.Context
	old, new *side
	d        Diff
	bytes    map[string]int64 // how much more a package takes, also by other compression
}

type side struct {
	img    *Image
	owners *Owners
}

// Compare compares two images. Owners may lack RPMs, or be nil.
func Compare(ctx context.Context, old, new *Image, before, after *Owners) (Diff, error) {
	none := func(o *Owners) *Owners {
		if o == nil {
			return NewOwners(nil, nil, nil)
		}
		return o
	}
	c := differ{ctx: ctx, bytes: map[string]int64{},
		old: &side{old, none(before)}, new: &side{new, none(after)},
		d: Diff{Partitions: []PartDiff{}, Packages: []PackageDiff{}, Files: []FileDiff{},
			Boot: []ValueDiff{}, OSRelease: []ValueDiff{}, Notes: []string{}}}
	if err := c.partitions(); err != nil {
		return c.d, err
	}
	c.boot()
	c.osRelease()
	c.packages()
	return c.d, nil
}

// key identifies a partition in both images.
func (p *Part) key() string {
	if p.Label == "" {
		return fmt.Sprintf("%d/%d", p.Disk, p.Number)
	}
	return p.Label
}

func (c *differ) part(p *Part, what, before, after string) {
	if before != after {
		c.d.Partitions = append(c.d.Partitions, PartDiff{p.Title(), what, before, after})
	}
}

func (c *differ) partitions() error {
	after := map[string]*Part{}
	for _, p := range c.new.img.Parts {
		after[p.key()] = p
	}
	for _, was := range c.old.img.Parts {
		is, ok := after[was.key()]
		if !ok {
			c.part(was, "partition", "there", "missing")
			continue
		}
		delete(after, was.key())
		if err := c.partition(was, is); err != nil {
			return err
		}
	}
	for _, is := range c.new.img.Parts {
		if after[is.key()] == is {
			c.part(is, "partition", "missing", "there")
		}
	}
	return nil
}

func (c *differ) partition(was, is *Part) error {
	c.part(is, "size", fmt.Sprint(was.Size), fmt.Sprint(is.Size))
	c.part(is, "type", was.Type, is.Type)
	c.part(is, "file system", was.Holds, is.Holds)
	c.part(is, "UUID", was.UUID, is.UUID)
	if was.Files != nil && is.Files != nil {
		return c.files(was, is)
	}
	if was.Holds != "" || is.Holds != "" {
		c.d.Notes = append(c.d.Notes, fmt.Sprintf("partition %s: the files are not compared: they "+
			"cannot be read", is.Title()))
	}
	before, err := was.sum(c.ctx)
	if err != nil {
		return err
	}
	after, err := is.sum(c.ctx)
	if err != nil {
		return err
	}
	c.part(is, "contents", before, after)
	return nil
}

// files compares the files of a partition.
func (c *differ) files(was, is *Part) error {
	before, err := was.All()
	if err != nil {
		return err
	}
	after, err := is.All()
	if err != nil {
		return err
	}
	was.addStored(c.bytes, -1, c.old.owners, before)
	is.addStored(c.bytes, 1, c.new.owners, after)
	old, sums := map[string]image.Walked{}, [2]*sums{newSums(c.ctx, was), newSums(c.ctx, is)}
	for _, f := range before {
		old[f.Path] = f
	}
	var found []FileDiff
	for _, f := range after {
		earlier, ok := old[f.Path]
		delete(old, f.Path)
		switch {
		case !ok:
			found = append(found, FileDiff{Change: Added, Path: f.Path, Bytes: f.Stored,
				Package: is.packageOf(c.new.owners, f), What: []string{}})
		default:
			what, err := c.changes(earlier, f, was, is, sums)
			if err != nil {
				return err
			}
			if len(what) > 0 {
				found = append(found, FileDiff{Change: Changed, Path: f.Path, What: what,
					Bytes: f.Stored - earlier.Stored, Package: is.packageOf(c.new.owners, f)})
			}
		}
	}
	for name, f := range old {
		found = append(found, FileDiff{Change: Removed, Path: name, Bytes: -f.Stored,
			Package: was.packageOf(c.old.owners, f), What: []string{}})
	}
	for i := range found {
		found[i].Partition = is.Title()
	}
	slices.SortFunc(found, func(a, b FileDiff) int { return cmp.Compare(a.Path, b.Path) })
	c.d.Files = append(c.d.Files, found...)
	return nil
}

// changes returns in what a file differs. Dates are not compared: they are the same for all files.
func (c *differ) changes(was, is image.Walked, old, new *Part, sums [2]*sums) ([]string, error) {
	var what []string
	differ := func(name, before, after string) {
		if before != after {
			what = append(what, name+" "+before+" to "+after)
		}
	}
	differ("type", TypeName(was.Mode), TypeName(is.Mode))
	differ("mode", ModeText(was.Mode), ModeText(is.Mode))
	differ("owner", fmt.Sprintf("%d:%d", was.UID, was.GID), fmt.Sprintf("%d:%d", is.UID, is.GID))
	differ("link", was.Target, is.Target)
	differ("device", fmt.Sprint(was.Device), fmt.Sprint(is.Device))
	if was.Type() != is.Type() {
		return what, nil
	}
	if is.Type() == image.ModeRegular {
		if was.Size != is.Size {
			differ("size", fmt.Sprint(was.Size), fmt.Sprint(is.Size))
		} else {
			before, err := sums[0].of(was)
			if err != nil {
				return nil, err
			}
			after, err := sums[1].of(is)
			if err != nil {
				return nil, err
			}
			if before != after {
				what = append(what, "contents")
			}
		}
	}
	before, err := old.Files.Attributes(was.Inode)
	if err != nil {
		return nil, old.fault(c.ctx, fmt.Errorf("%s: %w", was.Path, err))
	}
	after, err := new.Files.Attributes(is.Inode)
	if err != nil {
		return nil, new.fault(c.ctx, fmt.Errorf("%s: %w", is.Path, err))
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if string(before[name]) != string(after[name]) {
			what = append(what, "attribute "+name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if _, ok := before[name]; !ok {
			what = append(what, "attribute "+name)
		}
	}
	return what, nil
}

// boot compares what the boot partitions start.
func (c *differ) boot() {
	before, after := c.old.img.bootValues(), c.new.img.bootValues()
	c.d.Boot = append(c.d.Boot, differing(before, after)...)
}

// bootValues returns kernels and command lines by partition and entry.
func (img *Image) bootValues() map[string]string {
	values := map[string]string{}
	for _, p := range img.Parts {
		if p.Role != "boot" || p.Files == nil {
			continue
		}
		text, err := image.ReadFile(p.Files, "grub/grub.cfg", 1<<20)
		if err != nil {
			continue
		}
		entries, err := image.ParseGrub(string(text))
		if err != nil {
			continue
		}
		for i, e := range entries {
			name := fmt.Sprintf("%s entry %d", p.Title(), i+1)
			values[name+" title"], values[name+" kernel"] = e.Title, e.Kernel
			values[name+" command line"] = e.CommandLine
		}
	}
	return values
}

func differing(before, after map[string]string) (found []ValueDiff) {
	all := maps.Clone(before)
	maps.Copy(all, after)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if before[name] != after[name] {
			found = append(found, ValueDiff{name, before[name], after[name]})
		}
	}
	return found
}

func (c *differ) osRelease() {
	var values [2]map[string]string
	for i, s := range []*side{c.old, c.new} {
		values[i] = map[string]string{}
		root, err := s.img.Root()
		if err != nil {
			continue
		}
		for _, name := range []string{"/usr/lib/os-release", "/etc/os-release"} {
			if text, err := image.ReadFile(root.Files, name, 1<<20); err == nil {
				values[i] = image.ParseOSRelease(string(text))
				break
			}
		}
	}
	c.d.OSRelease = append(c.d.OSRelease, differing(values[0], values[1])...)
}

// packages adds up what differs of each package.
func (c *differ) packages() {
	all := map[string]*PackageDiff{}
	of := func(name string) *PackageDiff {
		if all[name] == nil {
			all[name] = &PackageDiff{Name: name}
		}
		return all[name]
	}
	for _, f := range c.d.Files {
		p := of(f.Package)
		switch f.Change {
		case Added:
			p.Added++
		case Removed:
			p.Removed++
		default:
			p.Changed++
		}
	}
	for name, n := range c.bytes {
		of(name).Bytes = n
	}
	for i, s := range []*side{c.old, c.new} {
		for name, version := range s.versions() {
			p := of(name)
			if i == 0 {
				p.Before = version
			} else {
				p.After = version
			}
		}
		for _, r := range s.owners.RPMs {
			if i == 0 {
				of(r.Name).Old = r
			} else {
				of(r.Name).New = r
			}
		}
	}
	for _, p := range all {
		if p.Before != p.After || p.Added+p.Removed+p.Changed > 0 || p.Bytes != 0 {
			c.d.Packages = append(c.d.Packages, *p)
		}
	}
	slices.SortFunc(c.d.Packages, func(a, b PackageDiff) int {
		return cmp.Or(cmp.Compare(abs(b.Bytes), abs(a.Bytes)), strings.Compare(a.Name, b.Name))
	})
}

// versions returns the packages that an image lists.
func (s *side) versions() map[string]string {
	packages, _, err := s.img.Inventory()
	versions := map[string]string{}
	if err != nil {
		return versions
	}
	for _, p := range packages {
		versions[p.Name] = p.Version + "-" + p.Release
	}
	return versions
}

func abs(n int64) int64 { return max(n, -n) }

// Largest returns the files of a package that differ in what they take, the largest change first.
func (d Diff) Largest(name string) []FileDiff {
	var files []FileDiff
	for _, f := range d.Files {
		if f.Package == name && f.Bytes != 0 {
			files = append(files, f)
		}
	}
	slices.SortStableFunc(files, func(a, b FileDiff) int {
		return cmp.Compare(abs(b.Bytes), abs(a.Bytes))
	})
	return files
}
