// settings: what a user can set, and from where: flags over BUILDSYS_* environment over Makefile.toml over defaults.

package cli

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"buildsys/internal/enginex"
	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
	"buildsys/internal/remote"
	"buildsys/internal/workspace"
)

// setting is one value a user can set. The flag's name follows from the variable's: BUILDSYS_SDK_IMAGE is --sdk-image.
type setting struct {
	env   string
	help  string
	short string
}

// The settings of every command, in the order help shows them. Names are the ancestor's where it had the setting.
var settingList = []setting{
	{env: "BUILDSYS_ROOT_DIR", help: "root of the tree (default: found upwards from the working directory)"},
	{env: "BUILDSYS_STRICT", help: "true: a key that nobody knows is a mistake, false: a warning (default: a mistake in trees written for buildsys, a warning in others)"},
	{env: "BUILDSYS_ARCH", help: "architecture to build for, x86_64 or aarch64 (default: this machine's)"},
	{env: "BUILDSYS_VARIANT", help: "variant to build, or to build variant-sensitive packages for"},
	{env: "BUILDSYS_JOBS", short: "j", help: "steps to run at once (default: the engine's CPUs)"},
	{env: "BUILDSYS_SDK_IMAGE", help: "image the steps run in (default: the one made from the tree's sdk/)"},
	{env: "BUILDSYS_TOOLCHAIN", help: "image that a tree's own Dockerfile takes a toolchain from, without -ARCH at its end"},
	{env: "BUILDSYS_BUILDKIT_HOST", help: "buildkitd to build on instead of a Docker engine: unix://, tcp:// or ssh://; several, separated by commas, share the steps"},
	{env: "BUILDSYS_BUILDKIT_CERT_PATH", help: "directory with ca.pem, cert.pem and key.pem for a buildkitd on tcp://"},
	{env: "BUILDSYS_ENGINE_INSECURE", help: "true: use an engine on another machine over tcp:// without TLS"},
	{env: "BUILDSYS_ENGINE_WAIT", help: "how long to wait for an engine that does not answer yet (default: 15s)"},
	{env: "BUILDSYS_CACHE_DIR", help: "where sources and results are kept, for all checkouts (default: buildsys below the user's cache directory)"},
	{env: "BUILDSYS_CACHE_FROM", help: "remote caches to take results from: oci://HOST/REPOSITORY (oci+http:// without TLS) or directories, separated by commas"},
	{env: "BUILDSYS_CACHE_TO", help: "remote cache to upload results to, written like those of --cache-from"},
	{env: "BUILDSYS_LAYER_CACHE_FROM", help: "registries whose layers the engine may use, written like those of --cache-from (a buildkitd only)"},
	{env: "BUILDSYS_LAYER_CACHE_TO", help: "registry to which the engine uploads the layers of steps (a buildkitd only)"},
	{env: "BUILDSYS_LOOKASIDE_CACHE", help: "where to look for sources first: directories or URLs, separated by commas (default: lookaside in the cache directory)"},
	{env: "BUILDSYS_UPSTREAM_SOURCE_FALLBACK", help: "true: fetch sources from upstream when no lookaside cache has them"},
	{env: "BUILDSYS_VERSION_BUILD", help: "build ID of the image (default: the git commit)"},
	{env: "BUILDSYS_VERSION_IMAGE", help: "version of the image (default: from Release.toml)"},
	{env: "BUILDSYS_NAME", help: "short name of the OS, the first part of image names"},
	{env: "BUILDSYS_PRETTY_NAME", help: "name of the OS for people"},
	{env: "BUILDSYS_SBKEYS_PROFILE", help: "Secure Boot keys to sign with: a directory in sbkeys/ of the tree (default: local)"},
	{env: "BUILDSYS_SBKEYS_PROFILE_DIR", help: "directory of the Secure Boot keys, wherever it is"},
	{env: cacertsEnv, help: "file with the certificates (PEM) that images get in place of their packages'"},
	{env: rootJSONEnv, help: "file with the root metadata of the update repository that images trust (root.json)"},
}

func (s setting) flag() string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(s.env, "BUILDSYS_")), "_", "-")
}

