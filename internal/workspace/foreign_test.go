// foreign_test: trees written for Bottlerocket and Twoliter, compared with cargo's view of them.

package workspace

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"buildsys/internal/golden"
	"buildsys/internal/manifest"
)

// expected is a tree's graph as another program found it. Packages are named by directory.
type expected struct {
	Packages map[string]struct {
		Crate            string
		Name             string   `json:"package_name"`
		Build            []string `json:"build_dependencies"`
		Runtime          []string `json:"dependencies"`
		VariantSensitive any      `json:"variant_sensitive"`
		PackageFeatures  []string `json:"package_features"`
		SourceGroups     []string `json:"source_groups"`
		ExternalFiles    int      `json:"external_files"`
	}
	Variants map[string]struct {
		Crate  string
		Format string `json:"image_format"`
		Layout struct {
			OS   int    `json:"os-image-size-gib"`
			Data int    `json:"data-image-size-gib"`
			Hint int    `json:"publish-image-size-hint-gib"`
			Plan string `json:"partition-plan"`
		} `json:"image_layout"`
		Arches     []string        `json:"supported_arches"`
		Features   map[string]bool `json:"image_features"`
		Grub       []string        `json:"grub_features"`
		Parameters []string        `json:"kernel_parameters"`
		Included   []string        `json:"included_packages"`
		Build      []string        `json:"build_dependencies"`
		Runtime    []string        `json:"dependencies"`
		Closure    []string
		Levels     [][]string
		Order      []string `json:"topological_order"`
	}
}

// TestForeignTree loads a small tree of the first generation, InTree.
func TestForeignTree(t *testing.T) {
	archive, err := txtar.ParseFile("../../testdata/foreign/in-tree.txtar")
	must(t, err)
	last := archive.Files[len(archive.Files)-1]
	archive.Files = archive.Files[:len(archive.Files)-1]
	w := compare(t, writeTree(t, archive), last.Data)
	if w.Generation != manifest.InTree || !w.Foreign() || len(w.Warnings) > 0 {
		t.Errorf("generation %d, foreign %v, warnings %v", w.Generation, w.Foreign(), w.Warnings)
	}
}

// compare compares a loaded tree with a graph in JSON.
func compare(t *testing.T, root string, data []byte) *Workspace {
	t.Helper()
	var want expected
	must(t, json.Unmarshal(data, &want))
	w, err := Load(root)
	must(t, err)
	comparePackages(t, w, want)
	compareVariants(t, w, want)
	compareOrder(t, w, want)
	return w
}

// TestJudgedByRegularFiles checks that a tree is not judged by what a link leads to: it may be
// outside of the tree, and a device that never ends.
func TestJudgedByRegularFiles(t *testing.T) {
	root, outside := t.TempDir(), filepath.Join(t.TempDir(), "Dockerfile")
	must(t, os.WriteFile(outside, []byte("FROM scratch\n"), 0o644))
	must(t, os.Symlink(outside, filepath.Join(root, dockerfile)))
	if IsForeign(root) {
		t.Fatal("the kind of the tree is that of a file outside of it")
	}
	must(t, os.Remove(filepath.Join(root, dockerfile)))
	must(t, os.Symlink("/dev/zero", filepath.Join(root, dockerfile)))
	if IsForeign(root) {
		t.Error("a device is a Dockerfile")
	}
}

