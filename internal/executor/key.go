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
	pkg     cache.Package // the step as the keys of its dependants have it
}

// newOutputs describes what the step of package pkg made. Transcripts hold what came out, not how
// it was made, so a dependency rebuilt to the same bytes changes nothing above it. Only the content
// ID counts; the file names with the first digits of their hashes tell a reader which RPM it was.
func newOutputs(pkg string, content cache.ContentID, files []cache.File) *outputs {
	return &outputs{content, files, cache.NewPackage(pkg, content, files)}
}

// writeKey writes to t everything that determines the outputs of step s: the recipe, the SDK image,
// the arguments, every file that the build sees by its path inside the build, sources by the hash
// that their manifest names, and the RPMs of the dependencies by their content, in one digest for
// all packages; made has what that stands for. Nothing in it depends on this machine, the
// checkout's path, the user or the time.
//
// The error names the input that cannot be read.
func writeKey(t *cache.Transcript, s plan.Step, arch string, c *Cache, made *ledger) error {
	t.Restart(s.ID + " " + arch)
	t.Add("target", s.Solve.Target)
	t.Add("sdk", c.SDK)
	for _, ref := range s.Solve.Images {
		t.Add("image", c.Images[ref])
	}
	t.Add("dockerfile", hexSum(sha256.Sum256(s.Solve.Dockerfile)))
	for _, name := range slices.Sorted(maps.Keys(s.Solve.Args)) {
		if name != "SDK" && name != "TOOLCHAIN" { // names are for people; the digests count
			t.Add("arg", name, s.Solve.Args[name])
		}
	}
	if s.Solve.Inside != "" {
		t.Add("inside", s.Solve.Inside)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Solve.Contexts)) {
		context := s.Solve.Contexts[name]
		for _, f := range context.Files {
			if err := addFile(t, name, f, c.Memo.HashFile); err != nil {
				return err
			}
		}
		if !context.RPMs.Empty() {
			node, _ := made.node(context.RPMs)
			t.AddPackages(node)
		}
		for _, dir := range slices.Concat(context.Dirs, context.Top) {
			t.AddWords(dirLabel(name), made.made[dir.Step].pkg.Words())
		}
		for _, dir := range context.Made {
			t.Add("dir", name, dir)
		}
		for _, pattern := range context.Ignore {
			t.Add("ignore", pattern)
		}
	}
	return addBill(t, s.Bill, c.Memo.HashFile)
}

// addBill adds what the bills of materials among the outputs say besides what RPMs say.
func addBill(t *cache.Transcript, b *plan.Bill, hash func(string) ([32]byte, error)) error {
	if b == nil {
		return nil
	}
	t.Add("bill", hexSum(sha256.Sum256(b.Text())))
	for _, f := range b.Copy {
		if err := addFile(t, "bill", f, hash); err != nil {
			return err
		}
	}
	for _, source := range b.Sources {
		for _, f := range source.Files {
			f.Name = source.Package + "/" + f.Name
			if err := addFile(t, "bill", f, hash); err != nil {
				return err
			}
		}
	}
	return nil
}

// dirLabel returns the label of the lines with what the directories of a context have.
func dirLabel(context string) string {
	if context == string(plan.KmodKit) {
		return context
	}
	return "modules"
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
