// rebuild: makes an image again from the commit that is stated of it, apart from all that was built
// before, and compares.

package build

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"buildsys/internal/builddir"
	"buildsys/internal/cache"
	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/git"
	"buildsys/internal/manifest"
	"buildsys/internal/provenance"
)

// Workplace is where an image is made again.
type Workplace struct {
	Dir  string // removed by Close
	Root string // of the tree
}

// store returns the directory for results.
func (w Workplace) store() string { return filepath.Join(w.Dir, "store") }

// Close removes it.
func (w Workplace) Close() error { return os.RemoveAll(w.Dir) }

// OpenWorkplace makes a clone of the commit that an image was made of. root is the tree on this
// machine whose repository has the commit.
func OpenWorkplace(ctx context.Context, root string, c provenance.Claim) (w Workplace, err error) {
	if err := canRebuild(c); err != nil {
		return w, err
	}
	if w.Dir, err = os.MkdirTemp("", "buildsys-rebuild-"); err != nil {
		return w, errkind.BadEnvironment(err)
	}
	top := filepath.Join(w.Dir, "tree")
	err = git.Clone(ctx, root, c.Tree.Commit, top)
	if err != nil {
		err = errkind.BadEnvironment(err)
	} else {
		w.Root, err = within(top, c.Tree.Path)
	}
	if err != nil {
		err = errors.Join(err, w.Close())
	}
	return w, err
}

// canRebuild refuses an image that no commit describes. What a statement says becomes part of paths
// and of settings: it is held to their form.
func canRebuild(c provenance.Claim) error {
	bad := func(format string, args ...any) error {
		return provenance.Faults{{Kind: provenance.BadStatement, Name: c.Step,
			Reason: fmt.Sprintf(format, args...)}}
	}
	switch {
	case c.Tree.Commit == "":
		return bad("it does not say of which commit the image was made, so that it cannot be made again")
	case c.Tree.Dirty:
		return bad("the image was made of the commit %.12s with changes that are in none: it cannot be "+
			"made again", c.Tree.Commit)
	case !strings.HasPrefix(c.Step, "variant/"):
		return bad("the image was made of another image: make that again")
	case !manifest.ValidName(c.Variant) || !slices.Contains(manifest.Architectures(), c.Arch):
		return bad("it names no variant and architecture")
	case !filepath.IsLocal(filepath.FromSlash(c.Tree.Path)):
		return bad("it says that the tree is outside of its repository")
	}
	return nil
}

// within returns a directory in a clone, which no link leads out of.
func within(top, name string) (string, error) {
	dir, err := confined.OpenDir(top)
	if err != nil {
		return "", errkind.BadEnvironment(err)
	}
	defer dir.Close()
	at, err := confined.OpenDirIn(dir, filepath.FromSlash(name))
	if err != nil {
		return "", errkind.BadEnvironment(err)
	}
	return filepath.Join(top, filepath.FromSlash(name)), at.Close()
}

// In returns a configuration for the tree of a workplace that uses nothing which was built before.
// Sources are still those of the cache directory: their hashes are in the tree.
func (c Config) In(w Workplace, claim provenance.Claim) Config {
	c.Variant, c.Arch, c.Apart = claim.Variant, claim.Arch, w.store()
	c.Remote = RemoteConfig{Release: claim.Release}
	c.Objects, c.Sign, c.RequireCached = ObjectsConfig{}, SignConfig{}, false
	return c
}

// Rebuild builds the image of a claim and compares all outputs, and what each step made. The error
// is a provenance.Faults if some differ.
func (s *Session) Rebuild(ctx context.Context, c provenance.Claim, steps []provenance.Claim) error {
	result, err := s.Build(ctx, Request{Image: true})
	if err != nil {
		return err
	}
	files, _, err := cache.ScanDir(result.Out)
	if err != nil {
		return errkind.BadEnvironment(err)
	}
	var faults provenance.Faults
	differs := func(name, format string, args ...any) {
		faults = append(faults, provenance.Fault{Kind: provenance.BadRebuild, Name: name,
			Reason: fmt.Sprintf(format, args...)})
	}
	for _, one := range append(steps[:len(steps):len(steps)], c) {
		id := strings.TrimSuffix(one.Step, " "+c.Arch)
		state, ok := builddir.ReadState(s.dir.State(), id)
		switch {
		case !ok:
			differs(one.Step, "the image is made without it now")
		case state.Content.String() == one.Content: // perhaps from other inputs, to the same bytes
		case state.Action.String() != one.Action:
			differs(one.Step, "it is made from other inputs now: %s",
				changes(cache.Explain(one.Transcript, state.Transcript, cache.Nodes{Dir: s.dir.Nodes()}.Get)))
		default:
			differs(one.Step, "from the same inputs came other bytes")
		}
	}
	made := map[string]bool{}
	for _, f := range files {
		made[f.Name] = true
		want, ok := c.Subjects[f.Name]
		switch {
		case f.Link != "" && c.Links[f.Name] == f.Link, ok && want == f.SHA256:
		case f.Link != "" || !ok:
			differs(f.Name, "the image that is stated does not have it")
		default:
			differs(f.Name, "it has the sha256 %x now, and the statement says %s", f.SHA256[:6],
				hex.EncodeToString(want[:6]))
		}
	}
	for _, names := range [][]string{slices.Sorted(maps.Keys(c.Subjects)),
		slices.Sorted(maps.Keys(c.Links))} {
		for _, name := range names {
			if !made[name] && !builddir.IsPaper(name) {
				differs(name, "it is not made any more")
			}
		}
	}
	if len(faults) > 0 {
		return faults
	}
	return nil
}

// maxChanges is how many changed inputs of a step are named.
const maxChanges = 5

func changes(all []cache.Change) string {
	var words []string
	for i, c := range all {
		if i == maxChanges {
			words = append(words, fmt.Sprintf("and %d more", len(all)-i))
			break
		}
		words = append(words, c.String())
	}
	return strings.Join(words, ", ")
}
