// size: what the files of a partition take, by package, directory and file.

package contents

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"buildsys/internal/image"
)

// Sizes is what takes the bytes of a file system. The items, the metadata and the free bytes add
// up to the total.
type Sizes struct {
	Partition string `json:"partition"`
	Holds     string `json:"holds"`
	Total     int64  `json:"total_bytes"`
	Used      int64  `json:"used_bytes"`
	Free      int64  `json:"free_bytes"`
	// Metadata is what the file system itself takes: inodes, tables, the journal.
	Metadata int64  `json:"metadata_bytes"`
	Items    []Size `json:"items"` // largest first
}

// Size is what one package, directory or file takes.
type Size struct {
	Name    string `json:"name"`
	Package string `json:"package,omitempty"` // of a file
	Bytes   int64  `json:"bytes"`             // in the partition
	// Contents is the size of the files as programs see them.
	Contents int64 `json:"contents_bytes"`
	Files    int   `json:"files"` // names that are no directories
}

// Groups of files.
const (
	ByPackage   = "package"
	ByDirectory = "directory"
	ByFile      = "file"
)

// Names of items for files without a package.
const (
	NoPackage   = "(no package)"
	Unknown     = "(package not known)"
	Directories = "(directories)"
)

// Sizes measures a partition. owners may be nil unless by is ByPackage. Hard links count once, for
// the first name.
func (p *Part) Sizes(by string, owners *Owners) (Sizes, error) {
	all, err := p.All()
	if err != nil {
		return Sizes{}, err
	}
	u := p.Files.Usage()
	s := Sizes{Partition: p.Title(), Holds: p.Holds, Total: u.Total, Used: u.Total - u.Free,
		Free: u.Free, Items: []Size{}}
	items := map[string]*Size{}
	counted := map[uint64]bool{}
	stored := int64(0)
	for _, file := range all {
		name := p.groupOf(by, owners, file)
		if items[name] == nil {
			items[name] = &Size{Name: name}
		}
		one := items[name]
		if by == ByFile && owners != nil {
			one.Package = p.packageOf(owners, file)
		}
		if file.Type() != image.ModeDir {
			one.Files++
		}
		if counted[file.Number] && p.Holds != "vfat" {
			continue
		}
		counted[file.Number] = true
		one.Bytes += file.Stored
		stored += file.Stored
		if file.Type() == image.ModeRegular {
			one.Contents += file.Size
		}
	}
	s.Metadata = s.Used - stored
	for _, one := range items {
		s.Items = append(s.Items, *one)
	}
	slices.SortFunc(s.Items, func(a, b Size) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Name, b.Name))
	})
	return s, nil
}

func (p *Part) groupOf(by string, owners *Owners, file image.Walked) string {
	switch by {
	case ByPackage:
		return p.packageOf(owners, file)
	case ByDirectory:
		if file.Type() == image.ModeDir {
			return file.Path
		}
		return path.Dir(file.Path)
	}
	return file.Path
}

// addStored adds to each package, times sign, what its files take. Hard links count once.
func (p *Part) addStored(sums map[string]int64, sign int64, owners *Owners, files []image.Walked) {
	counted := map[uint64]bool{}
	for _, file := range files {
		if counted[file.Number] && p.Holds != "vfat" {
			continue
		}
		counted[file.Number] = true
		sums[p.packageOf(owners, file)] += sign * file.Stored
	}
}

// packageOf returns the name of the package that a file counts for.
func (p *Part) packageOf(owners *Owners, file image.Walked) string {
	if file.Type() == image.ModeDir { // many packages have them
		return Directories
	}
	if of := owners.Of(p, file.Path); len(of) > 0 {
		return of[0].Name
	}
	if len(owners.Unknown) > 0 {
		return Unknown
	}
	return NoPackage
}

// Tree returns sizes by file as a tree of directories, for a treemap.
func (s Sizes) Tree() Node {
	root := Node{Name: "/"}
	for _, one := range s.Items {
		root.add(strings.Split(strings.Trim(one.Name, "/"), "/"), one)
	}
	root.sum()
	return root
}

// Node is a directory or file with what it takes.
type Node struct {
	Name    string
	Package string
	Bytes   int64
	Below   []Node
	index   map[string]int
}

func (n *Node) add(names []string, one Size) {
	if len(names) == 0 || names[0] == "" {
		n.Bytes += one.Bytes
		return
	}
	if n.index == nil {
		n.index = map[string]int{}
	}
	at, ok := n.index[names[0]]
	if !ok {
		at = len(n.Below)
		n.index[names[0]] = at
		n.Below = append(n.Below, Node{Name: names[0]})
	}
	if len(names) == 1 {
		n.Below[at].Package = one.Package
	}
	n.Below[at].add(names[1:], one)
}

// sum adds what is below to each directory, and sorts: the largest first.
func (n *Node) sum() {
	for i := range n.Below {
		n.Below[i].sum()
		n.Bytes += n.Below[i].Bytes
	}
	slices.SortFunc(n.Below, func(a, b Node) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Name, b.Name))
	})
}
