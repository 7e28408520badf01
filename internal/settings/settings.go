// Package settings knows what can be set, where, and by whom: flags take precedence over the
// environment, that over the user's configuration, that over the [env] table of the tree's
// Makefile.toml, and that over defaults. A tree may describe its OS and no more, unless the caller
// trusts it. The package makes the configuration of a session (build.Config) for package cli, and
// refuses values that could redirect a path or a command line.
package settings

import (
	"slices"
	"strings"

	"buildsys/internal/sdk"
)

// Setting is one value that a user can set. The name of its flag follows from the variable:
// BUILDSYS_SDK_IMAGE is --sdk-image.
type Setting struct {
	Group  Group
	Switch bool // its values are true and false; its flag alone means true
	Env    string
	Help   string
	Short  string // one letter; may be empty
}

// Group is what a setting is about.
type Group string

// The groups of settings. A command heeds all of a group or none.
const (
	Tree    Group = "the tree"
	Steps   Group = "steps"
	Engine  Group = "the engine"
	Store   Group = "the store"
	Caches  Group = "remote caches"
	Sources Group = "sources"
	Image   Group = "images"
)

// Groups has the groups in the order of the help.
var Groups = []Group{Tree, Steps, Engine, Store, Caches, Sources, Image}

// Flag returns the name of the setting's flag.
func (s Setting) Flag() string {
	name := strings.ToLower(strings.TrimPrefix(s.Env, "BUILDSYS_"))
	return strings.ReplaceAll(name, "_", "-")
}

// The settings for files to put into images.
const (
	cacertsEnv  = "BUILDSYS_CACERTS_BUNDLE_OVERRIDE"
	rootJSONEnv = "PUBLISH_REPO_ROOT_JSON"
)

// The settings for who signs what is stated of images. No tree may have them.
const (
	signKeyEnv = "BUILDSYS_SIGN_KEY"
	signerEnv  = "BUILDSYS_SIGNER"
)

// paths are the settings that name files or directories of the caller's machine; places are lists
// whose elements may be directories. A leading ~/ in them is HOME, as in a shell, because a CI
// service's variables are expanded by none.
var (
	paths = []string{"BUILDSYS_ROOT_DIR", "BUILDSYS_BUILDKIT_CERT_PATH", "BUILDSYS_CACHE_DIR",
		"BUILDSYS_SBKEYS_PROFILE_DIR", cacertsEnv, rootJSONEnv, signKeyEnv, signerEnv}
	places = []string{"BUILDSYS_CACHE_FROM", "BUILDSYS_CACHE_TO", "BUILDSYS_LOOKASIDE_CACHE"}
)

