// owners: which RPMs of the tree have a file or provide a name. RPMs that are built are looked
// into, in the checkout and else in the store.

package build

import (
	"cmp"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"buildsys/internal/cache"
	"buildsys/internal/confined"
	"buildsys/internal/diagnosis"
	"buildsys/internal/plan"
	"buildsys/internal/rpm"
	"buildsys/internal/workspace"
)

// The limits of a search: it is for a hint.
const (
	maxSearched = 5000
	maxSearch   = 3 * time.Second
	maxIndexed  = 256 << 20 // bytes of all names; all RPMs of a distribution have some 50 MiB
)

// Tags of RPM headers.
const (
	tagRPMName    = 1000
	tagProvides   = 1047
	tagDirIndexes = 1116
	tagBaseNames  = 1117
	tagDirNames   = 1118
)

// rpmFiles is what one RPM has.
type rpmFiles struct {
	name, pkg string
	provides  []string
	paths     []string
}

// indexRPMs reads the headers of the RPMs that the packages of a tree have made.
func (s *Session) indexRPMs(ws *workspace.Workspace) []rpmFiles {
	var all []rpmFiles
	end, left := time.Now().Add(maxSearch), maxIndexed
	add := func(pkg string, in io.Reader) bool {
		h, err := rpm.Read(in, tagRPMName, tagProvides, tagDirIndexes, tagBaseNames, tagDirNames)
		if err == nil && len(h[tagRPMName]) == 1 {
			paths, _ := h.Paths() // none of an RPM whose names have no end
			for _, text := range slices.Concat(paths, h[tagProvides]) {
				left -= len(text)
			}
			if left < 0 {
				return false
			}
			all = append(all, rpmFiles{h[tagRPMName][0], pkg, h[tagProvides], paths})
		}
		return len(all) < maxSearched && time.Now().Before(end)
	}
	seen := map[string]bool{}
	for _, pkg := range ws.PackageNames() {
		if more := s.readRPMs(pkg, seen, add); !more {
			return all
		}
	}
	s.readStored(ws, seen, add)
	return all
}

// readRPMs calls add with each RPM of a package in the checkout, until it returns false.
func (s *Session) readRPMs(pkg string, seen map[string]bool,
	add func(pkg string, in io.Reader) bool) bool {
	dir := s.dir.RPMs(pkg)
	entries, err := confined.List(dir)
	if err != nil {
		return true
	}
	for _, e := range entries {
		rel, err := filepath.Rel(s.c.Root, filepath.Join(dir, e.Name()))
		if err != nil || !strings.HasSuffix(e.Name(), ".rpm") {
			continue
		}
		f, err := (confined.Path{Root: s.c.Root, Name: rel}).Open()
		if err != nil {
			continue
		}
		seen[pkg] = true
		more := add(pkg, f)
		_ = f.Close()
		if !more {
			return false
		}
	}
	return true
}

// readStored calls add with the RPMs of packages that are not in the checkout, as they were built
// last.
func (s *Session) readStored(ws *workspace.Workspace, seen map[string]bool,
	add func(pkg string, in io.Reader) bool) {
	store, err := s.openStore(silent{})
	if err != nil {
		return
	}
	named := func(step string) string {
		id, arch, _ := strings.Cut(step, " ")
		pkg, ok := strings.CutPrefix(id, string(plan.Package)+"/")
		if !ok || arch != s.c.Arch || ws.Packages[pkg] == nil || seen[pkg] {
			return ""
		}
		return pkg
	}
	entries, _ := store.Entries(func(step string) bool { return named(step) != "" })
	newest := map[string]cache.Entry{}
	for _, e := range entries { // the newest first
		if pkg := named(e.Step); newest[pkg].Step == "" {
			newest[pkg] = e
		}
	}
	for pkg, e := range newest {
		for _, file := range e.Files {
			if !strings.HasSuffix(file.Name, ".rpm") || file.Link != "" {
				continue
			}
			f, err := store.OpenBlob(cache.Blob{SHA256: file.SHA256, Size: file.Size})
			if err != nil {
				continue
			}
			more := add(pkg, f)
			_ = f.Close()
			if !more {
				return
			}
		}
	}
}

// ownersOf returns the RPMs of other packages that have what package p misses, those first whose
// file is meant most likely.
func ownersOf(ws *workspace.Workspace, p *workspace.Package, all []rpmFiles, w diagnosis.Wanted) (
	found []diagnosis.Owner) {
	for _, r := range all {
		at := ""
		for _, path := range r.paths {
			if w.Path != "" && (path == w.Path || strings.HasSuffix(path, "/"+w.Path)) {
				at = path
				break
			}
		}
		if r.pkg == p.Name || at == "" && (w.Provides == "" || !slices.Contains(r.provides, w.Provides)) {
			continue
		}
		other := ws.Packages[r.pkg]
		declared := slices.ContainsFunc(p.BuildRequires, func(name string) bool { return name == r.pkg })
		found = append(found, diagnosis.Owner{RPM: r.name, Requires: inSpec(r.name, r.pkg),
			Package: r.pkg, Path: at, Declared: declared, Entry: ws.Entry(p.Dir, other)})
	}
	slices.SortStableFunc(found, func(a, b diagnosis.Owner) int {
		return cmp.Or(cmp.Compare(len(a.Path), len(b.Path)), strings.Compare(a.RPM, b.RPM))
	})
	return found
}

// inSpec returns the name of an RPM as specs write it. What comes before the package's name in it
// is the prefix of the OS.
func inSpec(name, pkg string) string {
	if prefix, rest, ok := strings.Cut(name, pkg); ok && prefix != "" {
		return "%{_cross_os}" + pkg + rest
	}
	return name
}
