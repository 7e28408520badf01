// resolve: turns what a user set in several places into one checked configuration.

package settings

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"buildsys/internal/build"
	"buildsys/internal/bytesize"
	"buildsys/internal/cachedir"
	"buildsys/internal/confined"
	"buildsys/internal/engine"
	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
	"buildsys/internal/sdk"
	"buildsys/internal/workspace"
)

// Caller is who runs a command: its flags, environment and directory.
type Caller struct {
	Dir    string // working directory; relative paths start there
	Getenv func(string) string
	// Environ returns the whole environment; nil if nobody may look for mistakes in it.
	Environ func() []string
	// Flag returns the value of a flag, and whether it was set.
	Flag func(name string) (value string, given bool)

	RequireCached bool // of build.Config
	Release       bool // of build.RemoteConfig

	Dev          bool              // what is built is for now: what compilers made is used
	KeepsNothing bool              // the command needs no cache directory
	TrustTree    bool              // the tree may set everything
	Warn         func(text string) // shows a warning
}

// engineWait is how long a build waits by default for an engine that is still starting, as in a CI
// container.
const engineWait = 15 * time.Second

// told returns the value of a setting from its flag or the environment.
func (c Caller) told(env string) string { return c.read(env, c.said(env)) }

// read returns the value of a setting as it is meant: with HOME for a leading ~/, and one name for
// each architecture.
func (c Caller) read(env, value string) string {
	if env == archEnv {
		return archName(value)
	}
	return c.home(env, value)
}

// archEnv is the setting of the architecture.
const archEnv = "BUILDSYS_ARCH"

// archName returns the name of an architecture, which may be given as Go and Docker name it.
func archName(name string) string {
	switch name {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	}
	return name
}

// origin returns what a caller knows a setting by, for errors about its value: the flag if that was
// given, else the variable, wherever it is set.
func (c Caller) origin(env string) string {
	i := slices.IndexFunc(List, func(one Setting) bool { return one.Env == env })
	if i >= 0 {
		if _, given := c.Flag(List[i].Flag()); given {
			return "--" + List[i].Flag()
		}
	}
	return env
}

func (c Caller) said(env string) string {
	// Makefile.toml names many variables that are no settings.
	i := slices.IndexFunc(List, func(one Setting) bool { return one.Env == env })
	if i >= 0 {
		if value, given := c.Flag(List[i].Flag()); given {
			return value
		}
	}
	return c.Getenv(env)
}

// Path returns a path of the caller as an absolute path.
func (c Caller) Path(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.Dir, path)
}

// layers are the settings of a tree: those of the caller above those of the user's configuration
// above those of the tree's Makefile.toml.
type layers struct {
	Caller
	user    userConfig
	root    string
	tree    map[string]string
	trusted bool // the tree may set everything
}

// get returns the value of a setting, or fallback if it is not set.
func (l layers) get(env, fallback string) string {
	return cmp.Or(l.mine(env), l.tree[env], fallback)
}

// mine returns the value that the caller or the user's configuration gives a setting.
func (l layers) mine(env string) string {
	return cmp.Or(l.told(env), l.read(env, l.user.Env[env]))
}

// Resolve returns the configuration for the caller's tree, from flags, environment, the user's
// configuration and Makefile.toml.
func (c Caller) Resolve() (build.Config, error) {
	l, err := c.layers()
	if err != nil {
		return build.Config{}, err
	}
	// Bottlerocket's Makefile.toml names the path where its publishing tools will put the file.
	if l.tree[rootJSONEnv] != "" && workspace.IsForeign(l.root) &&
		errors.Is(l.inTree(l.tree[rootJSONEnv]).Check(), fs.ErrNotExist) {
		delete(l.tree, rootJSONEnv)
	}
	if !l.trusted {
		if err := l.checkRights(); err != nil {
			return build.Config{}, err
		}
	}
	return l.config()
}

