// papers: files about an image that lie beside it: statements and bills of materials. They are no
// outputs of its step, and nothing that is made of an image depends on them.

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
	SPDXPaper     = ".spdx.json"
	CycloneDX     = ".cdx.json"
)

// IsPaper reports whether a name is that of a paper.
func IsPaper(name string) bool {
	return !strings.Contains(name, "/") &&
		slices.ContainsFunc([]string{SignedPaper, UnsignedPaper, SPDXPaper, CycloneDX},
			func(end string) bool { return strings.HasSuffix(name, end) })
}

// WithoutPapers returns files without the papers among them, and their content ID.
func WithoutPapers(files []cache.File) ([]cache.File, cache.ContentID) {
	outputs := slices.DeleteFunc(slices.Clone(files), func(f cache.File) bool {
		return IsPaper(f.Name)
	})
	return outputs, cache.ContentOf(outputs)
}
