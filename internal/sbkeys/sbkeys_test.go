// Other programs read what Generate makes, and tools/disk/signhelper signs with it.

package sbkeys

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/buildtest/need"
	"buildsys/internal/confined"
	"buildsys/internal/pgp"
)

// profile is a profile that tests share and do not change: making one takes seconds of processor
// time.
var profile string

func TestMain(m *testing.M) {
	// The process ID is not in the name: another process with that number may have been killed and
	// left its directory.
	dir, err := os.MkdirTemp("", "buildsys-sbkeys-test-")
	if err == nil {
		profile = filepath.Join(dir, "sbkeys", "local")
		err = Generate(confined.Path{Name: profile}, "Test OS")
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func TestGenerate(t *testing.T) {
	dir := profile
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		secret := strings.Contains(string(data), "PRIVATE")
		if secret != strings.HasSuffix(entry.Name(), ".key") || secret && info.Mode() != 0o600 {
			t.Errorf("%s: secret %v, mode %v", entry.Name(), secret, info.Mode())
		}
	}
	if len(entries) != 3*4+2+2 {
		t.Errorf("%d files: %v", len(entries), entries)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v; want a directory only for its owner", info.Mode(), err)
	}
	at := confined.Path{Name: dir}
	if public, err := (Scheme{}).ReadPublic(at); err != nil || len(public) != 3 {
		t.Errorf("%d public files, %v", len(public), err)
	}
	for _, name := range (Scheme{}).Secret() {
		if err := at.Join(name).Check(); err != nil {
			t.Error(err)
		}
	}
	if _, err := Certificates(at); err != nil {
		t.Error(err)
	}
	before, err := os.ReadFile(filepath.Join(dir, "PK.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := Generate(at, "Test OS"); !errors.Is(err, ErrExists) {
		t.Errorf("a second time: %v, want ErrExists", err)
	}
	if after, err := os.ReadFile(filepath.Join(dir, "PK.key")); err != nil ||
		string(after) != string(before) {
		t.Errorf("the keys were overwritten (%v)", err)
	}
	if rest, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(rest) != 1 {
		t.Errorf("left behind: %v, %v", rest, err)
	}
}

func TestMissing(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(profile)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, CodeSignCert)); err != nil {
		t.Fatal(err)
	}
	_, err := (Scheme{}).ReadPublic(confined.Path{Name: dir})
	missing, ok := errors.AsType[*MissingError](err)
	if !ok || strings.Join(missing.Files, " ") != CodeSignCert {
		t.Errorf("without %s: %v", CodeSignCert, err)
	}
	_, err = Certificates(confined.Path{Name: t.TempDir()})
	if _, ok := errors.AsType[*MissingError](err); !ok {
		t.Errorf("no certificates in an empty directory: %v, want a *MissingError", err)
	}
}

// The profiles of a tree are directories of the tree, and their files no names of other files.
func TestProfileOfATree(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	for _, dir := range []string{"sbkeys/file", "other"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{
		"sbkeys/linked": profile, "sbkeys/inside": "../other", "sbkeys/out": outside, "keys": outside,
		"sbkeys/file/" + DBCert: filepath.Join(profile, DBCert),
	} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"linked", "file"} {
		at := confined.Path{Root: root, Name: "sbkeys/" + name}
		if _, err := (Scheme{}).ReadPublic(at); err == nil ||
			!errors.Is(err, confined.ErrLink) && name == "linked" {
			t.Errorf("%s was read: %v", name, err)
		}
	}
	for _, name := range []string{"sbkeys/inside", "sbkeys/out", "keys/new", "../new"} {
		if err := Generate(confined.Path{Root: root, Name: name}, "Test OS"); err == nil {
			t.Errorf("%s: keys were made", name)
		}
	}
	for _, dir := range []string{outside, filepath.Join(root, "other")} {
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%s has %v, %v", dir, left, err)
		}
	}
	new := confined.Path{Root: root, Name: "sbkeys/new"}
	if err := Generate(new, "Test OS"); err != nil {
		t.Error(err)
	}
	if _, err := (Scheme{}).ReadPublic(new); err != nil {
		t.Error(err)
	}
}

// TestChain checks with OpenSSL that the certificates form a chain.
func TestChain(t *testing.T) {
	need.Programs(t, "openssl")
	dir := profile
	run(t, "openssl", "verify", "-CAfile", filepath.Join(dir, DBCert),
		filepath.Join(dir, CodeSignCert))
	if out, err := exec.Command("openssl", "verify", "-CAfile", filepath.Join(dir, "KEK.crt"),
		filepath.Join(dir, CodeSignCert)).CombinedOutput(); err == nil {
		t.Errorf("KEK is accepted as the issuer of code-sign: %s", out)
	}
}

// TestDetachedSignature checks with GnuPG that the public key and its self-signature are right, and
// that tools/disk/signhelper signs with the key.
func TestDetachedSignature(t *testing.T) {
	need.Programs(t, "bash", "openssl", "gpg", "gpgv")
	dir, file := profile, filepath.Join(t.TempDir(), "grub.cfg")
	home := t.TempDir()
	out := run(t, "gpg", "--homedir", home, "--batch", "--no-autostart", "--import",
		filepath.Join(dir, ConfigPublic))
	if !strings.Contains(out, `public key "Test OS boot configuration signing" imported`) {
		t.Errorf("gpg says:\n%s", out)
	}
	for _, size := range []int{0, 1, 100_000} {
		if err := os.WriteFile(file, []byte(strings.Repeat("x", size)), 0o644); err != nil {
			t.Fatal(err)
		}
		sign(t, dir, "sign_file", file)
		out = run(t, "gpgv", "--keyring", filepath.Join(dir, ConfigPublic), file+".sig", file)
		if !strings.Contains(out, "Good signature") {
			t.Errorf("gpgv says:\n%s", out)
		}
		public, signature := readFile(t, filepath.Join(dir, ConfigPublic)), readFile(t, file+".sig")
		if err := pgp.Verify(public, readFile(t, file), signature); err != nil {
			t.Error(err)
		}
		if err := pgp.Verify(public, []byte("other"), signature); err == nil ||
			!strings.Contains(err.Error(), "does not match the file") {
			t.Errorf("another file: %v", err)
		}
		if err := os.WriteFile(file, []byte(strings.Repeat("x", size)+"y"), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("gpgv", "--keyring", filepath.Join(dir, ConfigPublic), file+".sig",
			file).CombinedOutput(); err == nil {
			t.Errorf("gpgv accepts a changed file:\n%s", out)
		}
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// sign runs a function of tools/disk/signhelper as rpm2img does.
func sign(t *testing.T, dir, function, file string) {
	t.Helper()
	run(t, "bash", "-euo", "pipefail", "-c", `source ../../tools/lib/prelude; source ../../tools/disk/imghelper
		source ../../tools/disk/signhelper; source ../../tools/disk/boot
		keys="$1" secrets="$1" work="$4" VARIANT=test; require_keys; "$2" "$3"`,
		"sign", dir, function, file, t.TempDir())
}

func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
	return string(out)
}
