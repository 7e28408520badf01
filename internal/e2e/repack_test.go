// An image made from an earlier one equals, to the byte, the one that its packages would give.

package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// oddSpec is a package with everything that copying a file system can lose.
const oddSpec = `Name: %{_cross_os}odd
Version: 1.0
Release: 1
Summary: Files of every kind
License: MIT
%description
%{summary}.
%prep
%build
%install
d=%{buildroot}%{_cross_rootdir}/odd
mkdir -p "$d/many" "$d/a b"
head -c 70000 /dev/zero | tr '\0' x >$d/file
ln $d/file $d/name
ln $d/file "$d/a b/name"
ln -s file $d/link
ln -s /$(seq -s / 40) $d/long
ln -s nowhere $d/many/dangling
(cd $d/many && seq -f a-rather-long-name-%g 1500 | xargs touch)
touch $d/empty $d/private $d/suid $d/able
truncate -s 3M $d/hole
echo end >>$d/hole
mkfifo $d/fifo
touch $d/old
%files
%{_cross_rootdir}/odd
%attr(600,root,root) %{_cross_rootdir}/odd/private
%attr(4755,root,root) %{_cross_rootdir}/odd/suid
%caps(cap_net_raw=ep) %{_cross_rootdir}/odd/able
`

// certificates returns n self-signed certificates in PEM.
func certificates(t *testing.T, n int64) string {
	t.Helper()
	var out bytes.Buffer
	for i := range n {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		ca := &x509.Certificate{SerialNumber: big.NewInt(i + 1), Subject: pkix.Name{CommonName: "test"},
			NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

func TestRepack(t *testing.T) {
	root := imageTree(t)
	write(t, root, "packages/odd/Cargo.toml", "[package]\nname = \"odd\"\n")
	write(t, root, "packages/odd/odd.spec", oddSpec)
	for _, v := range []string{"try-raw", "try-qcow"} {
		manifest := "variants/" + v + "/Cargo.toml"
		text, err := os.ReadFile(filepath.Join(root, manifest))
		if err != nil {
			t.Fatal(err)
		}
		write(t, root, manifest, strings.Replace(string(text), `["tiny"`, `["odd", "tiny"`,
			1)+"odd = { path = \"../../packages/odd\" }\n")
	}
	write(t, root, "certs.pem", certificates(t, 2))
	write(t, root, "root.json", `{"signed": {"_type": "root"}}`)
	files := []string{"--cacerts-bundle-override", "certs.pem", "--publish-repo-root-json",
		"root.json"}

	t.Run("ext4", func(t *testing.T) { testRepackRaw(t, root, files) })
	t.Run("erofs", func(t *testing.T) {
		first := buildImage(t, root, "x86_64", "try-qcow")
		same(t, first, repack(t, root, "try-qcow", "--out", "same"))
	})
	t.Run("uki", func(t *testing.T) {
		first := buildImage(t, root, "x86_64", "try-uki")
		same(t, first, repack(t, root, "try-uki", "--out", "uki"))
	})
}

func testRepackRaw(t *testing.T, root string, files []string) {
	first := buildImage(t, root, "x86_64", "try-raw")
	before, err := os.ReadFile(filepath.Join(first, "tiny-try-raw-x86_64-1.2.3-abc.img.lz4"))
	if err != nil {
		t.Fatal(err)
	}
	// A rejected file leaves the image as it was.
	write(t, root, "garbage.pem", strings.Replace(certificates(t, 2), "\nMI", "\n*I", 1))
	write(t, root, "targets.json", `{"signed": {"_type": "targets"}}`)
	for _, bad := range []struct{ flag, file, message string }{
		{"--cacerts-bundle-override", "garbage.pem", "BUILDSYS_CACERTS_BUNDLE_OVERRIDE has"},
		{"--cacerts-bundle-override", "root.json", "BUILDSYS_CACERTS_BUNDLE_OVERRIDE has no certificate"},
		{"--publish-repo-root-json", "targets.json", "PUBLISH_REPO_ROOT_JSON is not the root metadata"},
		{"--version-image", "1.2.4",
			"it is of another OS, variant, architecture or version than try-raw 1.2.4"},
	} {
		buildsys(t, root, nil, "repack-variant", "try-raw", "--arch", "x86_64", bad.flag,
			bad.file).must(t, 3, bad.message)
	}
	if after, err := os.ReadFile(filepath.Join(first,
		"tiny-try-raw-x86_64-1.2.3-abc.img.lz4")); err != nil || !bytes.Equal(before, after) {
		t.Errorf("a refused file changed the image (%v)", err)
	}

	out := repack(t, root, "try-raw", append(files, "--out", "changed")...)
	disk := expand(t, filepath.Join(out, "tiny-try-raw-x86_64-1.2.3-abc.img.lz4"))
	parts := splitDisk(t, disk)
	verify(t, disk, parts)
	for path, file := range map[string]string{
		"/usr/share/factory/etc/pki/tls/certs/ca-bundle.crt": "certs.pem",
		"/usr/share/updog/root.json":                         "root.json",
	} {
		copied := filepath.Join(t.TempDir(), "copy")
		tool(t, "debugfs", "-R", "dump "+path+" "+copied, parts["TINY-ROOT-A"])
		tool(t, "cmp", copied, filepath.Join(root, file))
	}
	for path, want := range map[string]string{
		"private": "Mode:  0600", "name": "Links: 3", "able": "security.capability", "fifo": "Type: FIFO",
		"suid": "04755",
	} {
		if got := tool(t, "debugfs", "-R", "stat /odd/"+path,
			parts["TINY-ROOT-A"]); !strings.Contains(got, want) {
			t.Errorf("/odd/%s lacks %q:\n%s", path, want, got)
		}
	}
	r := buildsys(t, root, nil, append([]string{"build-variant", "--arch", "x86_64", "try-raw"},
		files...)...)
	r.must(t, 0)
	same(t, strings.TrimSpace(r.stdout), out)
}

// repack makes an image from the newest one of a variant and returns its outputs' directory.
func repack(t *testing.T, root, variant string, args ...string) string {
	t.Helper()
	r := buildsys(t, root, nil, append([]string{"repack-variant", variant, "--arch", "x86_64"},
		args...)...)
	r.must(t, 0)
	if r.code != 0 {
		t.FailNow()
	}
	return strings.TrimSpace(r.stdout)
}

// same fails the test unless two directories have the same files.
func same(t *testing.T, first, second string) {
	t.Helper()
	if a, b := outputs(t, first, ""), outputs(t, second, ""); !slices.Equal(a, b) {
		t.Errorf("%q from packages, %q from the earlier image", a, b)
	}
	for _, name := range outputs(t, first, "") {
		tool(t, "cmp", filepath.Join(first, name), filepath.Join(second, name))
	}
}
