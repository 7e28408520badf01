// secrets_test: what builds of foreign trees never see.

package plan

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

const (
	privatePEM = "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n"
	publicPEM  = "-----BEGIN CERTIFICATE-----\nMC4=\n-----END CERTIFICATE-----\n"
)

// hidden are files of a tree that no build sees, however it asks for them.
var hidden = map[string]string{
	".git/config":                       "[http]\n\textraheader = AUTHORIZATION: basic x\n",
	".git/objects/aa/bb":                "",
	"sbkeys/local/PK.key":               privatePEM,
	"sbkeys/generate":                   "",
	"keys/production/PK.crt":            publicPEM, // another profile's folder, by another name
	"keys/production/kms-sign.json":     "{}",
	"tls/server.key":                    privatePEM,
	"tls/der.key":                       "\x30\x82",
	"tls/both.PEM":                      publicPEM + privatePEM,
	"tls/store.p12":                     "",
	"tls/large.pem":                     publicPEM + strings.Repeat("\n", maxKeyFile),
	"sources/greeter/.env":              "TOKEN=x",
	"sources/greeter/.env.production":   "TOKEN=x",
	"packages/greeter/.env":             "TOKEN=x",
	"packages/greeter/sub/.aws/config":  "",
	"sources/greeter/.netrc":            "",
	".npmrc":                            "//registry.example/:_authToken=x\n",
	".envrc":                            "export TOKEN=x",
	".hg/hgrc":                          "",
	".config/gh/hosts.yml":              "oauth_token: x",
	"deploy/id_ed25519":                 "",
	"packages/greeter/.pypirc":          "",
	"sources/greeter/home/.docker/x":    "",
	"sources/greeter/home/.ssh/id":      "",
	".cargo/credentials.toml":           "token = \"x\"",
	"sources/greeter/other/.git/config": "",
	"sources/greeter/other/main.go":     "", // of another checkout
	"sources/greeter/clone/.git":        "gitdir: /home/somebody/clone.git\n",
	"sources/greeter/clone/main.go":     "",
	"sources/greeter/bare/HEAD":         "ref: refs/heads/main\n",
	"sources/greeter/bare/config":       "",
	"sources/greeter/bare/objects/x":    "",
	"sources/greeter/bare/refs/x":       "",
	"sources/greeter/mod/.git":          "gitdir: ../../../.git/modules/mod\n",
	"build/state/x":                     "",
}

// shown are files that look like hidden ones, and are not.
var shown = map[string]string{
	"sources/greeter/tls/ca.pem":     publicPEM,
	"sources/greeter/tls/pub.key":    "-----BEGIN PUBLIC KEY-----\nMC4=\n-----END PUBLIC KEY-----\n",
	"sources/greeter/tls/server.key": privatePEM, // for its tests
	"packages/greeter/sign.key":      privatePEM,
	"sources/greeter/environment":    "",
	"sources/greeter/.config/x.toml": "", // a setting of its programs
	"packages/greeter/.config":       "", // of a kernel
	"sources/greeter/build/x":        "",
	"sources/greeter/mod/main.go":    "", // of a submodule
}

// links lead to hidden files, from where the rules for their directories do not look.
var hidingLinks = map[string]string{
	"packages/greeter/gitdir":   "../../.git",
	"packages/greeter/keys":     "../../sbkeys/local",
	"packages/greeter/profile":  "step/production",
	"packages/greeter/step":     "../../keys",
	"packages/greeter/state":    "../../build/state",
	"packages/greeter/settings": "../../sources/greeter/.env",
	"packages/greeter/readme":   "../../keys/production/kms-sign.json",
	"packages/greeter/tls":      "../../tls",
	"sources/greeter/gitdir":    "../../.git",
	"sources/greeter/keys":      "../../sbkeys",
	"macros/shared2":            "../sbkeys",
}

