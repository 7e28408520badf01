package settings

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"buildsys/internal/buildtest"
	"buildsys/internal/errkind"
)

func mkfifo(file string) error { return unix.Mkfifo(file, 0o644) }

// withEnv returns a tree with lines in [env] of its Makefile.toml, and a caller in it.
func withEnv(t *testing.T, lines string) Caller {
	t.Helper()
	root := buildtest.Tree(t, tree+lines)
	return caller(root, "", "")
}

func write(t *testing.T, file, text string) {
	t.Helper()
	buildtest.Must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	buildtest.Must(t, os.WriteFile(file, []byte(text), 0o644))
}

// An untrusted tree sets nothing that says where to connect, what to trust, or which files of this
// machine to use. A new setting is in this list until somebody gives trees a right to it.
func TestTreeMayNotSet(t *testing.T) {
	refused := map[string]string{
		"BUILDSYS_BUILDKIT_HOST":           "tcp://evil.example:1234",
		"BUILDSYS_BUILDKIT_CERT_PATH":      "certs",
		"BUILDSYS_ENGINE_INSECURE":         "true",
		"BUILDSYS_ENGINE_WAIT":             "10h",
		"BUILDSYS_ENGINE_ARCH":             "aarch64",
		"BUILDSYS_DEBIAN_MIRRORS":          "http://evil.example",
		"BUILDSYS_DEBIAN_SNAPSHOT":         "http://evil.example",
		"BUILDSYS_CACHE_DIR":               "c",
		"BUILDSYS_CACHE_FROM":              ".c",
		"BUILDSYS_CACHE_SHARED":            "true",
		"BUILDSYS_COMPILE_CACHE":           "on",
		"BUILDSYS_CACHE_AUDIT":             "0",
		"BUILDSYS_STEP_TIMEOUT":            "0s",
		"BUILDSYS_PROGRESS":                "json",
		"BUILDSYS_CI":                      "github",
		"BUILDSYS_STEP_OUTPUT":             "0",
		"BUILDSYS_CGROUP_PARENT":           "/",
		"BUILDSYS_CACHE_TO":                "oci://evil.example/x",
		"BUILDSYS_LAYER_CACHE_FROM":        "oci://evil.example/x",
		"BUILDSYS_LAYER_CACHE_TO":          "oci+http://evil.example/x",
		"BUILDSYS_SBKEYS_PROFILE_DIR":      "/etc/keys",
		"BUILDSYS_CACERTS_BUNDLE_OVERRIDE": "../../etc/shadow",
		"PUBLISH_REPO_ROOT_JSON":           "/root/.docker/config.json",
		"BUILDSYS_LOOKASIDE_CACHE":         "/srv/sources",
		"BUILDSYS_SIGN_KEY":                "/root/key.pem",
		"BUILDSYS_SIGNER":                  "./signer",
	}
	for _, s := range List {
		value, ok := refused[s.Env]
		if !ok && rights[s.Env] == anything {
			continue
		}
		if !ok {
			t.Errorf("%s: has no case here", s.Env)
			continue
		}
		for _, lines := range []string{
			s.Env + " = '" + value + "'\n",
			s.Env + " = { script = ['echo " + value + "'] }\n",
			"X = '" + value + "'\n" + s.Env + " = '${X}'\n",
			s.Env + " = '${UNSET:" + value + "}'\n",
			"[env.development]\n" + s.Env + " = '" + value + "'\n",
		} {
			c := withEnv(t, lines)
			_, err := c.Resolve()
			if errkind.Of(err) != errkind.Usage || !strings.Contains(err.Error(), s.Env) ||
				!strings.Contains(err.Error(), "--trust-tree") {
				t.Errorf("%s: %v", lines, err)
			}
			c.TrustTree, c.Release = true, true
			if _, err := c.Resolve(); err == nil || !strings.Contains(err.Error(), "--release") {
				t.Errorf("%s: trusted in a release: %v", lines, err)
			}
			c.Release = false
			if _, err := c.Resolve(); err != nil && strings.Contains(err.Error(), "--trust-tree") {
				t.Errorf("%s in a trusted tree: %v", lines, err)
			}
		}
		// What the caller sets, the tree does not decide.
		c := caller(withEnv(t, s.Env+" = '"+value+"'\n").Dir, "", s.Env+"="+value)
		if _, err := c.Resolve(); err != nil && strings.Contains(err.Error(), "--trust-tree") {
			t.Errorf("%s: the caller sets it: %v", s.Env, err)
		}
	}
}

// Places of sources are URLs and nothing more.
func TestTreeNamesURLs(t *testing.T) {
	for places, good := range map[string]bool{
		"https://cache.example": true, "https://a.example/x, http://b.example:8080/y/": true,
		"ftp://a.example": false, "file:///srv": false, "lookaside": false,
		"https://user:secret@a.example": false, "https://a.example/?key=x": false,
		"https://a.example/#x": false, "https://": false, "https:///x": false,
		"https://a.example,/srv": false, "http://a.example/\\u001b[31m": false,
		"https://ä.example": false,
	} {
		c, err := withEnv(t, "BUILDSYS_LOOKASIDE_CACHE = \""+places+"\"\n").Resolve()
		if (err == nil) != good {
			t.Errorf("%s: %v, %v", places, c.Sources.Lookaside, err)
		}
	}
}

