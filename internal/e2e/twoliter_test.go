// Trees written for Twoliter: their packages are built with the macros and programs of their SDK.

package e2e

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"buildsys/internal/buildtest"
)

// twoliterSetup makes the SDK of this checkout one in Twoliter's form: with RPM macros for an
// architecture, a go command that needs GO_MAJOR, and a database of RPMs.
const twoliterSetup = `set -e
mkdir -p /usr/lib/rpm/platform/x86_64-bottlerocket /tmp/host
cat >/usr/lib/rpm/platform/x86_64-bottlerocket/macros <<'END'
%_cross_os lab-
%_cross_target x86_64-lab-linux-gnu
%_cross_rootdir /%{_cross_target}/sys-root
%dist %{nil}
%debug_package %{nil}
END
go=$(readlink -f /usr/bin/go)
rm /usr/bin/go /usr/lib/go
printf '#!/bin/bash\nset -eu\n[ "${GO_MAJOR}" = 1.99 ]\nexec %s "$@"\n' "$go" >/usr/bin/go
chmod 755 /usr/bin/go
rpm --initdb
cat >/tmp/host/host-tool.spec <<'END'
Name: host-tool
Version: 1
Release: 1
Summary: A program of the SDK
License: MIT
BuildArch: noarch
%description
%{summary}.
%files
END
rpmbuild -bb --define '_topdir /tmp/host' /tmp/host/host-tool.spec
rpm -i --nodeps /tmp/host/RPMS/noarch/host-tool-1-1.noarch.rpm
mkdir /toolchain
touch /toolchain/cc
ln -s objcopy /usr/bin/x86_64-lab-linux-gnu-objcopy
cat >/usr/sbin/setfiles <<'END'
#!/bin/bash
# Says what setfiles -n -d says, with the first label of the policy for all.
find "${@: -1}" -printf "%p matched by $(cut -d' ' -f2 "${@: -2:1}")\n"
END
chmod 755 /usr/sbin/setfiles
`

// twoliterSDK makes such an SDK image, whose user is not root, and returns the environment that
// uses it.
func twoliterSDK(t *testing.T) []string {
	t.Helper()
	const repository = "buildsys.invalid/buildsys-test-twoliter-sdk"
	tag := strings.ToLower(rand.Text()) // other checkouts run this test on the same engine
	base := strings.TrimPrefix(sdkOf(t)[0], "BUILDSYS_SDK_IMAGE=")
	host := os.Getenv("DOCKER_HOST")
	ask := func(method, path, body string, answer any) {
		t.Helper()
		r := engineSend(t, host, method, path, strings.NewReader(body))
		defer r.Body.Close()
		if r.StatusCode >= http.StatusBadRequest {
			t.Fatalf("%s %s: %s", method, path, r.Status)
		}
		if answer != nil {
			buildtest.Must(t, json.NewDecoder(r.Body).Decode(answer))
		}
	}
	create, err := json.Marshal(map[string]any{"Image": base, "User": "root",
		"Cmd":        []string{"bash", "-c", twoliterSetup},
		"HostConfig": map[string]any{"NetworkMode": "none"}})
	buildtest.Must(t, err)
	var made engineThing
	ask(http.MethodPost, "/containers/create", string(create), &made)
	at := "/containers/" + made.ID
	t.Cleanup(func() { engineAsk(t, host, http.MethodDelete, at+"?force=1").Body.Close() })
	ask(http.MethodPost, at+"/start", "", nil)
	var ended struct{ StatusCode int }
	ask(http.MethodPost, at+"/wait", "", &ended)
	if ended.StatusCode != 0 {
		t.Fatalf("the SDK cannot be made: status %d", ended.StatusCode)
	}
	query := url.Values{"container": {made.ID}, "repo": {repository}, "tag": {tag},
		"changes": {"USER builder", "ENV GO_MAJOR=1.99", "WORKDIR /home/builder"}}
	ask(http.MethodPost, "/commit?"+query.Encode(), "{}", nil)
	t.Cleanup(func() { removeImage(t, repository+":"+tag) })
	return []string{"BUILDSYS_SDK_IMAGE=" + repository + ":" + tag, "BUILDSYS_ARCH=x86_64"}
}

