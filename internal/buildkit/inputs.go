// Inputs: the contexts of a build as parts of its definition. Small ones are in it whole; the
// engine asks for the others.

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

// inlineBytes is how many bytes of files a context may have that is sent with the definition. To
// ask for a context costs the engine a stream, a snapshot and their records, and it has to,
// whenever a step is built, to know what is in it. What is in the definition it knows by that: the
// recipe, which all packages share, and what is empty are made once.
const inlineBytes = 256 << 10

// localPrefix begins the names under which contexts are offered to the engine.
const localPrefix = "context-"

// inputs are the contexts of one build.
type inputs struct {
	states map[string]llb.State  // by key; for a context in merged it is a placeholder
	merged map[string]*contextFS // sent as one tree, see merge.go
	locals map[string]fsutil.FS  // what the engine may ask for, by name
}

// newInputs composes the contexts. session is the one in which the engine can ask for them. failed
// is called when a file turns out different from what was listed.
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
			// The session is part of the definition: without it the engine takes the contexts of two builds
			// for one.
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

// contextTitle is the name of what makes a context, in the engine's messages.
func contextTitle(key string) string { return "[context " + key + "]" }

// made is the time that files and directories get which a definition makes.
var made = llb.WithCreatedTime(time.Unix(contextSecond, 0))

// inline is a definition that makes the files of a context.
func inline(fsys *contextFS, name string) (llb.State, error) {
	all, dirs, err := makeFiles(llb.Mkdir("/", 0o755, llb.WithParents(true)), "/", fsys)
	if err != nil {
		return llb.State{}, err
	}
	st := llb.Scratch().File(all, llb.WithCustomName(name))
	if dirs { // whose times the files in them have changed
		times := &llb.CopyInfo{CopyDirContentsOnly: true}
		made.SetCopyOption(times)
		st = llb.Scratch().File(llb.Copy(st, "/", "/", times), llb.WithCustomName(name))
	}
	return st, nil
}

// makeFiles adds what makes the files of fsys below dir, and says whether there are directories
// among them.
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