// settings holds the flags as given; resolve turns them into a config.
type settings struct {
	flags   *pflag.FlagSet
	verbose bool
	require bool
	release bool
}

func (s *settings) addFlags(flags *pflag.FlagSet) {
	s.flags = flags
	for _, one := range settingList {
		flags.StringP(one.flag(), one.short, "", one.help)
	}
	flags.Lookup("strict").NoOptDefVal = "true"
	flags.BoolVarP(&s.verbose, "verbose", "v", false, "show the output of every step")
}

// addBuildFlags adds the flags of the commands that build.
func (s *settings) addBuildFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&s.require, "require-cached", false, "build nothing: fail, with the reason, where a step is not cached")
	flags.BoolVar(&s.release, "release", false, "use no result that was not built on this machine: ignore --cache-from and what came from it earlier")
}

// config is what the commands work with: every setting resolved and checked.
type config struct {
	root             string // absolute
	strictness       workspace.Strictness
	warn             io.Writer // for what is wrong with a tree that can be worked with
	arch             string    // "x86_64" or "aarch64"
	variant          string    // may be empty
	jobs             int       // 0: as many as the engine has CPUs
	sdkImage         string    // empty: not known, in a foreign tree that does not say it in so many words
	toolchain        string    // image, without the architecture; only of trees with a recipe of their own, as the next
	publishRepo      string
	engine           enginex.Options
	cacheDir         string
	lookaside        []string
	upstreamFallback bool
	goProxy          string // GOPROXY; empty: what the go command says
	versionImage     string // empty: from Release.toml
	versionBuild     string // empty: the git commit
	name, prettyName string
	verbose          bool
	keysDir          string // Secure Boot profile; need not exist
	requireCached    bool   // fail where a step would have to be built
	release          bool   // use nothing that other machines have built
	cacertsBundle    string // certificates for images; empty: those of packages
	rootJSON         string // root metadata for images; empty: that of packages
	cacheFrom        []remote.Location
	cacheTo          remote.Location // zero for none
	unit             string          // under cargo: the one step to do, as part of a file's name; empty otherwise
}

// resolve reads the layers of settings for a tree. The Makefile.toml of the tree is read on the way.
func (s *settings) resolve(sys *System) (config, error) {
	get := func(env string) string {
		known := slices.IndexFunc(settingList, func(one setting) bool { return one.env == env }) // a Makefile.toml names many others
		if known >= 0 {
			if f := s.flags.Lookup(settingList[known].flag()); f != nil && f.Changed {
				return f.Value.String()
			}
		}
		return sys.Getenv(env)
	}
	root, err := findRoot(sys.Dir, get("BUILDSYS_ROOT_DIR"))
	if err != nil {
		return config{}, err
	}
	tree, err := makefileEnv(root, get)
	if err != nil {
		return config{}, err
	}
	if arch := "BUILDSYS_ARCH"; tree[arch] == "" && get(arch) == "" { // as trees do that ask uname
		tree, err = makefileEnv(root, func(env string) string {
			if env == arch {
				return hostArch()
			}
			return get(env)
		})
		if err != nil {
			return config{}, err
		}
	}
	if file := tree[rootJSONEnv]; file != "" && workspace.IsForeign(root) { // where the ancestor's publishing tools will put it
		if _, err := os.Stat(inDir(sys.Dir, file)); errors.Is(err, os.ErrNotExist) {
			delete(tree, rootJSONEnv)
		}
	}
	layered := func(env, fallback string) string {
		if v := get(env); v != "" {
			return v
		}
		if v := tree[env]; v != "" {
			return v
		}
		return fallback
	}
	return s.fill(sys, root, layered)
}

