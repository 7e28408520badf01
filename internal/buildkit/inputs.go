// Inputs: the contexts of a build as parts of its definition. Small ones are in it whole; the engine asks for the others.

package buildkit

import (
	"fmt"
	"strings"
	"time"

	"github.com/moby/buildkit/client/llb"
	"github.com/tonistiigi/fsutil"

	"buildsys/internal/plan"
)

// inlineBytes is how many bytes of files a context may have that is sent with the definition. To ask for a context costs
// the engine a stream, a snapshot and their records, and it has to, whenever a step is built, to know what is in it. What
// is in the definition it knows by that: the recipe, which all packages share, and what is empty are made once.
const inlineBytes = 256 << 10

// localPrefix begins the names under which contexts are offered to the engine.
const localPrefix = "context-"

// inputs are the contexts of one build.
type inputs struct {
	states map[string]llb.State // by key
	locals map[string]fsutil.FS // what the engine may ask for, by name
}

// newInputs composes the contexts. session is the one in which the engine can ask for them. failed is called when a file
// turns out different from what was listed.
func newInputs(contexts map[string]plan.Context, session string, digests *digestMemo, failed func(error)) (inputs, error) {
	in := inputs{states: map[string]llb.State{}, locals: map[string]fsutil.FS{}}
	for key, c := range contexts {
		if key != strings.ToLower(key) {
			return in, fmt.Errorf("context %q: the name must be lower case, it is used as an image name", key)
		}
		fsys, err := newContextFS(c, digests, failed)
		if err != nil {
			return in, fmt.Errorf("context %s: %w", key, err)
		}
		if fsys.size() <= inlineBytes {
			if in.states[key], err = inline(fsys, "[context "+key+"]"); err != nil {
				return in, fmt.Errorf("context %s: %w", key, err)
			}
			continue
		}
		name := localPrefix + key
		in.locals[name] = fsys
		// The session is part of the definition: without it the engine takes the contexts of two builds for one.
		in.states[key] = llb.Local(name, llb.SessionID(session), llb.SharedKeyHint(name), llb.WithCustomName("[context "+key+"]"))
	}
	return in, nil
}

// inline is a definition that makes the files of a context.
func inline(fsys *contextFS, name string) (llb.State, error) {
	made := time.Unix(contextSecond, 0)
	all, dirs := llb.Mkdir("/", 0o755, llb.WithParents(true)), false
	for _, e := range fsys.entries {
		if e.mode.IsDir() {
			dirs = true
			all = all.Mkdir("/"+e.path, e.mode.Perm(), llb.WithCreatedTime(made))
			continue
		}
		data, err := fsys.read(e)
		if err != nil {
			return llb.State{}, err
		}
		all = all.Mkfile("/"+e.path, e.mode.Perm(), data, llb.WithCreatedTime(made))
	}
	st := llb.Scratch().File(all, llb.WithCustomName(name))
	if dirs { // whose times the files in them have changed
		copied := llb.Copy(st, "/", "/", &llb.CopyInfo{CopyDirContentsOnly: true, CreatedTime: &made})
		st = llb.Scratch().File(copied, llb.WithCustomName(name))
	}
	return st, nil
}
