// own_scripts: which files of the tree the commands of a RUN name, directly or through the scripts
// that they run, when they see the whole tree.

package plan

import (
	"bytes"
	"io"
	"io/fs"
	"path"
	"strings"

	"buildsys/internal/confined"
	"buildsys/internal/dockerfile"
)

// maxScript is the size limit, in bytes, of files that are searched for paths. The scripts that
// builds of a tree run have a tenth of that.
const maxScript = 512 << 10

// script is what a file names of the tree: paths, or with whole more than can be determined.
type script struct {
	paths []string
	whole bool
}

// mentioned shows the paths that were named below mount, where a RUN has the whole tree, and what
// the scripts among them name in turn. If whole is true, it shows the whole tree.
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

// mention shows one path. A file comes with those beside it: a program finds its parts there.
func (v *view) mention(p, mount string) error {
	info, err := fs.Stat(v.own.m.ws.FS, p)
	if err != nil {
		return nil // a script may test whether it exists
	}
	dir := path.Dir(p)
	if info.IsDir() || dir == "." || v.pkg != nil && within(p, v.pkg.Dir) {
		return v.show(p)
	}
	entries, err := confined.ReadDir(v.own.m.ws.FS, dir)
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

// readScript returns what a file of the tree names below mount.
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
