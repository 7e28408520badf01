// tree: from what %prep has left to a repository.

package dev

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"buildsys/internal/confined"
	"buildsys/internal/ctxio"
	"buildsys/internal/git"
	"buildsys/internal/safetext"
)

// Bounds of what a container says about a source.
const (
	maxEntries = 1 << 20
	maxPatches = 10_000
	maxPatch   = 64 << 20 // bytes of a patch, or of the names of its files
)

// Prepared is what %prep has left, and how: the outputs of plan.Unpacked.
type Prepared struct {
	Dir  string // of the outputs
	Tree string // the name of the archive of the source
}

// Make makes a repository in an existing, empty directory: a commit of the source before patches,
// and one for each patch. title is the subject of the first, and nameOf returns the name of a patch
// with the given text.
func Make(ctx context.Context, from Prepared, dir, title string, at time.Time,
	nameOf func(text []byte) string) error {
	root, err := confined.OpenDir(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	patches, err := from.patches()
	if err != nil {
		return err
	}
	if err := from.Extract(root, from.Tree, nil); err != nil {
		return err
	}
	touched := map[string]bool{}
	for _, p := range slices.Backward(patches) {
		if err := from.put(root, p.number+".before", p.files); err != nil {
			return err
		}
		maps.Insert(touched, maps.All(p.files))
	}
	s, err := git.NewSeries(ctx, dir)
	if err != nil {
		return err
	}
	upstream := git.Person{Name: "upstream", Mail: "upstream@buildsys.invalid", Time: at}
	if err := s.Commit(ctx, upstream, title); err != nil {
		return err
	}
	for _, p := range patches {
		if err := from.put(root, p.number+".after", p.files); err != nil {
			return err
		}
		by, message := described(p.text, nameOf(p.text), upstream)
		if err := s.Commit(ctx, by, message); err != nil {
			return err
		}
	}
	if err := from.put(root, from.Tree, touched); err != nil {
		return err
	}
	switch rest, err := s.Uncommitted(ctx); {
	case err != nil:
		return err
	case rest != "":
		return s.Commit(ctx, upstream, "what else %prep changes in patched files")
	}
	return nil
}

// applied is a patch that %prep has applied.
type applied struct {
	number string
	text   []byte
	files  map[string]bool
}

// patches returns the patches in the order in which they were applied.
func (p Prepared) patches() (all []applied, err error) {
	for i := 1; i <= maxPatches; i++ {
		a := applied{number: fmt.Sprintf("%04d", i), files: map[string]bool{}}
		a.text, err = confined.Path{Root: p.Dir, Name: a.number + ".patch"}.Read(maxPatch)
		if errors.Is(err, fs.ErrNotExist) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		names, err := confined.Path{Root: p.Dir, Name: a.number + ".files"}.Read(maxPatch)
		if err != nil {
			return nil, err
		}
		for name := range strings.Lines(string(names)) {
			if name, err = cleanName(strings.TrimSuffix(name, "\n")); err != nil {
				return nil, err
			}
			a.files[name] = true
		}
		all = append(all, a)
	}
	return nil, fmt.Errorf("%%prep applies more than %d patches", maxPatches)
}

// cleanName returns the name of a file of a source. It refuses what would be outside, or git's.
func cleanName(name string) (string, error) {
	clean := path.Clean(name)
	if !filepath.IsLocal(clean) || strings.ContainsAny(clean, "\n\x00") {
		return "", fmt.Errorf("the source has a file %q, which is outside of it", name)
	}
	for part := range strings.SplitSeq(clean, "/") {
		if strings.EqualFold(part, ".git") {
			return "", fmt.Errorf("the source has a git repository (%s), which git would take for its "+
				"own", safetext.Line(name))
		}
	}
	return clean, nil
}

// put replaces files by those of an archive; those it does not have are removed.
func (p Prepared) put(root *os.Root, archive string, files map[string]bool) error {
	if len(files) == 0 {
		return nil
	}
	for name := range files {
		if err := root.Remove(filepath.FromSlash(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return p.Extract(root, archive, files)
}

// Extract makes files of an archive in a directory: those that are named, or all if only is nil.
func (p Prepared) Extract(root *os.Root, archive string, only map[string]bool) error {
	f, err := confined.Path{Root: p.Dir, Name: archive}.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	for r, n := tar.NewReader(f), 0; ; n++ {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := cleanName(h.Name)
		switch {
		case err != nil:
			return err
		case ctxio.HasHoles(h):
			return fmt.Errorf("file %s of the source has holes", safetext.Line(name))
		case n > maxEntries:
			return fmt.Errorf("the source has more than %d files", maxEntries)
		case only != nil && !only[name]:
			continue
		}
		if err := entry(root, h, filepath.FromSlash(name), r); err != nil {
			return fmt.Errorf("unpacking the source: %w", err)
		}
	}
}

// entry makes one file of an archive.
func entry(root *os.Root, h *tar.Header, name string, content io.Reader) error {
	if h.Typeflag == tar.TypeDir {
		return root.MkdirAll(name, 0o755)
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg:
		mode := fs.FileMode(0o644)
		if h.Mode&0o100 != 0 {
			mode = 0o755
		}
		f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, content)
		return errors.Join(err, f.Chmod(mode), f.Close())
	case tar.TypeSymlink:
		return root.Symlink(h.Linkname, name)
	case tar.TypeLink:
		old, err := cleanName(h.Linkname)
		if err != nil {
			return err
		}
		return root.Link(filepath.FromSlash(old), name)
	}
	return fmt.Errorf("%s is neither a file nor a link", safetext.Line(name))
}

// Same fails unless the source that %prep has left is that of the last commit.
func Same(ctx context.Context, from Prepared, s *git.Series, scratch string) error {
	root, err := confined.OpenDir(scratch)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := from.Extract(root, from.Tree, nil); err != nil {
		return err
	}
	made, err := s.TreeOf(ctx, scratch)
	if err != nil {
		return err
	}
	want, err := s.Tree(ctx)
	if err != nil || made == want {
		return err
	}
	names, err := s.Names(ctx, want, made)
	if err != nil {
		return err
	}
	return fmt.Errorf("with the new patches %%prep makes other files than the work tree has (%s): "+
		"%%prep changes them itself, or their lines are made from others", few(names))
}

// few returns the first of some names.
func few(names []string) string {
	if len(names) > 5 {
		names = append(names[:5:5], "and others")
	}
	return safetext.Line(strings.Join(names, ", "))
}

// NameOf returns a function for Make that finds patches among the files of a package.
func NameOf(files map[string][]byte) func(text []byte) string {
	return func(text []byte) string {
		for _, name := range slices.Sorted(maps.Keys(files)) {
			if bytes.Equal(files[name], text) {
				return name
			}
		}
		return "a patch"
	}
}
