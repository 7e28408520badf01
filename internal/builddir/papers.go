// papers: files with what is stated of an image, which lie beside it. They are no outputs of its
// step, and nothing that is made of an image depends on them.

package builddir

import (
	"slices"
	"strings"

	"buildsys/internal/cache"
)

// The ends of the names of papers.
const (
	SignedPaper   = ".intoto.jsonl"
	UnsignedPaper = ".provenance-unsigned.jsonl"
)

// IsPaper reports whether a name is that of a paper.
func IsPaper(name string) bool {
	return !strings.Contains(name, "/") &&
		(strings.HasSuffix(name, SignedPaper) || strings.HasSuffix(name, UnsignedPaper))
}

// WithoutPapers returns files without the papers among them, and their content ID.
func WithoutPapers(files []cache.File) ([]cache.File, cache.ContentID) {
	outputs := slices.DeleteFunc(slices.Clone(files), func(f cache.File) bool {
		return IsPaper(f.Name)
	})
	return outputs, cache.ContentOf(outputs)
}
