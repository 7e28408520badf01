// The key of a step: a labelled transcript of everything that determines its outputs.

package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"buildsys/internal/cache"
	"buildsys/internal/plan"
)

// dependency is what a step's key holds of a step it depends on: not how it was made but what came out, so that a
// dependency rebuilt to the same bytes changes nothing above it.
type dependency struct {
	name string
	out  string // where its outputs are in the checkout
	outputs
}

// outputs are what a step made.
type outputs struct {
	content cache.ContentID
	files   []cache.File
}

// key writes down what determines the outputs of step s: the recipe, the SDK image, the arguments, every file the
// build sees by its path inside the build, sources by the hash their manifest names, and the RPMs of the dependencies
// by their content: line gives what is written of a package whose RPMs are in a context. Nothing of this machine, the
// checkout's place, the user or the time is in it.
//
// The error is that of hash, a function that returns the sha256 of a file on this machine.
func key(s plan.Step, arch, sdk string, line func(context, pkg string) cache.Line, hash func(path string) ([32]byte, error)) (*cache.Transcript, error) {
	t := cache.NewTranscript(s.ID + " " + arch)
	t.Add("target", s.Solve.Target)
	t.Add("sdk", sdk)
	t.Add("dockerfile", hexSum(sha256.Sum256(s.Solve.Dockerfile)))
	for _, name := range slices.Sorted(maps.Keys(s.Solve.Args)) {
		if name != "SDK" { // a name for people; the digest counts
			t.Add("arg", name, s.Solve.Args[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Solve.Contexts)) {
		c := s.Solve.Contexts[name]
		for _, f := range c.Files {
			if err := addFile(t, name, f, hash); err != nil {
				return nil, err
			}
		}
		for _, dir := range c.Dirs {
			t.AddLine(line(name, dir.Name))
		}
	}
	return t, nil
}

// lineID names what a line of a transcript says of a dependency.
type lineID struct {
	context, pkg string
	content      cache.ContentID
}

// line is what a transcript says of the outputs of package pkg in a context. The same line is in the transcripts of all
// that need the package, which in a large tree are thousands, so it is made once.
func (c *Cache) line(context, pkg string, o outputs) cache.Line {
	id := lineID{context, pkg, o.content}
	if known, ok := c.lines.Load(id); ok {
		return known.(cache.Line)
	}
	made := cache.NewLine(context, append([]string{pkg, o.content.String()}, o.names()...)...)
	c.lines.Store(id, made)
	return made
}

// names are the files with the beginnings of their hashes. The content ID alone decides; these tell a person which RPM it was.
func (o outputs) names() []string {
	var names []string
	for _, f := range o.files {
		names = append(names, f.Name, hex.EncodeToString(f.SHA256[:6]))
	}
	return names
}

func addFile(t *cache.Transcript, context string, f plan.File, hash func(string) ([32]byte, error)) error {
	if f.SHA512 != "" {
		t.Add("external", context, f.Name, f.SHA512)
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
