// Releases of buildsys as those who install them have them: made twice, from two checkouts, they
// are the same bytes; packages work in roots that have nothing else, and the image runs.

package e2e

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/buildtest/need"
)

// releaseVersion is one that no real release has, so that its image replaces nobody's.
const releaseVersion = "0.0.0-test.1"

// released is a release under test.
type released struct {
	dir, commit, public string
}

func TestRelease(t *testing.T) {
	need.Time(t)
	need.Programs(t, "git", "go", "dpkg", "dpkg-deb", "rpm", "sha256sum", "openssl")
	first := filepath.Join(t.TempDir(), "first")
	snapshot(t, first)
	second := filepath.Join(t.TempDir(), "at/another/place")
	toolIn(t, "", "git", "clone", "--quiet", first, second)
	private, public := releaseKey(t)
	commit := strings.TrimSpace(toolIn(t, first, "git", "rev-parse", "HEAD"))
	r := released{public: public, commit: commit, dir: makeRelease(t, first, nil, "--key", private)}
	t.Run("again", func(t *testing.T) {
		sameFiles(t, r.dir, makeRelease(t, second, []string{"TZ=Asia/Tokyo", "SOURCE_DATE_EPOCH=1",
			"GOFLAGS=-ldflags=-w", "RELEASE_KEY=" + private}))
	})
	t.Run("sums", func(t *testing.T) {
		toolIn(t, r.dir, "sha256sum", "--check", "--strict", "SHA256SUMS")
	})
	t.Run("refused", r.refused(first))
	t.Run("binary", r.binary)
	t.Run("deb", r.deb)
	t.Run("rpm", r.rpm)
	t.Run("image", r.image)
	t.Run("bills", r.bills)
	t.Run("signature", r.signature)
}

// snapshot commits the files of this checkout as they are, with a section for the version.
func snapshot(t *testing.T, dir string) {
	t.Helper()
	names := toolIn(t, repository(t), "git", "ls-files", "-z", "--cached", "--others",
		"--exclude-standard")
	for name := range strings.SplitSeq(strings.TrimRight(names, "\x00"), "\x00") {
		from := filepath.Join(repository(t), name)
		info, err := os.Lstat(from)
		if os.IsNotExist(err) {
			continue // removed, not yet committed
		}
		buildtest.Must(t, err)
		to := filepath.Join(dir, name)
		buildtest.Must(t, os.MkdirAll(filepath.Dir(to), 0o755))
		if info.Mode().Type() == os.ModeSymlink {
			target, err := os.Readlink(from)
			buildtest.Must(t, err)
			buildtest.Must(t, os.Symlink(target, to))
			continue
		}
		data, err := os.ReadFile(from)
		buildtest.Must(t, err)
		if name == "CHANGELOG.md" {
			data = []byte("## [" + releaseVersion + "] - 2026-01-02\n\n- It is tested.\n\n" + string(data))
		}
		buildtest.Must(t, os.WriteFile(to, data, info.Mode().Perm()))
	}
	toolIn(t, dir, "git", "init", "--quiet")
	toolIn(t, dir, "git", "add", "--all", "--force", ".")
	toolIn(t, dir, "git", "-c", "user.name=n", "-c", "user.email=n@buildsys.invalid", "commit",
		"--quiet", "--message", "a release")
}

// toolIn runs a program in a directory and returns what it prints.
func toolIn(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(need.Program(t, name), args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, args, err, out, &stderr)
	}
	return string(out)
}

func releaseKey(t *testing.T) (private, public string) {
	t.Helper()
	dir := t.TempDir()
	private, public = filepath.Join(dir, "key.pem"), filepath.Join(dir, "public.pem")
	k := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	der, err := x509.MarshalPKCS8PrivateKey(k)
	buildtest.Must(t, err)
	block := pem.Block{Type: "PRIVATE KEY", Bytes: der}
	buildtest.Must(t, os.WriteFile(private, pem.EncodeToMemory(&block), 0o600))
	toolIn(t, "", "openssl", "pkey", "-in", private, "-pubout", "-out", public)
	return private, public
}

