// Trees with a recipe of their own, in Bottlerocket's form.

package e2e

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/buildtest/need"
)

// foreignTree writes the test tree in Bottlerocket's form, with an empty cache. It keeps the engine
// from using layers of an earlier run: the steps log what they see, and a cached layer logs
// nothing.
func foreignTree(t *testing.T) string {
	t.Helper()
	t.Setenv("BUILDSYS_CACHE_DIR", t.TempDir())
	data, err := os.ReadFile("../../testdata/foreign/g1.txtar")
	buildtest.Must(t, err)
	root := buildtest.Tree(t, string(data))
	for _, arch := range []string{"x86_64", "aarch64"} {
		write(t, root, "macros/"+arch, "%_cross_arch "+arch+"\n# "+rand.Text()+"\n")
	}
	return root
}

// sdkOf returns an environment that uses the SDK image of this checkout for another tree.
func sdkOf(t *testing.T) []string {
	t.Helper()
	return []string{"BUILDSYS_SDK_IMAGE=" +
		strings.TrimSpace(buildsys(t, repository(t), nil, "sdk", "name").stdout), "BUILDSYS_ARCH=x86_64"}
}

// TestForeignRecipe builds a tree with its own Dockerfile, from package to image. A file that is
// not an input of a step does not build the step again, and an input does.
func TestForeignRecipe(t *testing.T) {
	needEngine(t)
	root, sdk := foreignTree(t), sdkOf(t)
	idle := append(slices.Clone(sdk), noEngine)
	r := buildsys(t, root, sdk, "build-variant", "echo-dev")
	r.must(t, 0)
	if got := started(r); strings.Join(got, " ") != "base greeter motd variant echo-dev" {
		t.Fatalf("built %q", got)
	}
	for name, want := range map[string]string{
		"how.txt": "--package-dir=/local/rpms --output-dir=/local/output --output-fmt=raw " +
			"--os-image-size-gib=4 --data-image-size-gib=1 --partition-plan=unified\n" +
			"features=GRUB_SET_PRIVATE_VAR parameters=console=ttyS0 quiet pretty=os\n" +
			"tiny-x86_64-greeter-1.0-1.noarch.rpm\ntiny-x86_64-motd-1.0-1.noarch.rpm\n",
	} {
		got, err := os.ReadFile(filepath.Join(root, "build/images/x86_64-echo-dev/latest", name))
		if err != nil || string(got) != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, want)
		}
	}
	seesOnly(t, root, "greeter",
		".cargo .dockerignore LICENSE build build/rpms build/rpms/tiny-x86_64-base-1.0-1.noarch.rpm "+
			"macros macros/shared "+
			"macros/x86_64 packages packages/greeter packages/greeter/greeter.spec roles "+
			"roles/default.root.json sources sources/LICENSE sources/greeter sources/greeter/greet.sh "+
			"sources/models sources/models/variant")

	buildsys(t, root, idle, "build-variant", "echo-dev").must(t, 0,
		"4 steps up to date, nothing to do")
	edit := func(name, text string) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(root, name))
		buildtest.Must(t, err)
		write(t, root, name, string(data)+text)
	}
	edit("README.md", "nor this")
	buildsys(t, root, idle, "build-variant", "echo-dev").must(t, 0, "nothing to do")
	edit("packages/motd/motd.spec", "# unrelated\n")
	buildsys(t, root, idle, "build-package", "greeter").must(t, 0, "2 steps up to date, nothing to do")

	build := func(want ...string) {
		t.Helper()
		r := buildsys(t, root, sdk, "build-package", "greeter")
		r.must(t, 0)
		if got := started(r); !slices.Equal(got, want) {
			t.Errorf("built %q, want %q:\n%s", got, want, r.stderr)
		}
	}
	edit("packages/base/base.spec", "# which no RPM knows of\n")
	build("base")
	edit("packages/base/base.conf", "base = 2\n")
	if r := buildsys(t, root, idle, "why", "base"); !strings.Contains(r.stdout,
		"file tree: packages/base/base.conf changed") {
		t.Errorf("why says\n%s", r.stdout)
	}
	build("base", "greeter")

	other := t.TempDir()
	buildtest.Must(t, os.CopyFS(other, os.DirFS(root)))
	buildtest.Must(t, os.RemoveAll(filepath.Join(other, "build")))
	buildsys(t, other, idle, "build-package", "greeter").must(t, 0)
	if rpmBytes(t, other, "greeter") != rpmBytes(t, root, "greeter") {
		t.Error("another checkout has another RPM")
	}
}