func (s *settings) fill(sys *System, root string, get func(env, fallback string) string) (config, error) {
	c := config{
		root:         root,
		warn:         sys.Stderr,
		arch:         get("BUILDSYS_ARCH", hostArch()),
		variant:      get("BUILDSYS_VARIANT", ""),
		sdkImage:     get("BUILDSYS_SDK_IMAGE", ""),
		versionImage: get("BUILDSYS_VERSION_IMAGE", ""),
		name:         get("BUILDSYS_NAME", "os"),
		goProxy:      sys.Getenv("GOPROXY"),
		verbose:      s.verbose,

		requireCached: s.require,
		release:       s.release,
	}
	c.prettyName = get("BUILDSYS_PRETTY_NAME", c.name)
	c.publishRepo = get("PUBLISH_REPO", "default")
	c.toolchain = toolchain(get, c.arch)
	if !slices.Contains(manifest.Architectures(), c.arch) {
		return c, errkind.Usagef("BUILDSYS_ARCH %q is not an architecture buildsys knows: use x86_64 or aarch64", c.arch)
	}
	var err error
	if jobs := get("BUILDSYS_JOBS", ""); jobs != "" {
		if c.jobs, err = strconv.Atoi(jobs); err != nil || c.jobs < 1 {
			return c, errkind.Usagef("BUILDSYS_JOBS %q is not a number of jobs: use 1 or more", jobs)
		}
	}
	if c.upstreamFallback, err = strconv.ParseBool(get("BUILDSYS_UPSTREAM_SOURCE_FALLBACK", "false")); err != nil {
		return c, errkind.Usagef("BUILDSYS_UPSTREAM_SOURCE_FALLBACK must be true or false")
	}
	if c.cacheDir, err = cacheDir(get("BUILDSYS_CACHE_DIR", ""), sys); err != nil {
		return c, err
	}
	if err := c.remoteCaches(get("BUILDSYS_CACHE_FROM", ""), get("BUILDSYS_CACHE_TO", ""), sys.Dir); err != nil {
		return c, err
	}
	for _, place := range strings.Split(get("BUILDSYS_LOOKASIDE_CACHE", filepath.Join(c.cacheDir, "lookaside")), ",") {
		if place = strings.TrimSpace(place); place != "" {
			c.lookaside = append(c.lookaside, place)
		}
	}
	if c.strictness, err = strictness(get("BUILDSYS_STRICT", "")); err != nil {
		return c, err
	}
	if c.sdkImage == "" {
		if c.sdkImage, err = c.defaultSDK(); err != nil {
			return c, err
		}
	}
	c.versionBuild = get("BUILDSYS_VERSION_BUILD", "")
	if err := c.fillEngine(sys, get); err != nil {
		return c, err
	}
	for env, to := range map[string]*string{cacertsEnv: &c.cacertsBundle, rootJSONEnv: &c.rootJSON} {
		if file := get(env, ""); file != "" {
			*to = inDir(sys.Dir, file)
		}
	}
	if c.keysDir, err = keysDir(sys.Dir, root, get); err != nil {
		return c, err
	}
	return c, c.checkNames()
}

func strictness(value string) (workspace.Strictness, error) {
	if value == "" {
		return workspace.ByTree, nil
	}
	strict, err := strconv.ParseBool(value)
	if err != nil {
		return workspace.ByTree, errkind.Usagef("BUILDSYS_STRICT %q is neither true nor false", value)
	}
	if strict {
		return workspace.Strict, nil
	}
	return workspace.Lenient, nil
}

// engineWait is how long a build waits for an engine that is still starting, as one inside a CI container is.
const engineWait = 15 * time.Second

// fillEngine reads how to reach the engine.
func (c *config) fillEngine(sys *System, get func(env, fallback string) string) (err error) {
	c.engine = enginex.Options{
		Checkout: c.root,
		BuildKit: get("BUILDSYS_BUILDKIT_HOST", ""),
		ImageDir: filepath.Join(c.cacheDir, "sdk", "layout"),
	}
	if certs := get("BUILDSYS_BUILDKIT_CERT_PATH", ""); certs != "" {
		if !filepath.IsAbs(certs) {
			certs = filepath.Join(sys.Dir, certs)
		}
		c.engine.BuildKitCerts = certs
	}
	if c.engine.Insecure, err = strconv.ParseBool(get("BUILDSYS_ENGINE_INSECURE", "false")); err != nil {
		return errkind.Usagef("BUILDSYS_ENGINE_INSECURE must be true or false")
	}
	wait := get("BUILDSYS_ENGINE_WAIT", engineWait.String())
	if c.engine.Wait, err = time.ParseDuration(wait); err != nil || c.engine.Wait < 0 {
		return errkind.Usagef("BUILDSYS_ENGINE_WAIT %q is not a duration: use one such as 30s or 2m, or 0s", wait)
	}
	return c.layerCache(get("BUILDSYS_LAYER_CACHE_FROM", ""), get("BUILDSYS_LAYER_CACHE_TO", ""))
}

