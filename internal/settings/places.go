// places: where the tree, the caches and the registries of the settings are.

package settings

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"buildsys/internal/build"
	"buildsys/internal/cachedir"
	"buildsys/internal/confined"
	"buildsys/internal/engine"
	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
	"buildsys/internal/remote"
	"buildsys/internal/workspace"
)

// Root returns the absolute root of the tree: the one that the caller names, or the first one found
// upwards from the working directory.
func (c Caller) Root() (string, error) {
	told := c.told("BUILDSYS_ROOT_DIR")
	if told == "" {
		root, err := workspace.FindRoot(c.Dir)
		if err != nil {
			return "", errkind.Usagef("%w; run inside a tree, or name it with --root-dir", err)
		}
		return root, nil
	}
	told = c.Path(told)
	if info, err := os.Stat(told); err != nil || !info.IsDir() {
		return "", errkind.Usagef("root directory %s is not a directory", told)
	}
	return filepath.Clean(told), nil
}

// makefile is the tree's file with settings.
const makefile = "Makefile.toml"

// makefileEnv returns the plain values in the [env] table of the tree's Makefile.toml. There are
// none if the file does not exist.
func makefileEnv(root string, getenv func(string) string) (map[string]string, error) {
	data, err := confined.Path{Root: root, Name: makefile}.Read(maxConfig)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, errkind.Environmentf("read the settings of the tree: %w", err)
	}
	env, problems := manifest.ParseMakefile(makefile, data, getenv)
	if len(problems) > 0 {
		return nil, problems
	}
	return env, nil
}

// UserCache returns the cache directory, and whether others may write to it, for a command that may
// run outside of a tree, where no tree determines them.
func (c Caller) UserCache() (dir cachedir.Dir, shared bool, err error) {
	if _, err := workspace.FindRoot(c.Dir); err != nil && c.told("BUILDSYS_ROOT_DIR") == "" {
		l := layers{Caller: c}
		if l.user, err = c.userConfig(); err != nil {
			return "", false, err
		}
		return l.cache()
	}
	resolved, err := c.Resolve()
	return resolved.CacheDir, resolved.Shared, err
}

// cache reads the settings of the cache directory, and refuses one that others can write to unless
// it is shared on purpose.
func (l layers) cache() (dir cachedir.Dir, shared bool, err error) {
	if err = l.checkHome(); err != nil {
		return "", false, err
	}
	told := ""
	if p := l.path("BUILDSYS_CACHE_DIR"); !p.IsZero() {
		told = p.String()
	}
	if dir, err = l.CacheDir(told); err != nil {
		return dir, false, err
	}
	if l.Release && l.root != "" {
		if _, inside := confined.In(l.root, string(dir)); inside {
			return dir, false, errkind.Usagef("the cache directory %s lies in the checkout, which may have "+
				"brought its results along: with --release use one outside of it (--cache-dir)", dir)
		}
	}
	shared, err = l.boolean("BUILDSYS_CACHE_SHARED")
	if err == nil && !shared && !l.KeepsNothing {
		err = dir.CheckOwner()
	}
	return dir, shared, err
}

// objects reads the use of what compilers made in earlier steps.
func (l layers) objects() (c build.ObjectsConfig, err error) {
	const mode, audit = "BUILDSYS_COMPILE_CACHE", "BUILDSYS_CACHE_AUDIT"
	usual := "off"
	if l.Dev {
		usual = "on"
	}
	switch text := l.get(mode, usual); text {
	case "off":
	case "on":
		c.Use = true
	case "read":
		c.Use, c.ReadOnly = true, true
	default:
		return c, errkind.Usagef("%s %q is not on, read or off", l.origin(mode), text)
	}
	text := l.get(audit, "1")
	if c.Audit, err = strconv.Atoi(text); err != nil || c.Audit < 0 || c.Audit > 100 {
		return c, errkind.Usagef("%s %q is not a percentage: use a number from 0 to 100",
			l.origin(audit), text)
	}
	return c, nil
}

// base returns the directory in which relative places of a setting begin.
func (l layers) base(env string) string {
	if l.mine(env) != "" {
		return l.Dir
	}
	return l.root
}

// CacheDir returns the cache directory: told unless that is empty, or the one in the XDG base
// directory specification.
func (c Caller) CacheDir(told string) (cachedir.Dir, error) {
	if told != "" {
		return cachedir.Dir(c.Path(told)), nil
	}
	if xdg := c.Getenv("XDG_CACHE_HOME"); filepath.IsAbs(xdg) {
		return cachedir.Dir(filepath.Join(xdg, "buildsys")), nil
	}
	if home := c.Getenv("HOME"); filepath.IsAbs(home) {
		return cachedir.Dir(filepath.Join(home, ".cache", "buildsys")), nil
	}
	return "", errkind.BadUsage(errNoCacheDir)
}

var errNoCacheDir = errors.New("no cache directory: HOME is not set; " +
	"set HOME or BUILDSYS_CACHE_DIR")

func noCacheDir(err error) bool { return errors.Is(err, errNoCacheDir) }

// remote reads the locations of the remote caches.
func (l layers) remote() (c build.RemoteConfig, err error) {
	c.Release = l.Release
	for _, text := range list(l.get("BUILDSYS_CACHE_FROM", "")) {
		place, err := remote.ParseLocation(text, l.base("BUILDSYS_CACHE_FROM"))
		if err != nil {
			return c, errkind.Usagef("BUILDSYS_CACHE_FROM: %w", err)
		}
		place.Named = true // checkRights refused those of an untrusted tree
		c.From = append(c.From, place)
	}
	if to := strings.TrimSpace(l.get("BUILDSYS_CACHE_TO", "")); to != "" {
		if c.To, err = remote.ParseLocation(to, l.base("BUILDSYS_CACHE_TO")); err != nil {
			return c, errkind.Usagef("BUILDSYS_CACHE_TO: %w", err)
		}
		c.To.Named = true
	}
	return c, nil
}

// layerCache reads where engines share layers. With --release, engines use no layers of others.
func (l layers) layerCache() (c engine.LayerCache, err error) {
	for _, text := range list(l.get("BUILDSYS_LAYER_CACHE_FROM", "")) {
		place, err := layerPlace(text)
		if err != nil {
			return c, errkind.Usagef("BUILDSYS_LAYER_CACHE_FROM: %w", err)
		}
		place.Named = true
		if !l.Release {
			c.From = append(c.From, place)
		}
	}
	if to := strings.TrimSpace(l.get("BUILDSYS_LAYER_CACHE_TO", "")); to != "" {
		if c.To, err = layerPlace(to); err != nil {
			return c, errkind.Usagef("BUILDSYS_LAYER_CACHE_TO: %w", err)
		}
		c.To.Named = true
	}
	return c, nil
}

// layerPlace parses oci://HOST/REPOSITORY. No other form is possible, because the engine accesses
// it.
func layerPlace(text string) (engine.LayerPlace, error) {
	l, err := remote.ParseLocation(text, "/")
	if err == nil && l.Dir != "" {
		err = errors.New("layers are shared through a registry only: " +
			"use oci://HOST/REPOSITORY (oci+http:// without TLS)")
	}
	return engine.LayerPlace{Repository: l.Host + "/" + l.Repo, Plain: l.Plain}, err
}