// layers reads the settings of the caller's tree.
func (c Caller) layers() (l layers, err error) {
	l.Caller = c
	if l.root, err = c.Root(); err != nil {
		return l, err
	}
	if l.user, err = c.userConfig(); err != nil {
		return l, err
	}
	if err = l.checkHome(); err != nil {
		return l, err
	}
	// What a release is made with and from, the caller says on the command line or in the environment.
	l.trusted = !c.Release && (c.TrustTree || l.user.trusts(l.root))
	var hidden []string
	see := l.mine
	if !l.trusted {
		see = treeEnv(l.mine, func(name string) { hidden = append(hidden, name) })
	}
	l.tree, err = makefileEnv(l.root, see)
	if err == nil && l.tree[archEnv] == "" && see(archEnv) == "" {
		// The default, as in trees that ask uname.
		hidden = nil
		l.tree, err = makefileEnv(l.root, func(env string) string {
			if env == archEnv {
				return hostArch()
			}
			return see(env)
		})
	}
	l.warnHidden(hidden)
	l.warnUnknown()
	return l, err
}

// config reads the settings in groups. It returns the first error.
func (l layers) config() (c build.Config, err error) {
	c = build.Config{
		Root:          l.root,
		Arch:          archName(l.get(archEnv, hostArch())),
		Variant:       l.get("BUILDSYS_VARIANT", ""),
		Trusted:       l.trusted,
		RequireCached: l.RequireCached,
	}
	if !slices.Contains(manifest.Architectures(), c.Arch) {
		return c, errkind.Usagef("%s %q is not a supported architecture: "+
			"use x86_64 or aarch64", l.origin(archEnv), c.Arch)
	}
	if c.Variant != "" && !manifest.ValidName(c.Variant) { // it is a part of paths
		return c, errkind.Usagef("%s %q is not the name of a variant", l.origin("BUILDSYS_VARIANT"),
			c.Variant)
	}
	if c.Jobs, err = l.jobs(); err != nil {
		return c, err
	}
	if c.StepTime, err = l.stepTime(); err != nil {
		return c, err
	}
	if c.CacheDir, c.Shared, err = l.cache(); err != nil && !(l.KeepsNothing && noCacheDir(err)) {
		return c, err
	}
	if c.Objects, err = l.objects(); err != nil {
		return c, err
	}
	if c.Sources, err = l.sources(c.CacheDir); err != nil {
		return c, err
	}
	if c.Remote, err = l.remote(); err != nil {
		return c, err
	}
	if c.Strictness, err = l.strictness(); err != nil {
		return c, err
	}
	if c.SDK, err = l.sdk(c); err != nil {
		return c, err
	}
	if c.Engine, err = l.engine(c.CacheDir); err != nil {
		return c, err
	}
	c.Sign = l.sign()
	c.Image, err = l.image()
	return c, err
}

// sign reads who signs. Even a tree that is trusted does not say that. A program without a slash is
// looked for in PATH.
func (l layers) sign() (c build.SignConfig) {
	if key := l.mine(signKeyEnv); key != "" {
		c.Key = l.Path(key)
	}
	if c.Program = l.mine(signerEnv); strings.Contains(c.Program, "/") {
		c.Program = l.Path(c.Program)
	}
	return c
}

// maxOutputFiles is how many files one step may leave: an image has some twenty, a package with
// everything split off a few hundred.
const maxOutputFiles = 100_000

// stepTime reads how long one step may run.
func (l layers) stepTime() (time.Duration, error) {
	text := l.get("BUILDSYS_STEP_TIMEOUT", "12h")
	limit, err := time.ParseDuration(text)
	if err != nil || limit < 0 {
		return 0, errkind.Usagef("%s %q is not a duration: "+
			"use one such as 90m or 12h, or 0s", l.origin("BUILDSYS_STEP_TIMEOUT"), text)
	}
	return limit, nil
}

// cgroupName matches the control groups that engines accept: a path, or systemd's SLICE:PREFIX:.
// None has dots alone between two slashes, which would lead out of a group.
var cgroupName = regexp.MustCompile(
	`^/?[A-Za-z0-9_@:-][A-Za-z0-9_@:.-]*(/[A-Za-z0-9_@:-][A-Za-z0-9_@:.-]*)*$`)

// limits reads what one step may take.
func (l layers) limits() (limits engine.Limits, err error) {
	limits.Files = maxOutputFiles
	if limits.Bytes, err = bytesize.Parse(l.get("BUILDSYS_STEP_OUTPUT", "64G")); err != nil {
		return limits, errkind.Usagef("%s %w", l.origin("BUILDSYS_STEP_OUTPUT"), err)
	}
	limits.Cgroup = l.get("BUILDSYS_CGROUP_PARENT", "")
	if limits.Cgroup != "" && !cgroupName.MatchString(limits.Cgroup) {
		return limits, errkind.Usagef("%s %q is not the name of a control group: "+
			"use a path below /sys/fs/cgroup, such as buildsys or /ci/buildsys",
			l.origin("BUILDSYS_CGROUP_PARENT"), limits.Cgroup)
	}
	return limits, nil
}

