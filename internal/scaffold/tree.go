// tree: a whole new tree that builds and boots, with a program of its own.

package scaffold

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"buildsys"
	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/workspace"
)

// own has what a new tree has of its own. What it has in common with Skiff is buildsys.Base.
//
//go:embed tree
var own embed.FS

// SharedPrefix begins the names of Skiff's RPMs. A tree with this prefix has the same base packages
// by the byte, so a store that has them need not make them again.
const SharedPrefix = "skiff"

// DefaultVariant is the variant that a new tree has.
const DefaultVariant = "qemu-dev"

// TreeOptions are the choices for a new tree.
type TreeOptions struct {
	Name   string // of the OS; empty for that of the directory
	Prefix string // of RPM names, without a dash; empty for the name of the OS
	CI     string // "github", "gitlab", "codebuild" or "none"
}

// NewTree is a tree that does not exist yet.
type NewTree struct {
	Dir   string // absolute
	Name  string // of the OS
	Own   bool   // RPMs have names of their own, so that no store has the base packages yet
	files map[string]file
}

// osName matches names that can be all that an OS is called by: a part of partition labels and host
// names, of the kernel's version, and of the target that configure scripts know.
var osName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// maxOSName is what leaves room for the rest of a partition label.
const maxOSName = 25

// ciFiles has the place of the file for each CI service.
var ciFiles = map[string]string{"github": ".github/workflows/images.yml",
	"gitlab": ".gitlab-ci.yml", "codebuild": "buildspec.yml", "none": ""}

// CIServices returns what TreeOptions.CI may be, sorted.
func CIServices() []string { return slices.Sorted(maps.Keys(ciFiles)) }

// Tree returns a tree for the directory dir, which may exist.
func Tree(dir string, o TreeOptions) (*NewTree, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if o.Name == "" {
		o.Name = filepath.Base(dir)
	}
	if o.Prefix == "" {
		o.Prefix = o.Name
	}
	for _, name := range []string{o.Name, o.Prefix} {
		if !osName.MatchString(name) || len(name) > maxOSName {
			return nil, errkind.Usagef("%q cannot be the name of an OS or a prefix of RPMs: use a-z and "+
				"0-9, with single dashes between, begin with a letter, and at most %d characters; "+
				"--name gives another name than the directory's", name, maxOSName)
		}
	}
	if _, known := ciFiles[o.CI]; !known {
		return nil, errkind.Usagef("--ci %q: use one of %s", o.CI, strings.Join(CIServices(), ", "))
	}
	t := &NewTree{Dir: dir, Name: o.Name, Own: o.Prefix != SharedPrefix, files: map[string]file{}}
	if err := t.checkPlace(); err != nil {
		return nil, err
	}
	return t, errors.Join(t.addBase(o), t.addOwn(o))
}

// checkPlace refuses a directory in a tree.
func (t *NewTree) checkPlace() error {
	at, err := filepath.EvalSymlinks(existing(t.Dir))
	if err != nil {
		return errkind.BadEnvironment(err)
	}
	if root, err := workspace.FindRoot(at); err == nil {
		return errkind.Usagef("%s is in the tree %s: choose another directory, or use "+
			"\"buildsys new\" to add to that tree", t.Dir, root)
	}
	return nil
}

// existing returns the nearest directory at or above dir that is there.
func existing(dir string) string {
	for {
		if _, err := os.Lstat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// addBase adds the packages that Skiff has as well. What they say of Skiff becomes the new name,
// but for those that are to be the same by the byte.
func (t *NewTree) addBase(o TreeOptions) error {
	return fs.WalkDir(buildsys.Base, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := buildsys.Base.ReadFile(name)
		if o.Prefix != SharedPrefix || strings.HasPrefix(name, "packages/release/") {
			text = bytes.ReplaceAll(text, []byte("Skiff OS"), []byte(o.Name))
			text = bytes.ReplaceAll(text, []byte("skiff"), []byte(o.Name))
		}
		t.files[name] = file{name, string(text)}
		return err
	})
}

// addOwn adds what is made for this tree.
func (t *NewTree) addOwn(o TreeOptions) error {
	fill := strings.NewReplacer("@NAME@", o.Name, "@UPPER@", strings.ToUpper(o.Name),
		"@PRETTY@", o.Name, "@PREFIX@", o.Prefix, "@VENDOR@", strings.ReplaceAll(o.Prefix, "-", ""))
	return fs.WalkDir(own, "tree", func(at string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name := strings.TrimPrefix(at, "tree/")
		switch dir, base := path.Split(name); {
		case name == "gitignore":
			name = ".gitignore"
		case name == "macros/shared" && o.Prefix == SharedPrefix:
			return nil
		case dir == "ci/":
			if name = ciFiles[strings.TrimSuffix(base, ".yml")]; base != o.CI+".yml" {
				return nil
			}
		}
		text, err := own.ReadFile(at)
		t.files[name] = file{name, fill.Replace(string(text))}
		return err
	})
}

// Write creates the files and returns their names, sorted. It changes no file that is there, and
// follows no link below the directory: nothing is written if one of the files exists.
func (t *NewTree) Write() (names []string, err error) {
	for name := range t.files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if at := t.inTheWay(name); at != "" {
			return nil, errkind.Usagef("%s already exists in %s, and nothing is overwritten", at, t.Dir)
		}
	}
	if err := os.MkdirAll(t.Dir, 0o755); err != nil {
		return nil, errkind.BadEnvironment(err)
	}
	for i, name := range names {
		if err := t.write(name); err != nil {
			for _, written := range names[:i] {
				err = errors.Join(err, t.remove(written))
			}
			return nil, errkind.BadEnvironment(fmt.Errorf("write the tree: %w", err))
		}
	}
	return names, nil
}

// inTheWay returns what is there in the place of a file, or of a directory that it is in, or "".
func (t *NewTree) inTheWay(name string) string {
	for at := name; at != "."; at = path.Dir(at) {
		info, err := os.Lstat(filepath.Join(t.Dir, at))
		if err == nil && (at == name || !info.IsDir()) {
			return at
		}
	}
	return ""
}

// write creates one file.
func (t *NewTree) write(name string) error {
	dir, err := confined.Path{Root: t.Dir, Name: path.Dir(name)}.MakeDir()
	if err != nil {
		return err
	}
	defer dir.Close()
	f, err := dir.OpenFile(path.Base(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(t.files[name].text)
	if err = errors.Join(err, f.Close()); err != nil {
		_ = dir.Remove(path.Base(name))
	}
	return err
}

// remove takes a file away that write has made.
func (t *NewTree) remove(name string) error {
	dir, err := confined.Path{Root: t.Dir, Name: path.Dir(name)}.MakeDir()
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Remove(path.Base(name))
}