// printed returns what the build of a package printed for its test.
func printed(t *testing.T, root, pkg string) string {
	t.Helper()
	log := read(t, root, "build/logs/x86_64/package-"+pkg+".log")
	var lines []string
	for line := range strings.Lines(log) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "PRINTS "); ok {
			lines = append(lines, text)
		}
	}
	return strings.Join(lines, "\n")
}

func TestTwoliter(t *testing.T) {
	needEngine(t)
	t.Setenv("BUILDSYS_CACHE_DIR", t.TempDir())
	sdk := twoliterSDK(t)
	t.Run("packages", func(t *testing.T) { twoliterPackages(t, sdk) })
	t.Run("git", func(t *testing.T) { twoliterGitCrates(t, sdk) })
	t.Run("modules", func(t *testing.T) { twoliterModules(t, sdk) })
	t.Run("image", func(t *testing.T) { twoliterImage(t, sdk) })
	t.Run("signed", func(t *testing.T) { twoliterSigned(t, sdk) })
}

// twoliterPackages builds a kit of first-party code. An edit that changes no RPM builds nothing
// more, and what rpm calls an error ends the build even if rpm goes on.
func twoliterPackages(t *testing.T, sdk []string) {
	data, err := os.ReadFile("../../testdata/foreign/twoliter.txtar")
	buildtest.Must(t, err)
	root := buildtest.Tree(t, string(data))
	buildtest.Must(t, os.Chmod(filepath.Join(root, "packages/tool/make.sh"), 0o755))

	r := buildsys(t, root, sdk, "build-kit", "lab-kit")
	r.must(t, 0)
	if got := strings.Join(started(r), " "); got != "app kit lab-kit tool words" {
		t.Errorf("built %q", got)
	}
	for name, want := range map[string]string{
		"app": "target=x86_64-lab-linux-gnu cpu=x86_64 words=words\n" +
			"env GO_MAJOR=1.99 PACKAGE=app ARCH=x86_64 BUILD_ID=00000000 0 VARY= user=builder\n" +
			"sources ./Cargo.toml ./app/src/main.rs ./models/src/lib.rs ./tool/tool.go\n" +
			"manifest 1 of cargo --manifest-path /home/builder/rpmbuild/BUILD/lab-app-1.0-build/" +
			"sources/Cargo.toml\n" +
			"crate // a crate // a crate # where the crates are\ngenerated code has a place",
		"tool": "sources ./tool/tool.go",
	} {
		if got := printed(t, root, name); got != want {
			t.Errorf("%s printed\n%s\nwant\n%s", name, got, want)
		}
	}
	for name, want := range map[string]string{"tool": "lab-tool-1.0-1.0.00000000.br1.noarch.rpm",
		"app": "lab-app-1.0-1.0.00000000.br1.x86_64.rpm"} {
		if got := rpms(t, root, name); len(got) != 1 || filepath.Base(got[0]) != want {
			t.Errorf("RPMs %q, want %q", got, want)
		}
	}
	buildsys(t, root, append(slices.Clone(sdk), noEngine), "build-kit", "lab-kit").must(t, 0,
		"nothing to do")

	at := buildsys(t, root, sdk, "shell", "app", "--", "sh", "-c", `pwd; echo "$GO_MAJOR"; id -un`)
	at.must(t, 0)
	if want := "/home/builder/rpmbuild/BUILD\n1.99\nbuilder\n"; at.stdout != want {
		t.Errorf("in a shell:\n%s\nwant\n%s", at.stdout, want)
	}

	appendTo(t, root, "packages/words/words.spec", "# a comment\n")
	if r := buildsys(t, root, sdk, "build-kit", "lab-kit"); r.code != 0 ||
		!slices.Equal(started(r), []string{"words"}) {
		t.Errorf("after a comment built %q, with %d:\n%s", started(r), r.code, r.stderr)
	}

	spec := read(t, root, "packages/tool/tool.spec")
	write(t, root, "packages/tool/tool.spec",
		strings.Replace(spec, "%prep\n", "%prep\n%patch -P6\n", 1))
	buildsys(t, root, sdk, "build-package", "tool").must(t, 2, "applies patch 6")
	write(t, root, "packages/tool/tool.spec", "%{lua:print('')}\n"+
		strings.Replace(spec, "%prep\n", "%prep\n%patch -P6\n", 1))
	buildsys(t, root, sdk, "build-package", "tool").must(t, 3, "error: No patch number 6",
		"packages/tool/tool.spec has errors")
	write(t, root, "packages/tool/tool.spec", "BuildRequires: other-tool\n"+
		"BuildRequires: %{lua:print(rpm.expand('%{_cross_os}libother-devel'))}\n"+spec)
	buildsys(t, root, sdk, "build-package", "tool").must(t, 3,
		"needs other-tool, which neither the SDK image nor a package of its build-dependencies provides",
		`if packages/libother makes it, add libother = { path = "../libother" }`)
}