func (l layers) jobs() (int, error) {
	text := l.get("BUILDSYS_JOBS", "")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, errkind.Usagef("%s %q is not a positive number: use 1 or more",
			l.origin("BUILDSYS_JOBS"), text)
	}
	return n, nil
}

func (l layers) sources(cacheDir cachedir.Dir) (s build.SourcesConfig, err error) {
	s.GoProxy = l.Getenv("GOPROXY")
	s.Proxies.Crates, s.Proxies.Git = l.Getenv(cratesProxyEnv), l.Getenv(gitProxyEnv)
	if s.Upstream, err = l.booleanOr("BUILDSYS_UPSTREAM_SOURCE_FALLBACK", true); err != nil {
		return s, err
	}
	const lookaside = "BUILDSYS_LOOKASIDE_CACHE"
	places := cacheDir.Lookaside()
	if workspace.IsForeign(l.root) {
		places += "," + bottlerocketCache
	}
	s.Lookaside = list(l.get(lookaside, places))
	s.Private, s.PrivateLookaside = l.trusted, l.trusted || l.mine(lookaside) != ""
	return s, nil
}

// bottlerocketCache has the sources of Bottlerocket's trees. It is the default of the program that
// they were written for, and not theirs to name.
const bottlerocketCache = "https://cache.bottlerocket.aws"

// list returns the words of a comma-separated list.
func list(text string) (words []string) {
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word != "" {
			words = append(words, word)
		}
	}
	return words
}

func (l layers) boolean(env string) (bool, error) { return l.booleanOr(env, false) }

func (l layers) booleanOr(env string, unset bool) (bool, error) {
	text := l.get(env, strconv.FormatBool(unset))
	value, err := strconv.ParseBool(text)
	if err != nil {
		return false, errkind.Usagef("%s %q is neither true nor false", l.origin(env), text)
	}
	return value, nil
}

func (l layers) strictness() (workspace.Strictness, error) {
	const env = "BUILDSYS_STRICT"
	if l.get(env, "") == "" {
		return workspace.ByTree, nil
	}
	strict, err := l.boolean(env)
	if strict {
		return workspace.Strict, nil
	}
	return workspace.Lenient, err
}

// sdk reads the image that steps run in. With --release none stands for the one that the recipe
// names.
func (l layers) sdk(c build.Config) (s build.SDKConfig, err error) {
	arch := archName(l.get(engineArchEnv, hostArch()))
	if s.Host = map[string]string{"x86_64": "amd64", "aarch64": "arm64"}[arch]; s.Host == "" {
		return s, errkind.Usagef("%s %q is neither x86_64 nor aarch64", l.origin(engineArchEnv), arch)
	}
	image, toolchain, err := sdk.Default(l.root, c.Arch, s.Host)
	s.Image = l.get("BUILDSYS_SDK_IMAGE", image)
	s.Toolchain = cmp.Or(l.toolchain(c.Arch), toolchain)
	s.Mirrors = list(l.get(mirrorsEnv, ""))
	if s.Snapshot = l.get(snapshotEnv, sdk.SnapshotService); s.Snapshot == "none" {
		s.Snapshot = ""
	}
	if l.get("BUILDSYS_SDK_IMAGE", "") != "" {
		return s, nil
	}
	if c.CacheDir == "" || image == "" || c.Remote.Release {
		return s, err
	}
	if by := sdk.RecordsIn(c.CacheDir.SDK()).StandIn(image); by != "" {
		s.Image, s.StandsFor = by, image
	}
	return s, err
}

// toolchain returns the image that a tree's Makefile.toml names, as a whole or in parts, or "" if
// it names none.
func (l layers) toolchain(arch string) string {
	if told := l.get("BUILDSYS_TOOLCHAIN", ""); told != "" {
		return told
	}
	registry := l.get("BUILDSYS_REGISTRY", "")
	name, version := l.get("BUILDSYS_SDK_NAME", ""), l.get("BUILDSYS_SDK_VERSION", "")
	if registry == "" || name == "" || version == "" {
		return ""
	}
	return registry + "/" + name + "-toolchain-" + arch + ":" + version
}

