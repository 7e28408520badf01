// user: the configuration of the user, which holds for all trees.

package settings

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"

	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/safetoml"
)

// userConfig is the user's configuration file.
type userConfig struct {
	file string // its path; it need not exist

	// Trusted are the checkouts whose Makefile.toml may set everything.
	Trusted []string `toml:"trusted-trees"`
	// Env has settings by the names of their variables.
	Env map[string]string `toml:"env"`
}

// maxConfig is the largest configuration that is read, the user's or a tree's.
const maxConfig = 1 << 20

// userConfig reads buildsys/config.toml in the user's configuration directory, as in the XDG base
// directory specification.
func (c Caller) userConfig() (u userConfig, err error) {
	dir := c.Getenv("XDG_CONFIG_HOME")
	if home := c.Getenv("HOME"); !filepath.IsAbs(dir) && filepath.IsAbs(home) {
		dir = filepath.Join(home, ".config")
	}
	if !filepath.IsAbs(dir) {
		return u, nil
	}
	u.file = filepath.Join(dir, "buildsys", "config.toml")
	data, err := confined.Path{Name: u.file}.Read(maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return u, nil
	}
	if err != nil {
		return u, errkind.Environmentf("read the user's configuration: %w", err)
	}
	meta, err := safetoml.Decode(string(data), &u)
	if err != nil {
		return u, errkind.Usagef("%s: %w", u.file, err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return u, errkind.Usagef("%s: unknown key %q; there are trusted-trees and env",
			u.file, unknown[0].String())
	}
	for name := range u.Env {
		if !slices.ContainsFunc(List, func(s Setting) bool { return s.Env == name }) {
			return u, errkind.Usagef("%s: env has %q, which is no setting; "+
				"buildsys --help lists them", u.file, name)
		}
	}
	return u, nil
}

// trusts reports whether the user trusts a tree. Both paths are compared as they really are, so
// that a link elsewhere to a tree is not another tree.
func (u userConfig) trusts(root string) bool {
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(u.Trusted, func(tree string) bool {
		tree, err := filepath.EvalSymlinks(tree)
		return err == nil && filepath.IsAbs(tree) && tree == real
	})
}