// makeRelease runs script/release in a checkout, which has another host name if there is an
// environment, and returns the directory with the files.
func makeRelease(t *testing.T, root string, env []string, args ...string) string {
	t.Helper()
	words := append([]string{filepath.Join(root, "script/release"), "--version", releaseVersion},
		args...)
	if env != nil && os.Getuid() == 0 {
		words = append([]string{"unshare", "--uts", "sh", "-c", `hostname elsewhere && exec "$@"`, "sh"},
			words...)
	}
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", words, err, out)
	}
	return filepath.Join(root, "build/release", releaseVersion)
}

// sameFiles checks that two directories have the same files.
func sameFiles(t *testing.T, a, b string) {
	t.Helper()
	names := func(dir string) (names []string) {
		entries, err := os.ReadDir(dir)
		buildtest.Must(t, err)
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	if had, has := names(a), names(b); !slices.Equal(had, has) || len(had) < 26 {
		t.Fatalf("the files are\n%q, and from the other checkout\n%q", had, has)
	}
	for _, name := range names(a) {
		one, err := os.ReadFile(filepath.Join(a, name))
		buildtest.Must(t, err)
		two, err := os.ReadFile(filepath.Join(b, name))
		buildtest.Must(t, err)
		if !bytes.Equal(one, two) {
			t.Errorf("%s differs", name)
		}
	}
}

// refused has a release that is there, a changed checkout and a version without a section.
func (r released) refused(root string) func(t *testing.T) {
	return func(t *testing.T) {
		refuses := func(version, want string) {
			t.Helper()
			out, err := exec.Command(filepath.Join(root, "script/release"), "--version", version).
				CombinedOutput()
			if err == nil || !strings.Contains(string(out), want) {
				t.Errorf("%v: %s, want %q", err, out, want)
			}
		}
		refuses(releaseVersion, "is there already")
		refuses("0.0.0-test.2", "CHANGELOG.md has no section for 0.0.0-test.2")
		buildtest.Must(t, os.WriteFile(filepath.Join(root, "note"), nil, 0o644))
		defer os.Remove(filepath.Join(root, "note"))
		refuses(releaseVersion, "the checkout has changes")
	}
}

// binary runs the plain binary for this machine.
func (r released) binary(t *testing.T) {
	arch := strings.TrimSpace(toolIn(t, "", "go", "env", "GOARCH"))
	at := filepath.Join(r.dir, "buildsys-"+releaseVersion+"-linux-"+arch)
	r.says(t, toolIn(t, "", at, "version"))
	if out := toolIn(t, "", "readelf", "--program-headers", at); strings.Contains(out, "INTERP") {
		t.Errorf("it is not static:\n%s", out)
	}
}

// says checks what a released binary says of itself.
func (r released) says(t *testing.T, text string) {
	t.Helper()
	for _, want := range []string{"buildsys v" + releaseVersion + " (" + r.commit[:12] + ")\n",
		"go       go1.", "recipe   "} {
		if !strings.Contains(text, want) {
			t.Errorf("it says\n%s, which lacks %q", text, want)
		}
	}
}

// works runs the installed program as a new user in a root that has nothing else but its package.
func (r released) works(t *testing.T, root string) {
	t.Helper()
	for name, mode := range map[string]os.FileMode{"tmp": 0o777, "home/new": 0o700} {
		at := filepath.Join(root, name)
		buildtest.Must(t, os.MkdirAll(at, 0o755))
		buildtest.Must(t, os.Chmod(at, mode))
	}
	const user = 1234
	buildtest.Must(t, os.Chown(filepath.Join(root, "home/new"), user, user))
	run := func(dir string, args ...string) string {
		t.Helper()
		cmd := exec.Cmd{Path: "/usr/bin/buildsys", Args: append([]string{"buildsys"}, args...), Dir: dir,
			Env: []string{"HOME=/home/new", "PATH=/usr/bin"},
			SysProcAttr: &syscall.SysProcAttr{Chroot: root,
				Credential: &syscall.Credential{Uid: user, Gid: user}}}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("buildsys %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	r.says(t, run("/home/new", "version"))
	run("/home/new", "init", "myos")
	if out := run("/home/new/myos", "plan"); !strings.Contains(out, "kernel") {
		t.Errorf("the plan is\n%s", out)
	}
	if out := run("/home/new/myos", "lint"); !strings.Contains(out, "0 errors, 0 warnings") {
		t.Errorf("lint says\n%s", out)
	}
	for _, name := range []string{"man/man1/buildsys-build-variant.1.gz", "doc/buildsys/README.md",
		"bash-completion/completions/buildsys", "fish/vendor_completions.d/buildsys.fish"} {
		if info, err := os.Stat(filepath.Join(root, "usr/share", name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func (r released) deb(t *testing.T) {
	need.Root(t)
	arch := strings.TrimSpace(toolIn(t, "", "dpkg", "--print-architecture"))
	file := filepath.Join(r.dir, "buildsys_0.0.0~test.1-1_"+arch+".deb")
	if out := toolIn(t, "", "dpkg-deb", "--field", file); !strings.Contains(out,
		"Architecture: "+arch) {
		t.Errorf("its fields are\n%s", out)
	}
	root := t.TempDir()
	for _, dir := range []string{"info", "updates", "triggers"} {
		buildtest.Must(t, os.MkdirAll(filepath.Join(root, "var/lib/dpkg", dir), 0o755))
	}
	for _, name := range []string{"status", "available"} {
		buildtest.Must(t, os.WriteFile(filepath.Join(root, "var/lib/dpkg", name), nil, 0o644))
	}
	toolIn(t, "", "dpkg", "--root="+root, "--log=/dev/null", "--install", file)
	r.works(t, root)
	toolIn(t, "", "dpkg", "--root="+root, "--log=/dev/null", "--purge", "buildsys")
	if _, err := os.Stat(filepath.Join(root, "usr/bin/buildsys")); !os.IsNotExist(err) {
		t.Errorf("after its removal: %v", err)
	}
}

func (r released) rpm(t *testing.T) {
	need.Root(t)
	arch := strings.TrimSpace(toolIn(t, "", "rpm", "--eval", "%{_host_cpu}"))
	file := filepath.Join(r.dir, "buildsys-0.0.0~test.1-1."+arch+".rpm")
	if out := toolIn(t, "", "rpm", "--query", "--package", "--info", file); !strings.Contains(out,
		"Build Host  : buildsys.invalid") {
		t.Errorf("it is\n%s", out)
	}
	root := t.TempDir()
	toolIn(t, "", "rpm", "--root", root, "--initdb")
	toolIn(t, "", "rpm", "--root", root, "--force-debian", "--install", file)
	toolIn(t, "", "rpm", "--root", root, "--verify", "buildsys")
	r.works(t, root)
}

// image loads the image into the engine and runs it. The layout is read as any tool reads it.
func (r released) image(t *testing.T) {
	needEngine(t)
	arch := strings.TrimSpace(toolIn(t, "", "go", "env", "GOARCH"))
	name := "buildsys:" + releaseVersion
	toolIn(t, "", "docker", "load", "--input",
		filepath.Join(r.dir, "buildsys-"+releaseVersion+"-docker-"+arch+".tar"))
	t.Cleanup(func() { toolIn(t, "", "docker", "image", "rm", "--force", name) })
	run := func(args ...string) string {
		return toolIn(t, "", "docker", append([]string{"run", "--rm", "--network", "none"}, args...)...)
	}
	r.says(t, run(name, "version"))
	dir := t.TempDir()
	run("--volume", dir+":/tree", name, "init", "myos")
	if out := run("--volume", dir+"/myos:/tree", name, "plan"); !strings.Contains(out, "kernel") {
		t.Errorf("the plan is\n%s", out)
	}
	layout := t.TempDir()
	toolIn(t, layout, "tar", "--extract", "--file", filepath.Join(r.dir,
		"buildsys-"+releaseVersion+"-oci.tar"))
	var platforms []string
	for _, of := range manifests(t, filepath.Join(layout, "index.json")) {
		nested := filepath.Join(layout, "blobs/sha256", strings.TrimPrefix(of.Digest, "sha256:"))
		for _, m := range manifests(t, nested) {
			platforms = append(platforms, m.Platform.OS+"/"+m.Platform.Architecture)
		}
	}
	if fmt.Sprint(platforms) != "[linux/amd64 linux/arm64]" {
		t.Errorf("the layout has images for %q", platforms)
	}
}

type ociManifest struct {
	Digest   string
	Platform struct{ OS, Architecture string }
}

func manifests(t *testing.T, file string) []ociManifest {
	t.Helper()
	data, err := os.ReadFile(file)
	buildtest.Must(t, err)
	var index struct{ Manifests []ociManifest }
	buildtest.Must(t, json.Unmarshal(data, &index))
	return index.Manifests
}

// bills holds the bills of materials against what the go command says of the binary.
func (r released) bills(t *testing.T) {
	at := filepath.Join(r.dir, "buildsys-"+releaseVersion+"-linux-amd64")
	var want []string
	for line := range strings.Lines(toolIn(t, "", "go", "version", "-m", at)) {
		if words := strings.Fields(line); words[0] == "dep" {
			want = append(want, words[1]+" "+words[2])
		}
	}
	var spdx struct {
		Packages []struct{ Name, VersionInfo string }
	}
	var cyclone struct {
		SpecVersion string
		Components  []struct{ Name, Version string }
	}
	for ending, to := range map[string]any{".spdx.json": &spdx, ".cdx.json": &cyclone} {
		data, err := os.ReadFile(at + ending)
		buildtest.Must(t, err)
		buildtest.Must(t, json.Unmarshal(data, to))
	}
	var a, b []string
	for _, p := range spdx.Packages[2:] { // behind buildsys and Go's library
		a = append(a, p.Name+" "+p.VersionInfo)
	}
	for _, c := range cyclone.Components[1:] {
		b = append(b, c.Name+" "+c.Version)
	}
	if len(want) < 50 || !slices.Equal(a, want) || !slices.Equal(b, want) ||
		cyclone.SpecVersion != "1.6" {
		t.Errorf("the binary has\n%q\nSPDX\n%q\nCycloneDX %s\n%q", want, a, cyclone.SpecVersion, b)
	}
}

// signature checks the provenance with our own verification and with openssl.
func (r released) signature(t *testing.T) {
	out := toolIn(t, "", "../../script/release", "--verify", r.dir, "--public-key", r.public)
	if !strings.Contains(out, "signed by the key") || strings.Contains(out, "NOT") {
		t.Errorf("it says %s", out)
	}
	var envelope struct {
		PayloadType string
		Payload     []byte
		Signatures  []struct{ Sig []byte }
	}
	data, err := os.ReadFile(filepath.Join(r.dir, "buildsys-"+releaseVersion+".intoto.jsonl"))
	buildtest.Must(t, err)
	buildtest.Must(t, json.Unmarshal(data, &envelope))
	dir := t.TempDir()
	signed := fmt.Sprintf("DSSEv1 %d %s %d %s", len(envelope.PayloadType), envelope.PayloadType,
		len(envelope.Payload), envelope.Payload)
	buildtest.Must(t, os.WriteFile(filepath.Join(dir, "signed"), []byte(signed), 0o644))
	buildtest.Must(t, os.WriteFile(filepath.Join(dir, "sig"), envelope.Signatures[0].Sig, 0o644))
	toolIn(t, dir, "openssl", "pkeyutl", "-verify", "-pubin", "-inkey", r.public, "-rawin",
		"-in", "signed", "-sigfile", "sig")
}