// engine reads how to reach the engine.
func (l layers) engine(cacheDir cachedir.Dir) (o engine.Options, err error) {
	o = engine.Options{
		Checkout:  l.root,
		BuildKit:  l.get("BUILDSYS_BUILDKIT_HOST", ""),
		OCILayout: sdk.RecordsIn(cacheDir.SDK()).OCILayout(),
	}
	if certs := l.path("BUILDSYS_BUILDKIT_CERT_PATH"); !certs.IsZero() {
		o.BuildKitCerts = certs.String()
	}
	if o.Insecure, err = l.boolean("BUILDSYS_ENGINE_INSECURE"); err != nil {
		return o, err
	}
	wait := l.get("BUILDSYS_ENGINE_WAIT", engineWait.String())
	if o.Wait, err = time.ParseDuration(wait); err != nil || o.Wait < 0 {
		return o, errkind.Usagef("%s %q is not a duration: use one such as 30s or 2m, or 0s",
			l.origin("BUILDSYS_ENGINE_WAIT"), wait)
	}
	if o.Limits, err = l.limits(); err != nil {
		return o, err
	}
	o.Layers, err = l.layerCache()
	return o, err
}

func (l layers) image() (c build.ImageConfig, err error) {
	name, pretty := l.defaultNames()
	c = build.ImageConfig{
		Name:    l.get("BUILDSYS_NAME", name),
		Version: l.get("BUILDSYS_VERSION_IMAGE", ""),
		BuildID: l.get("BUILDSYS_VERSION_BUILD", ""),
		Repo:    l.get("PUBLISH_REPO", "default"),
	}
	c.PrettyName = l.get("BUILDSYS_PRETTY_NAME", cmp.Or(pretty, c.Name))
	c.CACerts, c.RootJSON = l.path(cacertsEnv), l.path(rootJSONEnv)
	if c.KeysDir, err = l.keysDir(); err != nil {
		return c, err
	}
	return c, checkNames(c)
}

// defaultNames returns the names of an OS that nobody has named; pretty may be empty, for the same
// as name. Trees written for Twoliter have those that Twoliter gives them.
func (l layers) defaultNames() (name, pretty string) {
	if _, err := os.Lstat(filepath.Join(l.root, "Twoliter.toml")); err == nil {
		return "bottlerocket", "Bottlerocket OS"
	}
	return "os", ""
}

// keysDir returns the directory of the Secure Boot profile.
func (l layers) keysDir() (confined.Path, error) {
	if dir := l.path("BUILDSYS_SBKEYS_PROFILE_DIR"); !dir.IsZero() {
		return dir, nil
	}
	profile := l.get("BUILDSYS_SBKEYS_PROFILE", "local")
	if !manifest.ValidName(profile) {
		return confined.Path{}, errkind.Usagef("BUILDSYS_SBKEYS_PROFILE %q is not a name: use "+
			"lower-case letters, digits and . _ + -, or BUILDSYS_SBKEYS_PROFILE_DIR for a path", profile)
	}
	return l.inTree(filepath.Join("sbkeys", profile)), nil
}

// checkNames refuses values that become part of a path or a command line inside a build and could
// redirect it.
func checkNames(c build.ImageConfig) error {
	for _, part := range []struct {
		env, value string
		ok         bool
		want       string
	}{
		{"BUILDSYS_NAME", c.Name, manifest.ValidName(c.Name), "lower-case letters, digits and . _ + -"},
		{"BUILDSYS_VERSION_IMAGE", c.Version, c.Version == "" || manifest.ValidVersion(c.Version),
			"a version such as 1.2.3"},
		{"BUILDSYS_VERSION_BUILD", c.BuildID,
			c.BuildID == "" || manifest.ValidName(strings.ToLower(c.BuildID)),
			"letters, digits and . _ + -"},
	} {
		if !part.ok {
			return errkind.Usagef("%s %q cannot be part of an image's name: use %s",
				part.env, part.value, part.want)
		}
	}
	return nil
}

func hostArch() string {
	if runtime.GOARCH == "arm64" {
		return "aarch64"
	}
	return "x86_64"
}