// Trees see none of the environment but what they may set: it has passwords.
func TestTreeSeesLittle(t *testing.T) {
	lines := `BUILDSYS_LOOKASIDE_CACHE = "https://a.example/${SECRET}"
BUILDSYS_PRETTY_NAME = { script = ["echo ${BUILDSYS_CACHE_DIR}"] }
BUILDSYS_VERSION_BUILD = "${TOKEN:none}"
BUILDSYS_VARIANT = "${BUILDSYS_NAME}-${BUILDSYS_ARCH}"
`
	c := withEnv(t, lines)
	c = caller(c.Dir, "", "SECRET=s1 BUILDSYS_CACHE_DIR=/s2 TOKEN=s3 BUILDSYS_NAME=os "+
		"BUILDSYS_ARCH=aarch64")
	var warnings []string
	c.Warn = func(text string) { warnings = append(warnings, text) }
	got, err := c.Resolve()
	if err != nil || got.Variant != "os-aarch64" || got.Image.BuildID != "none" ||
		got.Image.PrettyName != "os" || !slices.Equal(got.Sources.Lookaside,
		[]string{got.CacheDir.Lookaside()}) {
		t.Errorf("%+v, %v", got, err)
	}
	for i, name := range []string{"BUILDSYS_CACHE_DIR", "SECRET", "TOKEN"} {
		if len(warnings) != 3 || !strings.Contains(warnings[i], "refers to "+name+",") {
			t.Errorf("warnings %q", warnings)
		}
	}
	c.TrustTree = true
	if got, err := c.Resolve(); err != nil || got.Sources.Lookaside[0] != "https://a.example/s1" {
		t.Errorf("trusted: %v, %v", got.Sources, err)
	}
}

// Makefile.toml is a file of the tree, and no way to another one or to more memory.
func TestMakefileIsAFile(t *testing.T) {
	for _, target := range []string{"/dev/zero", "/etc/passwd", "Release.toml", "fifo"} {
		c := withEnv(t, "")
		file := filepath.Join(c.Dir, makefile)
		buildtest.Must(t, os.Remove(file))
		if target == "fifo" {
			buildtest.Must(t, mkfifo(file))
		} else {
			buildtest.Must(t, os.Symlink(target, file))
		}
		if _, err := c.Resolve(); errkind.Of(err) != errkind.Environment {
			t.Errorf("%s: %v", target, err)
		}
	}
	lines := "A0 = '" + strings.Repeat("x", 100) + "'\n"
	for i := range 40 {
		a, b := string(rune('A'+i%26))+string(rune('0'+i/26)), string(rune('A'+(i+1)%26))+
			string(rune('0'+(i+1)/26))
		lines += b + " = '${" + a + "}${" + a + "}'\n"
	}
	if _, err := withEnv(t, lines).Resolve(); err == nil ||
		!strings.Contains(err.Error(), "once it is expanded") {
		t.Errorf("values that double: %v", err)
	}
}

// The user's configuration has settings for all trees, and names those that may set everything.
func TestUserConfig(t *testing.T) {
	c := withEnv(t, "BUILDSYS_ENGINE_INSECURE = 'true'\n")
	other := filepath.Join(t.TempDir(), "link")
	buildtest.Must(t, os.Symlink(c.Dir, other))
	file := filepath.Join(c.Dir, ".config/buildsys/config.toml") // HOME is the tree here
	for text, want := range map[string]string{
		"":                                    "--trust-tree",
		"trusted-trees = ['/']":               "--trust-tree",
		"trusted-trees = ['.']":               "--trust-tree",
		"trusted-trees = ['" + c.Dir + "']":   "",
		"trusted-trees = ['" + other + "']":   "",
		"trusted-trees = ['" + c.Dir + "/x']": "--trust-tree",
		"[env]\nBUILDSYS_ENGINE_INSECURE = 'false'\nBUILDSYS_NAME = 'mine'": "",
		"trust = true":           "unknown key",
		"[env]\nPATH = 'x'":      "no setting",
		"trusted-trees = 'all'":  "config.toml",
		"env = [\n":              "config.toml",
		"[env]\nBUILDSYS_JOBS=3": "config.toml",
	} {
		write(t, file, text)
		got, err := c.Resolve()
		switch {
		case want == "" && err == nil && got.Engine.Insecure != strings.Contains(text, "mine"):
		case want != "" && errkind.Of(err) == errkind.Usage && strings.Contains(err.Error(), want):
		default:
			t.Errorf("%s: %v; want %q", text, err, want)
		}
	}
	buildtest.Must(t, os.Remove(file))
	buildtest.Must(t, mkfifo(file))
	if _, err := c.Resolve(); errkind.Of(err) != errkind.Environment {
		t.Errorf("a fifo: %v", err)
	}
}
