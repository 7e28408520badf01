// home: what "~" at the beginning of a path means.

package settings

import (
	"path/filepath"
	"slices"
	"strings"

	"buildsys/internal/errkind"
)

// home replaces a leading ~/ in the value of a setting by HOME, if the setting is a path or a list
// of places.
func (c Caller) home(env, value string) string {
	switch {
	case slices.Contains(paths, env):
		return c.homePath(value)
	case slices.Contains(places, env) && strings.Contains(value, "~"):
		words := list(value)
		for i, word := range words {
			dir, isDir := strings.CutPrefix(word, "dir:")
			if words[i] = c.homePath(dir); isDir {
				words[i] = "dir:" + words[i]
			}
		}
		return strings.Join(words, ",")
	}
	return value
}

func (c Caller) homePath(path string) string {
	rest, ok := strings.CutPrefix(path, "~")
	home := c.Getenv("HOME")
	if !ok || rest != "" && rest[0] != '/' || !filepath.IsAbs(home) {
		return path // checkHome refuses what begins with ~ still
	}
	return filepath.Join(home, rest)
}

// checkHome returns a usage error for a setting of the caller that begins with a ~ that means
// nothing: it would become the name of a directory.
func (l layers) checkHome() error {
	for _, env := range slices.Concat(paths, places) {
		for _, word := range list(l.mine(env)) {
			word = strings.TrimPrefix(word, "dir:")
			if word != "~" && !strings.HasPrefix(word, "~/") {
				if strings.HasPrefix(word, "~") && !strings.HasPrefix(l.mine(env), "./") {
					return errkind.Usagef("%s %q: only ~/ stands for a directory, that of HOME: write the whole "+
						"path, or ./%[2]s for a file of that name", env, word)
				}
				continue
			}
			return errkind.Usagef("%s %q: HOME is not set, so ~ stands for nothing", env, word)
		}
	}
	return nil
}
