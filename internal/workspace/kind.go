// kind: which program a tree was written for, and so how it is judged.

package workspace

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/BurntSushi/toml"

	"buildsys/internal/manifest"
)

// Strictness says what becomes of what the ancestor read over, such as keys that it did not know.
type Strictness int

// The levels.
const (
	ByTree  Strictness = iota // mistakes in a tree written for buildsys, warnings in any other
	Strict                    // mistakes
	Lenient                   // warnings
)

// buildsysDir is the ancestor's own source, in trees that bring it along.
const buildsysDir = "tools/buildsys"

// Foreign says that the tree was written for another program than this one.
func (w *Workspace) Foreign() bool { return w.Generation != manifest.Native }

// IsForeign says whether the tree at root was written for another program, without reading all of
// it.
func IsForeign(root string) bool {
	l := &loader{tree: os.DirFS(root)}
	return l.generation() != manifest.Native
}

// generation finds out which program a tree was written for. With Twoliter.toml and build scripts
// for cargo it is Twoliter; with tools/buildsys it is the program there, whose source says what it
// knows; with a Dockerfile that is no recipe of ours it is one like it.
func (l *loader) generation() manifest.Generation {
	switch {
	case l.exists(projectFile) && l.hasBuildScripts():
		if l.beforeKits() {
			return manifest.Twoliter
		}
		return manifest.TwoliterKits
	case l.exists(path.Join(buildsysDir, manifestFile)):
		source, _ := fs.ReadFile(l.tree, path.Join(buildsysDir, "src/manifest.rs"))
		if bytes.Contains(source, []byte("image_features")) {
			return manifest.InTreeFeatures
		}
		return manifest.InTree
	case l.ownDockerfile():
		return manifest.InTree
	}
	return manifest.Native
}

func (l *loader) hasBuildScripts() bool {
	return slices.ContainsFunc([]string{packagesDir, kitsDir, variantsDir}, func(dir string) bool {
		return l.exists(path.Join(dir, "build.rs"))
	})
}

// beforeKits says whether Twoliter.toml is of the form it had before kits: without vendors, and the
// SDK by its registry or not at all.
func (l *loader) beforeKits() bool {
	var keys map[string]any
	if data, err := fs.ReadFile(l.tree, projectFile); err == nil && len(data) <= manifest.MaxSize {
		_ = toml.Unmarshal(data, &keys) // what is no TOML is reported later
	}
	sdk, _ := keys["sdk"].(map[string]any)
	return keys["vendor"] == nil && keys["kit"] == nil && sdk["vendor"] == nil && l.exists(releaseFile)
}

// ownDockerfile says whether the tree's own Dockerfile is no recipe for a buildsys, of whatever
// version; see Recipe.
func (l *loader) ownDockerfile() bool {
	text, err := fs.ReadFile(l.tree, dockerfile)
	return err == nil && !bytes.Contains(text, []byte(recipeMark))
}

// judge settles the rules that the manifests of the tree are read by.
func (l *loader) judge(s Strictness) {
	l.rules.Generation = l.generation()
	l.foreign = l.rules.Generation != manifest.Native
	l.rules.Lenient = s == Lenient || s == ByTree && l.foreign
	// Up to Bottlerocket 1.0 the packages were a cargo workspace of their own, all built before any
	// variant.
	l.rules.WholeTree = l.foreign && l.exists(path.Join(packagesDir, manifestFile))
}

// wholeTree makes variants without dependencies need every package, see manifest.Rules.
func (l *loader) wholeTree() {
	if !l.rules.WholeTree {
		return
	}
	for _, v := range l.variants {
		if len(v.BuildDeps)+len(v.Deps) == 0 {
			for _, p := range l.packages {
				v.BuildRequires = append(v.BuildRequires, p.Name)
			}
			slices.Sort(v.BuildRequires)
		}
	}
}
