// Package workspace reads a project tree: its packages, kits and variants, their dependencies, the
// files of each, and the recipe. It finds the manifests that package manifest parses, and its
// Workspace is what plans are made from. It reads through an fs.FS that cannot leave the root, and
// reports every mistake in the tree at once.
package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
)

// The files and directories of a tree.
const (
	releaseFile  = "Release.toml"
	makefile     = "Makefile.toml"
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
	Release  manifest.Release // no version if a foreign tree gives none
	// Project is nil if the tree has no Twoliter.toml, or one from before kits.
	Project *manifest.Project
	// Generation is the program that the tree was written for.
	Generation manifest.Generation
	// WholeTree means that images are made of all packages; see manifest.Rules.
	WholeTree bool
	Warnings  manifest.Problems // sorted; mistakes that do not prevent a build
}

// Package is one directory below packages/.
type Package struct {
	manifest.Package
	Dir string // slash path relative to the root: "packages/bash"
	// BuildRequires are the packages that [build-dependencies] lead to, and kits by KitNode,
	// sorted.
	BuildRequires []string
	Requires      []string // the same for [dependencies]
	files         []File
}

// Sensitive reports whether the package's RPMs depend on the variant.
func (p *Package) Sensitive() bool {
	return p.VariantSensitive != "" || len(p.PackageFeatures) > 0
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

// Load reads the tree at root, with the given strictness or ByTree. The error for mistakes in the
// tree is manifest.Problems.
func Load(root string, how ...Strictness) (*Workspace, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	dir, err := confined.OpenDir(root) // no symlink leads out of it
	if err != nil {
		return nil, errkind.Environmentf("open the project tree: %w", err)
	}
	return LoadFS(root, dir.FS(), how...)
}

// LoadFS is Load for any file system. root is the directory on this machine that tree shows.
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
		l.problem(packagesDir, 0, "add packages/<name>/Cargo.toml", "there is no package")
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

// Entry returns the line that makes a package a dependency in the manifest of directory dir.
func (w *Workspace) Entry(dir string, p *Package) string {
	up := "../"
	if !strings.HasPrefix(dir, "packages/") {
		up = "../../packages/"
	}
	return fmt.Sprintf("%s = { path = %q }", p.Crate, up+path.Base(p.Dir))
}

// VariantNames returns the names of all variants, sorted.
func (w *Workspace) VariantNames() []string { return slices.Sorted(maps.Keys(w.Variants)) }

// ErrNoRoot is the error for a directory that is not in a tree.
var ErrNoRoot = errors.New("no project tree")

// FindRoot returns the nearest directory at or above dir that is the root of a tree: it has
// Release.toml, Twoliter.toml or Makefile.toml, and packages/, kits/ or variants/. The error is an
// ErrNoRoot.
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
			return "", fmt.Errorf("%w at or above %s: no directory there has %s, %s or %s, and packages/",
				ErrNoRoot, start, releaseFile, projectFile, makefile)
		}
	}
}

func isRoot(dir string) bool {
	marks := []string{releaseFile, projectFile, makefile}
	if !slices.ContainsFunc(marks, func(m string) bool { return isFile(filepath.Join(dir, m)) }) {
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

// realPath resolves symlinks if it can, because a shell's working directory may contain some.
func realPath(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		return resolved
	}
	return dir
}
