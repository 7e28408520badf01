// payload_test: the contents of files are read as rpmbuild has written them.

package rpm

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/buildtest/need"
)

const contentsSpec = `Name: thing
Version: 1.5
Release: 2
Epoch: 3
Summary: a thing
License: MIT
%description
A thing.
%install
mkdir -p %{buildroot}/usr/share/licenses/thing %{buildroot}/usr/bin
echo text >%{buildroot}/usr/share/licenses/thing/COPYING
cp PROGRAM %{buildroot}/usr/bin/program
ln %{buildroot}/usr/bin/program %{buildroot}/usr/bin/hard
ln -s hard %{buildroot}/usr/bin/soft
: >%{buildroot}/usr/bin/empty
%files
%license /usr/share/licenses/thing/COPYING
/usr/bin/*
%ghost /usr/share/licenses/thing/ghost
`

const withProgram = "w1.zstdio"

// buildContents makes an RPM whose payload is written in a form. With withProgram its program is
// this test's.
func buildContents(t *testing.T, payload string) string {
	t.Helper()
	need.Program(t, "rpmbuild")
	program := "/bin/true"
	if payload == withProgram { // to compress it in other forms takes seconds
		var err error
		if program, err = os.Executable(); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "thing.spec")
	text := strings.ReplaceAll(contentsSpec, "PROGRAM", program)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("rpmbuild", "-bb", "--target", "noarch", "--define", "_topdir "+dir,
		"--define", "debug_package %{nil}", "--define", "__os_install_post %{nil}", "--define",
		"_binary_payload "+payload, "--define", "_rpmfilename thing.rpm", "--define",
		"_binaries_in_noarch_packages_terminate_build 0", "--define", "__strip /bin/true",
		"--define", "_missing_build_ids_terminate_build 0", file)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("rpmbuild: %v\n%s", err, out)
	}
	return filepath.Join(dir, "RPMS", "thing.rpm")
}

func TestReadContents(t *testing.T) {
	for _, payload := range []string{withProgram, "w1.gzdio", "w1.xzdio"} {
		t.Run(payload, func(t *testing.T) {
			data, err := os.ReadFile(buildContents(t, payload))
			if err != nil {
				t.Fatal(err)
			}
			info, h, c, err := ReadContents(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if h.First(1003) != "3" || info.Name != "thing" {
				t.Errorf("epoch %q of %s", h.First(1003), info.Name)
			}
			sum := sha1.Sum([]byte("text\n"))
			found := 0
			for _, f := range info.Files {
				if f.License && !f.Ghost {
					found++
					if c.Texts[f.SHA256] != "text\n" || c.SHA1[f.SHA256] != hex.EncodeToString(sum[:]) {
						t.Errorf("%s: %q", f.Path, c.Texts[f.SHA256])
					}
				}
			}
			if found != 1 || len(c.SHA1) != 3 || len(c.Texts) != 1 { // hard links have one content
				t.Errorf("%d licences, %d contents, %d texts", found, len(c.SHA1), len(c.Texts))
			}
			if payload == withProgram && (len(c.Programs) == 0 ||
				c.Programs[0].Main.Path != "buildsys") {
				t.Errorf("programs: %v", c.Programs)
			}
			for _, n := range []int{100, len(data) / 2, len(data) - 100} {
				if _, _, _, err := ReadContents(bytes.NewReader(data[:n])); err == nil {
					t.Errorf("%d of %d bytes are read without an error", n, len(data))
				}
			}
		})
	}
}

// Contents that are not those of the header are refused.
func TestContentsOfAnotherRPM(t *testing.T) {
	info := Info{Name: "a", Files: []File{{Path: "/a", Mode: 0o100644,
		SHA256: strings.Repeat("ab", 32)}}}
	c := Contents{SHA1: map[string]string{}}
	if err := c.check(info); err == nil || !strings.Contains(err.Error(), "not those") {
		t.Errorf("the error is %v", err)
	}
	info.Files[0].SHA256 = ""
	if err := c.check(info); err == nil || !strings.Contains(err.Error(), "no SHA-256") {
		t.Errorf("the error is %v", err)
	}
}
