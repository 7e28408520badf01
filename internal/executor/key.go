// The key of a step: a labelled transcript of everything that determines its outputs.

package executor

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"buildsys/internal/cache"
	"buildsys/internal/plan"
)

// outputs are what a step made.
type outputs struct {
	content cache.ContentID
	files   []cache.File
	pkg     cache.Package // what those that need the step say of it
}

// newOutputs describes what the step of package pkg made. Transcripts hold not how it was made but
// what came out, so that a dependency rebuilt to the same bytes changes nothing above it. The
// content ID alone decides; the names of the files with the beginnings of their hashes tell a
// person which RPM it was.
func newOutputs(pkg string, content cache.ContentID, files []cache.File) *outputs {
	return &outputs{content, files, cache.NewPackage(pkg, content, files)}
}

// writeKey writes down in t what determines the outputs of step s: the recipe, the SDK image, the
// arguments, every file the build sees by its path inside the build, sources by the hash their
// manifest names, and the RPMs of the dependencies by their content, of all packages in one digest;
// made says what that is. Nothing of this machine, the checkout's place, the user or the time is in
// it.
//
// The error says which input cannot be read.
func writeKey(t *cache.Transcript, s plan.Step, arch string, known *Cache, made *ledger) error {
	t.Restart(s.ID + " " + arch)
	t.Add("target", s.Solve.Target)
	t.Add("sdk", known.SDK)
	for _, ref := range s.Solve.Images {
		t.Add("image", known.Images[ref])
	}
	t.Add("dockerfile", hexSum(sha256.Sum256(s.Solve.Dockerfile)))
	for _, name := range slices.Sorted(maps.Keys(s.Solve.Args)) {
		if name != "SDK" && name != "TOOLCHAIN" { // names for people; the digests count
			t.Add("arg", name, s.Solve.Args[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Solve.Contexts)) {
		c := s.Solve.Contexts[name]
		for _, f := range c.Files {
			if err := addFile(t, name, f, known.Memo.HashFile); err != nil {
				return err
			}
		}
		if !c.RPMs.Empty() {
			node, _ := made.node(c.RPMs)
			t.AddPackages(node)
		}
		for _, dir := range slices.Concat(c.Dirs, c.Top) {
			t.AddWords("modules", made.made[dir.Step].pkg.Words())
		}
		for _, dir := range c.Made {
			t.Add("dir", name, dir)
		}
		for _, pattern := range c.Ignore {
			t.Add("ignore", pattern)
		}
	}
	return nil
}

func addFile(t *cache.Transcript, context string, f plan.File,
	hash func(string) ([32]byte, error)) error {
	if f.SHA512 != "" {
		t.Add("external", context, f.Name, f.SHA512)
		return nil
	}
	if f.Link != "" {
		t.Add("link", context, f.Name, f.Link)
		return nil
	}
	sum := sha256.Sum256(f.Data)
	if f.Host != "" {
		var err error
		if sum, err = hash(f.Host); err != nil {
			return fmt.Errorf("hash the input %s: %w", f.Name, err)
		}
	}
	t.Add("file", context, f.Name, fmt.Sprintf("%o", f.Mode), hexSum(sum))
	return nil
}

func hexSum(sum [32]byte) string { return hex.EncodeToString(sum[:]) }