// keysDir returns the directory of the Secure Boot profile.
func keysDir(dir, root string, get func(env, fallback string) string) (string, error) {
	if told := get("BUILDSYS_SBKEYS_PROFILE_DIR", ""); told != "" {
		return inDir(dir, told), nil
	}
	profile := get("BUILDSYS_SBKEYS_PROFILE", "local")
	if !manifest.ValidName(profile) {
		return "", errkind.Usagef("BUILDSYS_SBKEYS_PROFILE %q is not a name: use lower-case letters, digits and . _ + -, or BUILDSYS_SBKEYS_PROFILE_DIR for a path", profile)
	}
	return filepath.Join(root, "sbkeys", profile), nil
}

// checkNames refuses what would become part of a path or of a command line inside a build and must not steer it there.
func (c config) checkNames() error {
	for _, part := range []struct {
		env, value string
		ok         bool
		want       string
	}{
		{"BUILDSYS_NAME", c.name, manifest.ValidName(c.name), "lower-case letters, digits and . _ + -"},
		{"BUILDSYS_VERSION_IMAGE", c.versionImage, c.versionImage == "" || manifest.ValidVersion(c.versionImage), "a version such as 1.2.3"},
		{"BUILDSYS_VERSION_BUILD", c.versionBuild, c.versionBuild == "" || manifest.ValidName(strings.ToLower(c.versionBuild)), "letters, digits and . _ + -"},
	} {
		if !part.ok {
			return errkind.Usagef("%s %q cannot be part of an image's name: use %s", part.env, part.value, part.want)
		}
	}
	return nil
}

// findRoot returns the absolute root of the tree: as told, or found upwards from dir.
func findRoot(dir, told string) (string, error) {
	if told == "" {
		root, err := workspace.FindRoot(dir)
		if err != nil {
			return "", errkind.Usagef("%w; run inside a tree, or name it with --root-dir", err)
		}
		return root, nil
	}
	if !filepath.IsAbs(told) {
		told = filepath.Join(dir, told)
	}
	if info, err := os.Stat(told); err != nil || !info.IsDir() {
		return "", errkind.Usagef("root directory %s is not a directory", told)
	}
	return filepath.Clean(told), nil
}

// makefileEnv returns the plain values of the [env] table of the tree's Makefile.toml; none when there is no such file.
func makefileEnv(root string, getenv func(string) string) (map[string]string, error) {
	const name = "Makefile.toml"
	data, err := os.ReadFile(filepath.Join(root, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	env, problems := manifest.ParseMakefile(name, data, getenv)
	if len(problems) > 0 {
		return nil, problems
	}
	return env, nil
}

// cacheDir returns where buildsys keeps what outlives a checkout, following the XDG base directory specification.
func cacheDir(told string, sys *System) (string, error) {
	switch {
	case told != "" && filepath.IsAbs(told):
		return told, nil
	case told != "":
		return filepath.Join(sys.Dir, told), nil
	}
	if xdg := sys.Getenv("XDG_CACHE_HOME"); filepath.IsAbs(xdg) {
		return filepath.Join(xdg, "buildsys"), nil
	}
	if home := sys.Getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".cache", "buildsys"), nil
	}
	return "", errkind.Usagef("no place for the cache: HOME is not set; name one with BUILDSYS_CACHE_DIR")
}

// gitCommit returns the short commit of the checkout, "-dirty" appended when it has changes; "00000000", as the
// ancestor does, when there is no git or no commit.
func gitCommit(root string) string {
	out, err := exec.Command("git", "-C", root, "describe", "--always", "--dirty", "--exclude", "*", "--abbrev=8").Output()
	if commit := strings.TrimSpace(string(out)); err == nil && commit != "" {
		return commit
	}
	return "00000000"
}

func hostArch() string {
	if runtime.GOARCH == "arm64" {
		return "aarch64"
	}
	return "x86_64"
}