// twoliterGitCrates builds a package whose crates come from a repository of git, through the cache
// directory and without a network.
func twoliterGitCrates(t *testing.T, sdk []string) {
	data, err := os.ReadFile("../../testdata/foreign/twoliter.txtar")
	buildtest.Must(t, err)
	root, mirror := buildtest.Tree(t, string(data)), t.TempDir()
	write(t, mirror, "lib/Cargo.toml", "[workspace]\n[workspace.package]\nversion = \"1.0.0\"\n")
	write(t, mirror, "lib/far/Cargo.toml", "[package]\nname = \"far\"\nversion.workspace = true\n")
	commit := strings.TrimSpace(shell(t, mirror, `export GIT_CONFIG_GLOBAL=/dev/null
		export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a
		git -C lib init --quiet && git -C lib add . && git -C lib commit --quiet -m lib &&
		git clone --quiet --bare lib git.invalid/team/lib && git -C lib rev-parse HEAD`))
	buildtest.Must(t, os.RemoveAll(filepath.Join(root, ".cargo")))
	write(t, root, "sources/Cargo.lock", "[[package]]\nname = \"far\"\nversion = \"1.0.0\"\n"+
		"source = \"git+https://git.invalid/team/lib#"+commit+"\"\n")
	spec := read(t, root, "packages/app/app.spec")
	write(t, root, "packages/app/app.spec", strings.Replace(spec, "%install\n",
		"cd ~/.cargo; echo PRINTS git $(grep -h -e ^version -e ^directory config.toml */*/*/*.toml)\n"+
			"%install\n", 1))
	env := append(slices.Clone(sdk), "BUILDSYS_GIT_PROXY=file://"+mirror)
	buildsys(t, root, env, "build-package", "app").must(t, 0)
	want := "\ngit directory = \".cargo/vendor-git/" + commit + "\" version = \"1.0.0\""
	if got := printed(t, root, "app"); !strings.HasSuffix(got, want) {
		t.Errorf("app printed\n%s\nwant%s", got, want)
	}
}

// twoliterModules bundles Go modules: the SDK's go command needs the image's environment.
func twoliterModules(t *testing.T, sdk []string) {
	proxy, sums := moduleProxy(t, "hello")
	root, env := goTree(t, sums)
	write(t, root, "Twoliter.toml", "schema-version = 1\n")
	write(t, root, "packages/build.rs", "fn main() {}\n")
	spec := read(t, root, "packages/app/app.spec")
	begin, end := strings.Index(spec, "%build\n"), strings.Index(spec, "%install\n")
	write(t, root, "packages/app/app.spec",
		spec[:begin]+"%build\ngo version >app-1/greeting\n"+spec[end:])
	env = slices.Concat(env, sdk, []string{"GOPROXY=file://" + proxy})
	r := buildsys(t, root, env, "build-package", "app")
	r.must(t, 0)
	if got := started(r); !slices.Equal(got, []string{"app", "modules app"}) {
		t.Errorf("built %q", got)
	}
	data, err := os.ReadFile(filepath.Join(root, "build/modules/x86_64/app/bundled-app-1.tar.gz"))
	buildtest.Must(t, err)
	checkBundle(t, data)
}