func secretTree(t *testing.T) fstest.MapFS {
	t.Helper()
	files := g1(t)
	for _, more := range []map[string]string{hidden, shown} {
		for name, text := range more {
			files[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
		}
	}
	for name, to := range hidingLinks {
		files[name] = &fstest.MapFile{Data: []byte(to), Mode: os.ModeSymlink | 0o777}
	}
	edit(files, "packages/greeter/greeter.spec", "%install", "%install\ncargo build\n")
	return files
}

// TestOwnBuildsSeeNoSecrets has a Dockerfile that asks for all of the tree, and names what is
// hidden.
func TestOwnBuildsSeeNoSecrets(t *testing.T) {
	files := secretTree(t)
	edit(files, "Dockerfile", "RUN ", "RUN --mount=target=/host cd /host && cat "+
		"/host/sbkeys/local/PK.key /host/packages/greeter/gitdir/config /host/tls/server.key "+
		"/host/macros/shared2/local/PK.key\n"+
		"RUN --mount=source=sbkeys,target=/k --mount=source=sources/greeter/keys/local,target=/l "+
		"true\nRUN ")
	r := ownRequest()
	r.Packages, r.Image = []string{"greeter"}, true
	p := mustMake(t, files, r)
	seen := map[string]bool{}
	for _, s := range p.Steps {
		for _, f := range s.Solve.Contexts[TreeContext].Files {
			seen[f.Name] = true
			if _, bad := hidden[f.Name]; bad {
				t.Errorf("%s sees %s", s.ID, f.Name)
			}
			for link := range hidingLinks {
				if f.Name != link && within(f.Name, link) || f.Name == link && f.Link == "" {
					t.Errorf("%s sees %s behind a link", s.ID, f.Name)
				}
			}
		}
	}
	for name := range shown {
		if !seen[name] {
			t.Errorf("no step sees %s", name)
		}
	}
	if len(p.Warnings) != 1 {
		t.Fatalf("warnings %q", p.Warnings)
	}
	for _, want := range []string{"builds do not see", `"sbkeys"`, `"keys/production"`, " more"} {
		if !strings.Contains(p.Warnings[0], want) {
			t.Errorf("the warning lacks %s: %s", want, p.Warnings[0])
		}
	}
	if strings.Contains(p.Warnings[0], `".git"`) || strings.Contains(p.Warnings[0], `"build"`) {
		t.Errorf("the warning names what every tree has: %s", p.Warnings[0])
	}
}

// TestOwnCopyOfSecretsIsRefused has a COPY of what is hidden: the build would fail there, or have
// an empty directory.
func TestOwnCopyOfSecretsIsRefused(t *testing.T) {
	for _, name := range []string{"sbkeys", "sbkeys/local/PK.key", "keys/production"} {
		files := secretTree(t)
		edit(files, "Dockerfile", "COPY ./macros/${ARCH}", "COPY "+name+" /x/\nCOPY ./macros/${ARCH}")
		r := ownRequest()
		r.Packages = []string{"greeter"}
		p := mustMake(t, files, r)
		if len(p.Lacks) != 1 || !strings.Contains(p.Lacks[0], "the recipe copies "+name+", which no") {
			t.Errorf("%s: lacks %q", name, p.Lacks)
		}
	}
}

// TestLinksShowNoSecrets has a foreign tree without a Dockerfile, in whose packages links are
// followed.
func TestLinksShowNoSecrets(t *testing.T) {
	files := secretTree(t)
	delete(files, "Dockerfile")
	files["tools/buildsys/Cargo.toml"] = &fstest.MapFile{Mode: 0o644}
	r := ownRequest()
	r.Packages = []string{"greeter"}
	p := mustMake(t, files, r)
	seen := map[string]bool{}
	for name, c := range step(t, p, "package/greeter").Solve.Contexts {
		dir := map[string]string{"package": "packages/greeter/", "sources": "sources/"}[name]
		for _, f := range c.Files {
			seen[dir+f.Name] = true
			for link := range hidingLinks {
				if within(dir+f.Name, link) {
					t.Errorf("it sees %s behind a link", dir+f.Name)
				}
			}
		}
	}
	for _, name := range []string{"packages/greeter/sign.key", "sources/greeter/tls/server.key"} {
		if !seen[name] { // what a manifest lists is meant
			t.Errorf("it does not see %s", name)
		}
	}
}