// TestForeignGo: a Go module in sources/ that needs another one gets vendor/ where the build looks
// for it, and not in the checkout.
func TestForeignGo(t *testing.T) {
	needEngine(t)
	root, sdk := foreignTree(t), sdkOf(t)
	proxy, sums := moduleProxy(t, "hello")
	env := append(slices.Clone(sdk), "GOPROXY=file://"+proxy)
	write(t, root, "sources/greeter/go.mod",
		"module example.test/app\n\ngo 1.19\n\nrequire example.test/dep v1.2.3\n")
	write(t, root, "sources/greeter/go.sum", sums)
	write(t, root, "sources/greeter/main.go",
		"package main\n\nimport \"example.test/dep\"\n\nfunc main() { println(dep.Greeting) }\n")
	spec, err := os.ReadFile(filepath.Join(root, "packages/greeter/greeter.spec"))
	buildtest.Must(t, err)
	write(t, root, "packages/greeter/greeter.spec", strings.Replace(string(spec), "%install\n",
		"%install\ngrep hello %{_topdir}/BUILD/sources/greeter/vendor/example.test/dep/dep.go\n", 1))
	buildsys(t, root, env, "fetch", "greeter").must(t, 0, "and what 1 Go modules of the tree need")
	env = append(slices.Clone(sdk), "GOPROXY=off") // nothing more is asked for
	buildsys(t, root, env, "build-package", "greeter").must(t, 0)
	if _, err := os.Stat(filepath.Join(root, "sources/greeter/vendor")); err == nil {
		t.Error("the checkout has a vendor/")
	}
	buildsys(t, root, append(env, noEngine), "build-package", "greeter").must(t, 0, "nothing to do")
}

// seesOnly compares what the step of a package found at /host.
func seesOnly(t *testing.T, root, pkg, want string) {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(root, "build/logs/x86_64/package-"+pkg+".log"))
	buildtest.Must(t, err)
	var seen []string
	for line := range strings.Lines(string(log)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "sees "); ok {
			seen = append(seen, name)
		}
	}
	if got := strings.Join(seen, " "); got != want {
		t.Errorf("%s sees %s\nwant %s", pkg, got, want)
	}
}

// toolRecipe is another recipe in Bottlerocket's form, with nothing in the SDK but the program of
// the engine tests.
const toolRecipe = `# syntax=docker/dockerfile:1.1.3-experimental
ARG SDK
ARG TOOLCHAIN
ARG ARCH
ARG GOARCH
FROM ${SDK} as sdk
FROM --platform=linux/${GOARCH} ${TOOLCHAIN}-${ARCH} as toolchain
FROM scratch AS cache
ARG PACKAGE
ARG TOKEN
COPY --chown=1000:1000 --from=sdk /output /cache
COPY --chown=1000:1000 .dockerignore /cache/.${PACKAGE}.${TOKEN}
FROM sdk AS rpmbuild
ARG PACKAGE
ARG NOCACHE
COPY ./packages/${PACKAGE}/ /shown/
RUN --mount=target=/host \
    --mount=type=cache,target=/var/cache,from=cache,source=/cache \
    --mount=source=.cargo,target=/cargo \
    --mount=source=sources,target=/src \
    ["/tool", "list", "/host/build/rpms", "/list", ",", "cat", "/list", ",", "cat", "/src/code/link", ",", "rpm", "/shown/a-1-1.noarch.rpm", \
     ",", "size", "/cargo", "/var/cache/.a.buildsys", "/shown/kept", "/shown/left-out"]
FROM scratch AS package
COPY --from=rpmbuild /shown/*.rpm /output/
FROM sdk AS imgbuild
ARG IMAGE_NAME
ARG NOCACHE
RUN --mount=target=/host ["/tool", "mkdir", "/made", ",", "list", "/host/build/rpms", "/made/image"]
FROM scratch AS variant
COPY --from=imgbuild /made/* /output/
COPY --from=toolchain /tool /output/chain
`

