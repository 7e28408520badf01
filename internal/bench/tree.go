// A generated tree on disk, the edits of the cases, and the oracle that knows the right outputs.

package bench

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"buildsys/internal/buildtest/fakerpm"
)

// job stands in for rpmbuild, for every peer: build-rpm PACKAGE PACKAGE-DIR RPMS-DIR OUTPUT-DIR.
// Its output depends on the spec without comments and on the outputs of the package's dependencies.
// It is an RPM as far as buildsys looks. The lines that the job prints are counted.
const job = `#!/bin/sh
set -e
spec=$2/$1.spec
echo "JOB $1"
sleep "$(sed -n 's/^seconds //p' "$spec")"
if grep -q '^fail' "$spec"; then exit 1; fi
mkdir -p "$4"
{
  cat "$2/header"
  {
    grep -v '^#' "$spec"
    for dep in $(sed -n 's/^needs //p' "$spec"); do cat "$3/$dep/$dep-1-1.x86_64.rpm"; done
  } | sha256sum
} >"$4/$1-1-1.x86_64.rpm"
`

// rpmName returns the file name of a package's output.
func rpmName(name string) string { return name + "-1-1.x86_64.rpm" }

// header returns the header of a package's RPM.
func header(name string) string { return string(fakerpm.Header(rpmName(name), name)) }

// tree is one generated tree of packages on disk.
type tree struct {
	dir  string
	pkgs []pkg
	spec map[string]*spec
}

// spec is the contents of a package's spec file.
type spec struct {
	comment int    // its only comment
	salt    string // part of the output
	fail    bool
}

// write writes files below dir, by slash path.
func write(dir string, files map[string]string) error {
	for name, text := range files {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(text, "#!") {
			mode = 0o755
		}
		if err := os.WriteFile(at, []byte(text), mode); err != nil {
			return err
		}
	}
	return nil
}

// newTree writes the part of a tree that all peers share.
func newTree(dir string, pkgs []pkg) (*tree, error) {
	t := &tree{dir: dir, pkgs: pkgs, spec: map[string]*spec{}}
	for _, p := range pkgs {
		t.spec[p.name] = &spec{}
		if err := t.save(p); err != nil {
			return nil, err
		}
	}
	return t, write(dir, map[string]string{"tools/package/build-rpm": job})
}

func (t *tree) save(p pkg) error {
	return write(t.dir, map[string]string{
		"packages/" + p.name + "/" + p.name + ".spec": fmt.Sprintf("# comment %d\n%s",
			t.spec[p.name].comment, t.body(p)),
		"packages/" + p.name + "/header": header(p.name),
	})
}

// body returns the spec without its comment.
func (t *tree) body(p pkg) string {
	s := t.spec[p.name]
	text := fmt.Sprintf("seconds %g\nneeds %s\nsalt %s\n", p.seconds, strings.Join(p.needs, " "),
		s.salt)
	if s.fail {
		text += "fail\n"
	}
	return text
}

// edit changes the spec of the named package, or of all if name is empty.
func (t *tree) edit(name string, change func(*spec)) error {
	for _, p := range t.pkgs {
		if name != "" && name != p.name {
			continue
		}
		change(t.spec[p.name])
		if err := t.save(p); err != nil {
			return err
		}
	}
	return nil
}

// touch sets the time of every file below the given directories of the tree to now.
func (t *tree) touch(dirs ...string) error {
	now := time.Now()
	for _, dir := range dirs {
		err := filepath.WalkDir(filepath.Join(t.dir, dir), func(at string, e fs.DirEntry,
			err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			return os.Chtimes(at, now, now)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// moved returns the tree as it is in another directory.
func (t *tree) moved(dir string) *tree { return &tree{dir: dir, pkgs: t.pkgs, spec: t.spec} }

// expected returns the right output of every package. A package that fails has none, nor do those
// that need it.
func (t *tree) expected() map[string]string {
	want := map[string]string{}
	for _, p := range t.pkgs {
		h := sha256.New()
		fmt.Fprint(h, t.body(p))
		whole := !t.spec[p.name].fail
		for _, n := range p.needs {
			out, ok := want[n]
			whole = whole && ok
			fmt.Fprint(h, out)
		}
		if whole {
			want[p.name] = fmt.Sprintf("%s%x  -\n", header(p.name), h.Sum(nil))
		}
	}
	return want
}

// check returns how many packages have the right output, and the first that does not.
func (t *tree) check(at func(name string) string) (good, of int, wrong string) {
	want := t.expected()
	for _, p := range t.pkgs {
		if want[p.name] == "" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(t.dir, at(p.name)))
		switch {
		case err == nil && string(data) == want[p.name]:
			good++
		case wrong == "":
			wrong = p.name
		}
	}
	return good, len(want), wrong
}
