// recipe: the files of sdk/, from which an SDK image is made.

package sdk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"buildsys"
	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/plan"
)

// Recipe is the recipe of the SDK image of a tree. Close it after use.
type Recipe struct {
	files fs.FS
	close func() error
	Host  string // the machines that it makes images for
	Own   bool   // it is in the tree, not the one that is built in
}

// OpenRecipe opens sdk/ of the tree at root, or the built-in one if it has none, for a host.
func OpenRecipe(root, host string) (*Recipe, error) {
	switch info, err := os.Lstat(filepath.Join(root, "sdk")); {
	case err == nil && info.IsDir():
		dir, err := confined.OpenDir(root)
		if err != nil {
			return nil, errkind.Environmentf("open the SDK's recipe: %w", err)
		}
		return &Recipe{dir.FS(), dir.Close, host, true}, nil
	case err == nil:
		return nil, errkind.Usagef("sdk of the tree is no directory (%s); "+
			"a symbolic link there is not followed", info.Mode().Type())
	}
	return &Recipe{buildsys.Recipe, func() error { return nil }, host, false}, nil
}

// Close closes the tree.
func (r *Recipe) Close() { _ = r.close() }

// Name returns the name of the image that the recipe makes.
func (r *Recipe) Name() (string, error) {
	sum, err := Digest(r.files, "sdk")
	if err != nil {
		return "", errkind.Environmentf("read the SDK's recipe: %w", err)
	}
	name := plan.ContextPrefix + "sdk:" + sum[:12]
	if r.Host != Hosts[0] {
		name += "-" + r.Host
	}
	return name, nil
}

// UnlockedName returns the name of an image of the recipe that is made of the packages of another
// lock.
func (r *Recipe) UnlockedName(l *Lock) (string, error) {
	name, err := r.Name()
	return name + unlockedMark + l.Sum(), err
}

const unlockedMark = "-unlocked-"

// List returns what packages.list asks for.
func (r *Recipe) List() (List, error) {
	data, err := readRecipe(r.files, listFile)
	if err != nil {
		return List{}, errkind.BadUsage(err)
	}
	l, err := ParseList(data)
	if err != nil {
		return l, errkind.Usagef("sdk/%s: %w", listFile, err)
	}
	return l, nil
}

// Keys returns the armored keys that sign Debian's indexes.
func (r *Recipe) Keys() ([]byte, error) {
	data, err := readRecipe(r.files, keysFile)
	return data, errkind.BadUsage(err)
}

// Old returns the lock for comparison with a new one; nil if there is none that can be read.
func (r *Recipe) Old() *Lock {
	data, err := readRecipe(r.files, LockFile)
	if err != nil {
		return nil
	}
	l, err := ParseLock(data)
	if err != nil {
		return nil
	}
	return l
}

// Lock returns the lock, which must be one of the list.
func (r *Recipe) Lock() (*Lock, error) {
	const remedy = `make it with "buildsys sdk lock"`
	data, err := readRecipe(r.files, LockFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errkind.Usagef("sdk/%s is missing: %s", LockFile, remedy)
	}
	if err != nil {
		return nil, errkind.BadUsage(err)
	}
	l, err := ParseLock(data)
	if err != nil {
		return nil, errkind.Usagef("sdk/%s: %w; %s", LockFile, err, remedy)
	}
	list, err := r.List()
	if err != nil {
		return nil, err
	}
	if l.List != list.Sum() {
		return nil, errkind.Usagef("sdk/%s is not of the present sdk/%s: %s", LockFile, listFile, remedy)
	}
	return l, nil
}

// Context returns the files of the recipe, as the program that makes the SDK finds them.
func (r *Recipe) Context() (c plan.Context, err error) {
	err = fs.WalkDir(r.files, "sdk", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !isInput(name, entry) || name == "sdk/"+LockFile {
			return err
		}
		data, err := readRecipe(r.files, name[len("sdk/"):])
		c.Files = append(c.Files, plan.File{Name: name[len("sdk/"):], Data: data,
			Mode: 0o755})
		return err
	})
	if err != nil {
		return c, errkind.Environmentf("read the SDK's recipe: %w", err)
	}
	return c, nil
}

// isInput reports whether a file of a recipe has part in what it makes, and does not only explain.
func isInput(name string, entry fs.DirEntry) bool {
	return entry.Type().IsRegular() && path.Ext(name) != ".md"
}

// Order returns the groups of packages and the foreign architectures of a host, as the program that
// makes the SDK reads them.
func (l *Lock) Order(host string) (plan.Context, error) {
	groups, err := l.Groups(host)
	if err != nil {
		return plan.Context{}, errkind.Usagef("sdk/%s: %w", LockFile, err)
	}
	batches, foreign := "", ""
	for _, group := range groups {
		for _, p := range group {
			batches += p.FileName() + " "
		}
		batches += "\n"
	}
	for _, arch := range l.Foreign(host) {
		foreign += fmt.Sprintln(arch)
	}
	return plan.Context{Files: []plan.File{{Name: "batches", Data: []byte(batches)},
		{Name: "architectures", Data: []byte(foreign)}}}, nil
}
