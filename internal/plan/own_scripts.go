// own_scripts: what commands name of the tree that they see as a whole, and the scripts of the
// tree that they run.

package plan

import (
	"bytes"
	"io"
	"io/fs"
	"path"
	"strings"

	"buildsys/internal/dockerfile"
)

// maxScript is how many bytes a file may have to be read for what it names. The programs of a tree
// that builds run have a tenth of that.
const maxScript = 512 << 10

// script is what a file names of the tree.
type script struct {
	paths []string
	whole bool
}

// mentioned shows paths that were named below the place where a RUN has the whole tree, and what
// the scripts among them name in turn. whole says that more was asked for than can be told.
func (v *view) mentioned(paths []string, whole bool, mount string) error {
	if whole {
		if err := v.show("."); err != nil {
			return err
		}
	}
	for _, p := range paths {
		if v.seen[mount+" "+p] {
			continue
		}
		v.seen[mount+" "+p] = true
		if err := v.mention(p, mount); err != nil {
			return err
		}
	}
	return nil
}

// mention shows one path. A file in a directory has those beside it with it: a program finds its
// parts there.
func (v *view) mention(p, mount string) error {
	info, err := fs.Stat(v.own.m.ws.FS, p)
	if err != nil {
		return nil // a script may look whether it is there
	}
	dir := path.Dir(p)
	if info.IsDir() || dir == "." || v.pkg != nil && within(p, v.pkg.Dir) {
		return v.show(p)
	}
	entries, err := fs.ReadDir(v.own.m.ws.FS, dir)
	if err != nil {
		return &RequestError{What: "the tree", Why: err.Error()}
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if err := v.show(name); err != nil {
			return err
		}
		if _, shown := v.files[name]; !shown || !e.Type().IsRegular() {
			continue
		}
		s, err := v.own.readScript(name, mount, v.args)
		if err == nil {
			err = v.mentioned(s.paths, s.whole, mount)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readScript reads what a file of the tree names below mount.
func (o *own) readScript(name, mount string, args map[string]string) (script, error) {
	key := mount + " " + name + " " + args["VARIANT"]
	if s, ok := o.scripts[key]; ok {
		return s, nil
	}
	f, err := o.m.ws.FS.Open(name)
	if err != nil {
		return script{}, &RequestError{What: "the tree", Why: err.Error()}
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxScript+1))
	if err != nil {
		return script{}, &RequestError{What: "the tree", Why: err.Error()}
	}
	var s script
	if len(text) <= maxScript && !bytes.ContainsRune(text, 0) {
		s.paths, s.whole = dockerfile.Mentions(string(text), mount,
			func(arg string) (string, bool) { value, ok := args[arg]; return value, ok })
	}
	o.scripts[key] = s
	return s, nil
}
