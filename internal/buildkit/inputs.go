// Inputs: the contexts of a build as parts of its definition. A definition contains small ones
// whole; the engine asks for the others.

package buildkit

import (
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/moby/buildkit/client/llb"
	"github.com/tonistiigi/fsutil"

	"buildsys/internal/plan"
)

// inlineBytes is the largest size of a context, in bytes of its files, that is sent with the
// definition. To ask for a context costs the engine a stream, a snapshot and their records, and it
// must ask whenever a step is built, to learn what has changed. It knows the contents of a
// definition by their digest, so the recipe, which all packages share, and empty contexts are made
// once.
const inlineBytes = 256 << 10

// localPrefix begins the names under which contexts are offered to the engine.
const localPrefix = "context-"

// inputs are the contexts of one build.
type inputs struct {
	states map[string]llb.State  // by key; a context in merged has a placeholder here
	merged map[string]*contextFS // sent as one tree; see merge.go
	locals map[string]fsutil.FS  // trees that the engine may ask for, by name
}

// newInputs composes the contexts. The engine can ask for them in the session. failed is called if
// a file differs from what was listed.
func newInputs(contexts map[string]plan.Context, session string, digests *digestMemo,
	failed func(error)) (inputs, error) {
	in := inputs{states: map[string]llb.State{}, merged: map[string]*contextFS{},
		locals: map[string]fsutil.FS{}}
	for key, c := range contexts {
		if key != strings.ToLower(key) {
			return in, fmt.Errorf("context %q: the name must be lower case, it is used as an image name",
				key)
		}
		fsys, err := newContextFS(c, digests, failed)
		if err == nil && key != plan.TreeContext {
			err = fsys.checkNamed()
		}
		if err != nil {
			return in, fmt.Errorf("context %s: %w", key, err)
		}
		state := inputName(key)
		switch {
		case fsys.size() > inlineBytes || fsys.hasLinks():
			name := localPrefix + key
			in.locals[name] = fsys
			// The session is part of the definition; otherwise the engine would take the contexts
			// of two builds for one.
			in.states[state] = llb.Local(name, llb.SessionID(session), llb.SharedKeyHint(name),
				llb.WithCustomName(contextTitle(key)))
		case key != plan.TreeContext && mergeable(c, fsys):
			in.merged[key] = fsys
			in.states[state] = placeholder(key)
		default:
			if in.states[state], err = inline(fsys, contextTitle(key)); err != nil {
				return in, fmt.Errorf("context %s: %w", key, err)
			}
		}
	}
	return in, nil
}

// contextTitle returns the name of a context in the engine's messages.
func contextTitle(key string) string { return "[context " + key + "]" }

// made is the time of files and directories that a definition makes.
var made = llb.WithCreatedTime(time.Unix(contextSecond, 0))

// inline returns a definition that makes the files of a context.
func inline(fsys *contextFS, name string) (llb.State, error) {
	all, dirs, err := makeFiles(llb.Mkdir("/", 0o755, llb.WithParents(true)), "/", fsys)
	if err != nil {
		return llb.State{}, err
	}
	st := llb.Scratch().File(all, llb.WithCustomName(name))
	if dirs { // creating files has changed the times of their directories
		times := &llb.CopyInfo{CopyDirContentsOnly: true}
		made.SetCopyOption(times)
		st = llb.Scratch().File(llb.Copy(st, "/", "/", times), llb.WithCustomName(name))
	}
	return st, nil
}

// makeFiles adds the actions that make the files of fsys below dir, and reports whether there are
// directories among them.
func makeFiles(all *llb.FileAction, dir string, fsys *contextFS) (_ *llb.FileAction, dirs bool,
	err error) {
	for _, e := range fsys.entries {
		name := path.Join(dir, e.path)
		if e.mode.IsDir() {
			dirs = true
			all = all.Mkdir(name, e.mode.Perm(), made)
			continue
		}
		data, err := fsys.read(e)
		if err != nil {
			return nil, false, err
		}
		all = all.Mkfile(name, e.mode.Perm(), data, made)
	}
	return all, dirs, nil
}