// List has the settings of every command, by group and in the order of the help. Names are
// Bottlerocket's if it has the setting.
var List = slices.Concat(
	in(Tree, []Setting{
		{Env: "BUILDSYS_ROOT_DIR", Help: "root of the tree " +
			"(default: found upwards from the working directory)"},
		{Env: "BUILDSYS_STRICT", Switch: true,
			Help: "true: an unknown key is an error, false: a warning " +
				"(default: an error in trees written for buildsys, a warning in others)"},
		{Env: "BUILDSYS_ARCH", Help: "architecture to build for, x86_64 or aarch64 " +
			"(default: this machine's)"},
		{Env: "BUILDSYS_VARIANT", Help: "variant to build, or to build variant-sensitive packages for"},
	}),
	in(Steps, []Setting{
		{Env: "BUILDSYS_PROGRESS", Help: "how a run is shown: live on a terminal, plain in lines, " +
			"json in lines of JSON (default: auto, live where the terminal can)"},
		{Env: "BUILDSYS_CI", Help: "CI service whose log gets folds and annotations: github, gitlab, " +
			"codebuild or none (default: auto, by the environment)"},
		{Env: "BUILDSYS_JOBS", Short: "j", Help: "steps to run at once (default: the engine's CPUs)"},
		{Env: "BUILDSYS_STEP_TIMEOUT", Help: "how long one step may run, such as 90m; 0s for no limit " +
			"(default: 12h)"},
		{Env: "BUILDSYS_STEP_OUTPUT", Help: "how much one step may leave, and how large a file it may " +
			"make, such as 20G; 0 for no limit (default: 64G)"},
		{Env: "BUILDSYS_CGROUP_PARENT", Help: "control group on the engine's machine below which steps " +
			"run, with the limits of processes and memory that it has (default: the engine's own)"},
	}),
	in(Engine, []Setting{
		{Env: "BUILDSYS_SDK_IMAGE", Help: "image the steps run in " +
			"(default: the one made from the tree's sdk/)"},
		{Env: engineArchEnv, Help: "architecture of the engine's machine, x86_64 or aarch64: SDK " +
			"images for it have names of their own (default: this machine's)"},
		{Env: "BUILDSYS_TOOLCHAIN", Help: "image that a tree's own Dockerfile takes a toolchain from, " +
			"without -ARCH at its end"},
		{Env: "BUILDSYS_BUILDKIT_HOST", Help: "buildkitd to build on instead of a Docker engine: " +
			"unix://, tcp:// or ssh://; several, separated by commas, share the steps"},
		{Env: "BUILDSYS_BUILDKIT_CERT_PATH", Help: "directory with ca.pem, cert.pem and key.pem " +
			"for a buildkitd on tcp://"},
		{Env: "BUILDSYS_ENGINE_INSECURE", Switch: true,
			Help: "true: use an engine on another machine over tcp:// " +
				"without TLS"},
		{Env: "BUILDSYS_ENGINE_WAIT", Help: "how long to wait for an engine that does not answer yet " +
			"(default: 15s)"},
	}),
	in(Store, []Setting{
		{Env: "BUILDSYS_CACHE_DIR", Help: "where sources and results are kept, for all checkouts " +
			"(default: buildsys below the user's cache directory)"},
		{Env: "BUILDSYS_CACHE_SHARED", Switch: true,
			Help: "true: use a cache directory that belongs to another user " +
				"or that others may write to, and trust its results"},
	}),
	in(Store, []Setting{
		{Env: "BUILDSYS_COMPILE_CACHE", Help: "what compilers made in earlier builds of a package: on " +
			"uses and keeps it, read only uses it, off compiles everything (default: off, with --dev on)"},
		{Env: "BUILDSYS_CACHE_AUDIT", Help: "how many percent of what --compile-cache knows is " +
			"compiled again and compared (default: 1)"},
	}),
	in(Caches, []Setting{
		{Env: "BUILDSYS_CACHE_FROM", Help: "remote caches to take results from: oci://HOST/REPOSITORY " +
			"(oci+http:// without TLS) or directories, separated by commas"},
		{Env: "BUILDSYS_CACHE_TO", Help: "remote cache to upload results to, " +
			"written like those of --cache-from"},
		{Env: "BUILDSYS_LAYER_CACHE_FROM", Help: "registries whose layers the engine may use, " +
			"written like those of --cache-from (a buildkitd only)"},
		{Env: "BUILDSYS_LAYER_CACHE_TO",
			Help: "registry to which the engine uploads the layers of steps " +
				"(a buildkitd only)"},
	}),
	in(Sources, []Setting{
		{Env: "BUILDSYS_LOOKASIDE_CACHE", Help: "where to look for sources first: directories or URLs, " +
			"separated by commas (default: lookaside in the cache directory, and Bottlerocket's " +
			"for its trees)"},
		{Env: "BUILDSYS_UPSTREAM_SOURCE_FALLBACK", Switch: true,
			Help: "false: fetch no sources from upstream " +
				"when no lookaside cache has them (default: true)"},
		{Env: mirrorsEnv, Help: "where Debian's archives are, for buildsys sdk: URLs with debian/ and " +
			"debian-security/ below them, separated by commas (default: those of apt on this machine)"},
		{Env: snapshotEnv, Help: "service that is asked last for Debian packages, with the archives " +
			"of any time, or none (default: " + sdk.SnapshotService + ")"},
	}),
	in(Image, []Setting{
		{Env: "BUILDSYS_VERSION_BUILD", Help: "build ID of the image (default: the git commit)"},
		{Env: "BUILDSYS_VERSION_IMAGE", Help: "version of the image (default: from Release.toml)"},
		{Env: "BUILDSYS_NAME", Help: "short name of the OS, the first part of image names"},
		{Env: "BUILDSYS_PRETTY_NAME", Help: "name of the OS for people"},
		{Env: "BUILDSYS_SBKEYS_PROFILE", Help: "Secure Boot keys to sign with: " +
			"a directory in sbkeys/ of the tree (default: local)"},
		{Env: "BUILDSYS_SBKEYS_PROFILE_DIR", Help: "directory of the Secure Boot keys, anywhere"},
		{Env: cacertsEnv, Help: "file with the certificates (PEM) " +
			"that replaces that of packages in images"},
		{Env: rootJSONEnv, Help: "file with the root metadata of the update repository " +
			"that images trust (root.json)"},
		{Env: signKeyEnv, Help: "file with the private key that signs what is stated of images " +
			"(Ed25519 or ECDSA P-256 in PEM)"},
		{Env: signerEnv, Help: "program that signs in its place, with a key that it holds"},
	}),
)

// Settings of where Debian's archives are.
const (
	mirrorsEnv  = "BUILDSYS_DEBIAN_MIRRORS"
	snapshotEnv = "BUILDSYS_DEBIAN_SNAPSHOT"
)

// engineArchEnv names the architecture of the engine's machine.
const engineArchEnv = "BUILDSYS_ENGINE_ARCH"

// in puts settings into a group.
func in(g Group, list []Setting) []Setting {
	for i := range list {
		list[i].Group = g
	}
	return list
}