// TestForeignImages checks that the images that a recipe starts from are those of the engine, a
// Docker engine or a buildkitd; none is pulled, and a missing one is reported before anything is
// built.
func TestForeignImages(t *testing.T) {
	need.Time(t)
	for name, newDaemon := range map[string]func(*testing.T, ...string) *buildtest.Daemon{
		"dockerd": buildtest.NewDockerd, "buildkitd": buildtest.NewBuildkitd,
	} {
		t.Run(name, func(t *testing.T) {
			d := newDaemon(t)
			d.Start(t)
			tar, root := toolRoot(t), foreignToolTree(t)
			vars := append(env(d), "BUILDSYS_ARCH=x86_64")
			buildsys(t, root, vars, "sdk", "import", tar).must(t, 0)

			r := buildsys(t, root, vars, "build-package", "-v", "a")
			r.must(t, 0, "a | linked\n", "a | no /shown/left-out\n", "a | /cargo d", "a | /shown/kept -",
				"a | /var/cache/.a.buildsys -")
			if t.Failed() {
				t.Log(d.Tail())
			}
			buildsys(t, root, vars, "build-variant", "tool-dev").must(t, 2,
				"Dockerfile:7: the recipe starts from a toolchain image that nothing names: set "+
					"BUILDSYS_TOOLCHAIN")
			chain := append(slices.Clone(vars), "BUILDSYS_TOOLCHAIN=buildsys.invalid/chain:1")
			buildsys(t, root, chain, "build-variant", "tool-dev").must(t, 4,
				"the image buildsys.invalid/chain:1-x86_64, which the tree's Dockerfile starts from,",
				"or name another with BUILDSYS_TOOLCHAIN")
			buildsys(t, root, append(slices.Clone(chain),
				"BUILDSYS_SDK_IMAGE=buildsys.invalid/chain:1-x86_64"), "sdk", "import", tar).must(t, 0)
			buildsys(t, root, chain, "build-variant", "tool-dev").must(t, 0)
			image, err := os.ReadFile(filepath.Join(root, "build/images/x86_64-tool-dev/latest/image"))
			if err != nil || !strings.Contains(string(image), "\na-1-1.noarch.rpm -rw-r--r-- ") {
				t.Errorf("the image: %v\n%s", err, image)
			}
			if info, err := os.Stat(filepath.Join(root,
				"build/images/x86_64-tool-dev/latest/chain")); err != nil || info.Size() == 0 {
				t.Errorf("from the toolchain: %v", err)
			}
			idle := append(chain, "DOCKER_HOST=unix:///nowhere/d.sock", "BUILDSYS_BUILDKIT_HOST=",
				"BUILDSYS_ENGINE_WAIT=0s")
			buildsys(t, root, idle, "build-variant", "tool-dev").must(t, 0, "nothing to do")
		})
	}
}

// foreignToolTree writes a tree with one package and one variant, which toolRecipe builds.
func foreignToolTree(t *testing.T) string {
	t.Helper()
	root := writeTree(t)
	for name, text := range map[string]string{
		"Dockerfile":    toolRecipe,
		".dockerignore": "/build/*\n!/build/rpms/*.rpm\n**/left-*\n",
		"packages/a/Cargo.toml": "[package]\nname = \"a\"\nversion = \"0.1.0\"\n" +
			"[package.metadata.build-package]\nsource-groups = [\"code\"]\n",
		"packages/a/a.spec":   "Name: a\n",
		"packages/a/kept":     "",
		"packages/a/left-out": "",
		"sources/code/text":   "linked",
		"variants/tool-dev/Cargo.toml": "[package]\nname = \"tool-dev\"\nversion = \"0.1.0\"\n" +
			"[package.metadata.build-variant]\nincluded-packages = [\"a\"]\n[build-dependencies]\na = { " +
			"path = \"../../packages/a\" }\n",
	} {
		write(t, root, name, text)
	}
	buildtest.Must(t, os.Symlink("text", filepath.Join(root, "sources/code/link")))
	return root
}
