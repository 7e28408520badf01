// kind: detects the program that a tree was written for, which determines how it is judged.

package workspace

import (
	"bytes"
	"path"
	"slices"

	"buildsys/internal/confined"
	"buildsys/internal/manifest"
	"buildsys/internal/safetoml"
)

// Strictness determines how mistakes are reported that Bottlerocket and Twoliter ignored, such as
// unknown keys.
type Strictness int

// The levels of strictness.
const (
	ByTree  Strictness = iota // errors in a tree written for buildsys, warnings in a foreign tree
	Strict                    // errors
	Lenient                   // warnings
)

// buildsysDir is the source of Bottlerocket's own buildsys, in trees that contain it.
const buildsysDir = "tools/buildsys"

// Foreign reports whether the tree was written for another program.
func (w *Workspace) Foreign() bool { return w.Generation != manifest.Native }

// IsForeign is Foreign for the tree at root, without reading all of it.
func IsForeign(root string) bool {
	dir, err := confined.OpenDir(root)
	if err != nil {
		return false // loading the tree reports it
	}
	defer dir.Close()
	l := &loader{tree: dir.FS()}
	return l.generation() != manifest.Native
}

// peek is read for a file that is only looked at to judge the tree. What is wrong with it is
// reported later.
func (l *loader) peek(name string) (data []byte, ok bool) {
	return (&loader{tree: l.tree}).read(name)
}

// generation detects the program that a tree was written for: Twoliter if there are Twoliter.toml
// and build scripts for cargo; the program in tools/buildsys if there is one, whose source shows
// which keys it knows; else, if the Dockerfile is not a recipe for buildsys, a program like that.
func (l *loader) generation() manifest.Generation {
	switch {
	case l.exists(projectFile) && l.hasBuildScripts():
		if l.beforeKits() {
			return manifest.Twoliter
		}
		return manifest.TwoliterKits
	case l.exists(path.Join(buildsysDir, manifestFile)):
		source, _ := l.peek(path.Join(buildsysDir, "src/manifest.rs"))
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

// beforeKits reports whether Twoliter.toml has its form from before kits: without vendors, and with
// the SDK by its registry or not at all.
func (l *loader) beforeKits() bool {
	var keys map[string]any
	data, _ := l.peek(projectFile)
	_, _ = safetoml.Decode(string(data), &keys) // invalid TOML is reported later
	sdk, _ := keys["sdk"].(map[string]any)
	return keys["vendor"] == nil && keys["kit"] == nil && sdk["vendor"] == nil && l.exists(releaseFile)
}

// ownDockerfile reports whether the tree has a Dockerfile that is not a recipe for any version
// of buildsys; see Recipe.
func (l *loader) ownDockerfile() bool {
	text, ok := l.peek(dockerfile)
	return ok && !bytes.Contains(text, []byte(recipeMark))
}

// judge determines the rules for the manifests of the tree.
func (l *loader) judge(s Strictness) {
	l.rules.Generation = l.generation()
	l.foreign = l.rules.Generation != manifest.Native
	l.rules.Lenient = s == Lenient || s == ByTree && l.foreign
	// Up to Bottlerocket 1.0 the packages were a separate cargo workspace, built before any
	// variant.
	l.rules.WholeTree = l.foreign && l.exists(path.Join(packagesDir, manifestFile))
}

// wholeTree makes variants without dependencies depend on every package; see manifest.Rules.
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
