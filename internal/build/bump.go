// bump: another version of a package: fetches its sources, sees who vouches for them, and writes
// the spec and the manifest.

package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/diff"

	"buildsys/internal/atomicfile"
	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/fetch"
	"buildsys/internal/manifest"
	"buildsys/internal/plan"
	"buildsys/internal/rpm"
	"buildsys/internal/safetext"
	"buildsys/internal/upstream"
	"buildsys/internal/workspace"
)

// Bump is what is asked for: another version of a package.
type Bump struct {
	Package string
	Version string // empty for the newest
	Macro   string // that has the version, where the spec leaves a choice
	Older   bool   // the version may be older
	DryRun  bool   // write nothing
	Proofs
}

// Bumped is what came of it.
type Bumped struct {
	Old, New string
	Sources  []LearntSource
	Diffs    []string // of the files that change
	Warnings []string // what a person has to look at
}

// LearntSource is a source with the hash that it has now, and how that was verified.
type LearntSource struct {
	Name, SHA512 string
	Proof        string // who vouches for it; empty for a signature, which does for another one
	Size         int64
}

// Bump writes another version of a package into its spec and manifest, once all of its sources are
// there and verified.
func (s *Session) Bump(ctx context.Context, want Bump) (Bumped, error) {
	ws, spec, err := s.loadSpec(want.Package)
	if err != nil {
		return Bumped{}, err
	}
	if _, err := os.Lstat(filepath.Join(s.c.Root, devDir, want.Package)); err == nil {
		return Bumped{}, errkind.Usagef("package %s is being worked on in %s/%[1]s: buildsys dev "+
			"--finish %[1]s, or --drop, first", want.Package, devDir)
	}
	named, err := s.findVersion(ws, want.Package, spec, want.Macro)
	if err != nil {
		return Bumped{}, err
	}
	if want.Version == "" {
		if want.Version, err = s.newestRelease(ctx, ws, named, want.Package); err != nil {
			return Bumped{}, err
		}
	}
	if err := upstream.CheckVersion(want.Version); err != nil {
		return Bumped{}, err
	}
	result := Bumped{Old: named.Version, New: want.Version}
	order := rpm.Compare(want.Version, named.Version)
	switch {
	case want.Version == named.Version:
		return result, nil
	case order < 0 && !want.Older:
		return result, errkind.Usagef("%s of %s is older than %s, which the tree has: --force goes back",
			want.Version, want.Package, named.Version)
	}
	change, err := named.To(want.Version)
	if err != nil {
		return result, err
	}
	return s.bump(ctx, ws, want, change, result, spec)
}

// findVersion finds the version that a package of the tree names.
func (s *Session) findVersion(ws *workspace.Workspace, name string, spec []byte, macro string) (
	*upstream.Named, error) {
	return upstream.Find(upstream.Package{Package: &ws.Packages[name].Package,
		SpecFile: specName(ws, name), Spec: string(spec), Macro: macro})
}

// bump fetches, checks and writes.
func (s *Session) bump(ctx context.Context, ws *workspace.Workspace, want Bump,
	change *upstream.Change, result Bumped, spec []byte) (Bumped, error) {
	file := ws.Packages[want.Package].File
	before, err := confined.Path{Root: s.c.Root, Name: filepath.FromSlash(file)}.Read(maxSpec)
	if err != nil {
		return result, err
	}
	prover, err := s.newProver(ctx, want.Package, want.Proofs)
	if err != nil {
		return result, err
	}
	learnt, err := s.learnMoves(ctx, want.Package, change.Moves)
	if err != nil {
		return result, err
	}
	sums := map[string]string{}
	for i, m := range change.Moves {
		sums[m.To.URL] = learnt[i].SHA512
	}
	if result.Sources, err = prover.prove(ctx, change.Moves, learnt); err != nil {
		return result, err
	}
	after, err := change.Manifest(string(before), sums, manifest.Rules{Lenient: true})
	if err != nil {
		return result, err
	}
	result.Warnings = append(change.Warnings, prover.warnings...)
	result.Warnings = append(result.Warnings, s.lookAtPatches(ctx, ws, want.Package, change,
		learnt[0].Path)...)
	edits := []edit{{specName(ws, want.Package), spec, []byte(change.Spec)},
		{file, before, []byte(after)}}
	for _, e := range edits {
		if text := diff.Diff(e.name, e.before, e.name, e.after); text != nil {
			result.Diffs = append(result.Diffs, string(text))
		}
	}
	if want.DryRun {
		return result, nil
	}
	return result, s.writeEdits(edits)
}

// learnMoves fetches the new sources, those with one URL once.
func (s *Session) learnMoves(ctx context.Context, name string, moves []upstream.Move) (
	[]fetch.Learnt, error) {
	store := s.sources(s.out)
	all := make([]fetch.Learnt, len(moves))
	var faults []error
	seen := map[string]int{}
	for i, m := range moves {
		if first, ok := seen[m.To.URL]; ok {
			all[i] = all[first]
			continue
		}
		seen[m.To.URL] = i
		one, err := store.Learn(ctx, fetch.Wanted{Step: string(plan.Package) + "/" + name,
			URL: m.To.URL, Name: m.To.Name()})
		all[i], faults = one, append(faults, err)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	return all, errors.Join(faults...)
}

// lookAtPatches returns what looks wrong about the patches of a package on its new source.
func (s *Session) lookAtPatches(ctx context.Context, ws *workspace.Workspace, name string,
	change *upstream.Change, source string) []string {
	found, err := change.Patches(ctx, source, func(file string) []byte {
		at := confined.Path{Root: s.c.Root, Name: filepath.Join(ws.Packages[name].Dir, file)}
		data, _ := at.Read(maxSpec)
		return data
	})
	if err != nil {
		return []string{fmt.Sprintf("the patches of %s were not looked at: %s", name,
			safetext.Line(err.Error()))}
	}
	return found
}

// edit is a change of a file of the tree.
type edit struct {
	name          string // relative to the root
	before, after []byte
}

// writeEdits writes all of several files, or none: one that was changed meanwhile is an error.
func (s *Session) writeEdits(edits []edit) (err error) {
	var written []edit
	defer func() {
		if err != nil {
			for _, e := range written {
				err = errors.Join(err, s.writeEdit(edit{e.name, e.after, e.before}))
			}
		}
	}()
	for _, e := range edits {
		if bytes.Equal(e.before, e.after) {
			continue
		}
		if err := s.writeEdit(e); err != nil {
			return err
		}
		written = append(written, e)
	}
	return nil
}

// writeEdit writes a file of the tree, through no link.
func (s *Session) writeEdit(e edit) error {
	at := confined.Path{Root: s.c.Root, Name: filepath.FromSlash(e.name)}
	f, err := at.Open()
	if err != nil {
		return errkind.BadEnvironment(err)
	}
	info, err := f.Stat()
	_ = f.Close()
	if err != nil {
		return errkind.BadEnvironment(err)
	}
	now, err := at.Read(maxSpec)
	switch {
	case err != nil:
		return errkind.BadEnvironment(err)
	case !bytes.Equal(now, e.before):
		return errkind.Usagef("%s was changed while the sources were fetched: start again", e.name)
	}
	return errkind.BadEnvironment(atomicfile.ReplaceDurable(at.String(), e.after,
		info.Mode().Perm()))
}
