// Package workspace is a project tree: its packages and variants with their manifests, how they
// depend on each other, which files each of them is made of, and the recipe. It reads through an
// fs.FS, never follows symlinks, and reports every mistake of the whole tree at once.
package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"buildsys/internal/manifest"
)

// The files and directories that make a tree.
const (
	releaseFile  = "Release.toml"
	manifestFile = "Cargo.toml"
	packagesDir  = "packages"
	variantsDir  = "variants"
	sourcesDir   = "sources"
)

// Workspace is a tree without mistakes.
type Workspace struct {
	Root     string // absolute directory on this machine; empty when the tree has none (tests)
	FS       fs.FS  // the same tree; slash paths
	Packages map[string]*Package
	Variants map[string]*Variant
	Kits     map[string]*Kit
	Release  manifest.Release // without a version when the tree, a foreign one, says none
	// nil when the tree has no Twoliter.toml, or one of the time before kits
	Project *manifest.Project
	// Generation is the program that the tree was written for.
	Generation manifest.Generation
	// images are made of all packages, whatever their manifests lead to; see manifest.Rules
	WholeTree bool
	Warnings  manifest.Problems // sorted; what can be worked with, and is probably not what was meant
}

// Package is one directory below packages/.
type Package struct {
	manifest.Package
	Dir string // slash path relative to the root: "packages/bash"
	// names of the packages [build-dependencies] lead to, and of kits as KitNode has them, sorted
	BuildRequires []string
	Requires      []string // the same for [dependencies]
	files         []File
}

// Variant is one directory below variants/.
type Variant struct {
	manifest.Variant
	Dir           string
	BuildRequires []string
	Requires      []string
	Template      []byte // template.ovf, of a variant whose image-format is vmdk
}

// TemplateName is the file in a variant's directory that describes its virtual machine.
const TemplateName = "template.ovf"

// Load reads the tree at root, as strictly as asked for; the default is ByTree. Mistakes in the
// tree come back as manifest.Problems.
func Load(root string, how ...Strictness) (*Workspace, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	dir, err := os.OpenRoot(root) // cannot be left through a symlink
	if err != nil {
		return nil, fmt.Errorf("open the project tree: %w", err)
	}
	return LoadFS(root, dir.FS(), how...)
}

// LoadFS is Load for any file system. root is the directory its files have on this machine.
func LoadFS(root string, tree fs.FS, how ...Strictness) (*Workspace, error) {
	l := &loader{tree: tree, packages: map[string]*Package{}, variants: map[string]*Variant{}}
	w := &Workspace{Root: root, FS: tree, Packages: map[string]*Package{},
		Variants: map[string]*Variant{}}
	l.judge(append(how, ByTree)[0])
	w.Generation, w.WholeTree = l.rules.Generation, l.rules.WholeTree
	w.Project = l.project()
	w.Release = l.version(w.Project)
	l.loadKits()
	l.loadAll(root, l.list(packagesDir), l.list(variantsDir))
	if len(l.packages)+len(l.variants) == 0 {
		l.problem(packagesDir, 0, "a tree has packages/<name>/Cargo.toml", "there is no package")
	}
	w.Kits = l.namedKits()
	l.resolve()
	l.wholeTree()
	l.cycles()
	errs, warnings := l.problems.Split()
	if len(errs) > 0 {
		return nil, errs
	}
	w.Warnings = warnings
	for _, p := range l.packages {
		w.Packages[p.Name] = p
	}
	maps.Copy(w.Variants, l.variants)
	return w, nil
}

// PackageNames returns the names of all packages, sorted.
func (w *Workspace) PackageNames() []string { return slices.Sorted(maps.Keys(w.Packages)) }

// VariantNames returns the names of all variants, sorted.
func (w *Workspace) VariantNames() []string { return slices.Sorted(maps.Keys(w.Variants)) }

// ErrNoRoot says that a directory is in no project tree.
var ErrNoRoot = errors.New("no project tree")

// FindRoot returns the nearest directory at or above dir that is the root of a tree: it has
// Release.toml or Twoliter.toml, and packages/, kits/ or variants/. The error is an ErrNoRoot.
func FindRoot(dir string) (string, error) {
	start, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for at := start; ; at = filepath.Dir(at) {
		if isRoot(at) {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("%w at or above %s: no directory there has %s or %s, and packages/",
				ErrNoRoot, start, releaseFile, projectFile)
		}
	}
}

func isRoot(dir string) bool {
	if !isFile(filepath.Join(dir, releaseFile)) && !isFile(filepath.Join(dir, projectFile)) {
		return false
	}
	for _, below := range []string{packagesDir, kitsDir, variantsDir} {
		if info, err := os.Stat(filepath.Join(dir, below)); err == nil && info.IsDir() {
			return true
		}
	}
	return false
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// Here says which package or variant the directory dir belongs to: dir is packages/<name> of the
// tree at root, or below it. Both are empty when dir is anywhere else.
func Here(root, dir string) (pkg, variant string) {
	rel, err := filepath.Rel(realPath(root), realPath(dir))
	if err != nil {
		return "", ""
	}
	parts := slices.Collect(segments(filepath.ToSlash(rel)))
	if len(parts) < 2 {
		return "", ""
	}
	switch parts[0] {
	case packagesDir:
		return parts[1], ""
	case variantsDir:
		return "", parts[1]
	}
	return "", ""
}

// realPath resolves symlinks where it can, because a shell's idea of the working directory may go
// through some.
func realPath(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		return resolved
	}
	return dir
}