func same[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func sameList(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func comparePackages(t *testing.T, w *Workspace, want expected) {
	same(t, "the number of packages", len(w.Packages), len(want.Packages))
	for dir, p := range want.Packages {
		got := w.Packages[p.Name]
		if got == nil {
			t.Errorf("there is no package %s", p.Name)
			continue
		}
		sensitive := map[any]string{nil: "", false: "", true: "variant"}
		if s, ok := p.VariantSensitive.(string); ok {
			sensitive[p.VariantSensitive] = s
		}
		same(t, dir, got.Dir, "packages/"+dir)
		same(t, "crate of "+dir, got.Crate, p.Crate)
		same(t, "variant-sensitive of "+dir, got.VariantSensitive, sensitive[p.VariantSensitive])
		same(t, "number of external files of "+dir, len(got.ExternalFiles), p.ExternalFiles)
		sameList(t, "build-dependencies of "+dir, got.BuildRequires, p.Build)
		sameList(t, "dependencies of "+dir, got.Requires, p.Runtime)
		sameList(t, "source groups of "+dir, got.SourceGroups, p.SourceGroups)
		sameList(t, "features of "+dir, got.PackageFeatures, p.PackageFeatures)
	}
}

func compareVariants(t *testing.T, w *Workspace, want expected) {
	same(t, "the number of variants", len(w.Variants), len(want.Variants))
	for name, v := range want.Variants {
		got := w.Variants[name]
		if got == nil {
			t.Errorf("there is no variant %s", name)
			continue
		}
		var grub []string
		if got.ImageFeatures["grub-set-private-var"] {
			grub = []string{"set-private-var"}
		}
		same(t, "crate of "+name, got.Crate, v.Crate)
		same(t, "format of "+name, got.ImageFormat, v.Format)
		same(t, "layout of "+name, got.Layout, manifest.ImageLayout{
			OSImageSizeGiB: v.Layout.OS, DataImageSizeGiB: v.Layout.Data,
			PublishImageSizeHintGiB: v.Layout.Hint, PartitionPlan: v.Layout.Plan,
		})
		sameList(t, "architectures of "+name, got.SupportedArches, v.Arches)
		sameList(t, "GRUB features of "+name, grub, v.Grub)
		sameList(t, "kernel parameters of "+name, got.KernelParameters, v.Parameters)
		sameList(t, "included packages of "+name, got.IncludedPackages, v.Included)
		sameList(t, "build-dependencies of "+name, got.BuildRequires, v.Build)
		sameList(t, "dependencies of "+name, got.Requires, v.Runtime)
	}
}

// compareOrder compares closures and levels and the order that the levels make, and checks the
// order of a plan's steps against what each step waits for.
func compareOrder(t *testing.T, w *Workspace, want expected) {
	g := w.Graph()
	for name, v := range want.Variants {
		got := w.Variants[name]
		if got == nil {
			continue
		}
		closure := g.Closure(slices.Concat(got.BuildRequires, got.Requires)...)
		sameList(t, "closure of "+name, closure, v.Closure)
		levels := g.Levels(closure)
		if !slices.EqualFunc(levels, v.Levels, slices.Equal) {
			t.Errorf("levels of %s: got %q, want %q", name, levels, v.Levels)
		}
		sameList(t, "order of "+name, slices.Concat(levels...), v.Order)
		order := g.Order(closure)
		for i, p := range order {
			for _, dep := range g.BuildClosure(p) {
				if slices.Index(order, dep) > i {
					t.Errorf("steps of %s: %s comes before %s, which it waits for", name, p, dep)
				}
			}
		}
	}
}

// TestForeignOddities loads trees with what only foreign trees have. The last two sections have
// every message to the letter: "want" with the default strictness, "strict" with Strict.
func TestForeignOddities(t *testing.T) {
	wants := []string{"want", "strict"}
	const pattern = "../../testdata/foreign/odd/*.txtar"
	golden.Trees(t, pattern, 10, wants, func(t *testing.T, archive *txtar.Archive) []string {
		root := writeTree(t, archive)
		return []string{messages(root, ByTree), messages(root, Strict)}
	})
}

// messages returns the messages on a tree: errors, or warnings and the packages of its variants.
func messages(root string, how Strictness) string {
	w, err := Load(root, how)
	if err != nil {
		return err.Error() + "\n"
	}
	var b strings.Builder
	for _, p := range w.Warnings {
		fmt.Fprintln(&b, p)
	}
	for _, name := range w.VariantNames() {
		fmt.Fprintln(&b, name, "needs", strings.Join(w.Variants[name].BuildRequires, " "))
	}
	for _, name := range w.PackageNames() {
		var names []string
		for _, f := range w.Files(w.Packages[name]) {
			names = append(names, f.Name)
		}
		groups, err := w.SourceGroupFiles(w.Packages[name])
		for _, f := range groups {
			names = append(names, "sources/"+f.Name)
		}
		fmt.Fprintln(&b, name, "is", strings.Join(names, " "))
		if err != nil {
			fmt.Fprintln(&b, err)
		}
	}
	return b.String()
}
