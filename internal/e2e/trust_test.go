// What packages, images and trees of others hold does not reach the keys, on a real engine.

package e2e

import (
	"bytes"
	le "encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/buildtest/need"
)

// linksSpec makes an RPM for each way to have a step of an image read or write through a link.
const linksSpec = `Name: %{_cross_os}links
Version: 1.0
Release: 1
Summary: Links
License: MIT
%description
%{summary}.
%package esp
Summary: A key as a file for the firmware
%description esp
%{summary}.
%package boot
Summary: A key as a file beside the kernel
%description boot
%{summary}.
%package case
Summary: Names that differ in case only
%description case
%{summary}.
%package inventory
Summary: The inventory of the image as a program of the step
%description inventory
%{summary}.
%package modules
Summary: A list of modules as a program of the step
%description modules
%{summary}.
%prep
%build
%install
r=%{buildroot}%{_cross_rootdir}
for d in efi efi-secure; do
  mkdir -p $r/boot/$d/EFI/BOOT
  ln -s /host/secrets/code-sign.key $r/boot/$d/EFI/BOOT/readme.txt
done
ln -s /host/secrets/config-sign.key $r/boot/notes
mkdir $r/boot/efi/EFI/Boot
touch $r/boot/efi/EFI/Boot/x
mkdir -p $r/usr/share $r/usr/lib/modules/1
ln -s /usr/local/bin $r/usr/share/$(echo %{_cross_os} | sed 's/-$//')
ln -s /usr/local/bin/osslsigncode $r/usr/lib/modules/1/modules.dep
%files esp
%{_cross_rootdir}/boot/efi/EFI/BOOT/readme.txt
%{_cross_rootdir}/boot/efi-secure/EFI/BOOT/readme.txt
%files case
%{_cross_rootdir}/boot/efi/EFI/Boot
%files boot
%{_cross_rootdir}/boot/notes
%files inventory
%{_cross_rootdir}/usr/share/*
%files modules
%{_cross_rootdir}/usr/lib/modules
`

// TestLinksInPackages checks that the step of an image, which may have keys at hand, follows no
// link of a package.
func TestLinksInPackages(t *testing.T) {
	needEngine(t)
	root := imageTree(t)
	write(t, root, "packages/links/Cargo.toml", "[package]\nname = \"links\"\n")
	write(t, root, "packages/links/links.spec", linksSpec)
	const file = "variants/try-raw/Cargo.toml"
	data, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	buildsys(t, root, nil, "keys", "generate").must(t, 0)
	for name, want := range map[string]string{
		"esp": "/EFI/BOOT/readme.txt, which is no file and no directory",
		"case": "install /boot/efi/EFI/BOOT and /boot/efi/EFI/Boot, which have the same name on the " +
			"EFI system partition",
		"boot":      "have /boot/notes, which is no file and no directory",
		"inventory": "as a symbolic link or a special file: it must be a file or directory",
		"modules":   "/usr/lib/modules/1/modules.dep as a symbolic link",
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(string(data), `["tiny"]`, `["tiny", "links-`+name+`"]
[package.metadata.build-variant.image-features]
uefi-secure-boot = `+strconv.FormatBool(name != "case"), 1)
			write(t, root, file, text+"links = { path = \"../../packages/links\" }\n")
			r := buildsys(t, root, nil, "build-variant", "--arch", "x86_64", "try-raw")
			r.must(t, 3, want)
			if made, err := os.ReadDir(filepath.Join(root, "build/images")); err == nil {
				t.Errorf("there is an image: %v", made)
			}
		})
	}
	t.Run("names", func(t *testing.T) {
		write(t, root, "packages/taker/Cargo.toml", "[package]\nname = \"taker\"\n")
		write(t, root, "packages/taker/taker.spec", takerSpec)
		write(t, root, file, string(data)+"taker = { path = \"../../packages/taker\" }\n")
		r := buildsys(t, root, nil, "build-variant", "--arch", "x86_64", "try-raw")
		r.must(t, 3, "an RPM of the package taker obsoletes", "-plain, and the RPM of that name is of "+
			"the package tiny")
	})
}

// takerSpec drives an RPM out of an image that does not ask for any of its own.
const takerSpec = `Name: %{_cross_os}taker
Version: 1
Release: 1
Summary: What takes the place of others
License: MIT
Obsoletes: %{_cross_os}tiny-plain < 99
%description
%{summary}.
%files
`

// TestUnpackedImages checks that what repack-variant unpacks stays in its directory: an image can
// list a name twice, first as a link, and make its root a link.
func TestUnpackedImages(t *testing.T) {
	script := filepath.Join(repository(t), "tools/repack/unpack-ext4")
	python := need.Program(t, "python3")
	unpack := func(t *testing.T, file string) (dir, out string) {
		dir = filepath.Join(t.TempDir(), "out")
		text, _ := exec.CommandContext(t.Context(), python, script, file, "0", dir).CombinedOutput()
		return dir, string(text)
	}
	tree, victim := t.TempDir(), t.TempDir()
	buildtest.Must(t, os.Symlink(victim, filepath.Join(tree, "name1")))
	write(t, tree, "name2/openssl", "evil")
	file := filepath.Join(t.TempDir(), "fs")
	buildtest.Must(t, os.WriteFile(file, nil, 0o644))
	buildtest.Must(t, os.Truncate(file, 16<<20))
	tool(t, "mkfs.ext4", "-q", "-O", "^metadata_csum,^dir_index", "-d", tree, file)

	dir, out := unpack(t, file)
	data, err := os.ReadFile(filepath.Join(dir, "name2/openssl"))
	if err != nil || string(data) != "evil" || out != "" {
		t.Fatalf("a sound file system: %q, %v, %s", data, err, out)
	}
	image, err := os.ReadFile(file)
	buildtest.Must(t, err)
	for name, change := range map[string]func([]byte) []byte{
		"a name twice": func(b []byte) []byte {
			return bytes.Replace(b, []byte("name2"), []byte("name1"), 1)
		},
		"a root that is a link": func(b []byte) []byte {
			b = bytes.Clone(b)
			table := int(le.LittleEndian.Uint32(b[blockSize(b)*(1+firstBlock(b))+8:])) * blockSize(b)
			inode := b[table+int(le.LittleEndian.Uint16(b[1024+0x58:])):] // of number 2
			le.LittleEndian.PutUint16(inode, 0o120777)
			le.LittleEndian.PutUint32(inode[4:], uint32(len(victim)))
			le.LittleEndian.PutUint32(inode[0x20:], 0) // no extents
			copy(inode[0x28:], victim[:min(len(victim), 59)])
			return b
		},
	} {
		buildtest.Must(t, os.WriteFile(file, change(image), 0o644))
		if dir, out := unpack(t, file); !strings.Contains(out, "cannot be copied") {
			t.Errorf("%s: unpacked to %s: %s", name, dir, out)
		}
		if left, err := os.ReadDir(victim); err != nil || len(left) > 0 {
			t.Errorf("%s: outside there is %v, %v", name, left, err)
		}
	}
}

// blockSize and firstBlock are fields of the superblock of an ext4 file system.
func blockSize(image []byte) int {
	return 1024 << le.LittleEndian.Uint32(image[1024+0x18:])
}

func firstBlock(image []byte) int { return int(le.LittleEndian.Uint32(image[1024+0x14:])) }

// TestStepLimits checks, on an engine, that a package that runs for ever or leaves a large hole is
// stopped, and that the engine stops with it.
func TestStepLimits(t *testing.T) {
	needEngine(t)
	root := writeTree(t,
		pkg{name: "endless", script: "touch %{buildroot}/endless; while :; do sleep 1; done"},
		pkg{name: "good"})
	r := buildsys(t, root, nil, "build-package", "--step-timeout", "20s", "endless", "good")
	r.must(t, 3, "endless failed", "it ran for more than 20s (--step-timeout)",
		"1 of 2 steps done, 1 failed")
	large := writeTree(t, pkg{name: "large", script: "seq 9999999 >%{buildroot}/large"})
	r = buildsys(t, large, nil, "build-package", "--step-output", "1M", "large")
	r.must(t, 3, "more than 1 MiB (--step-output)")
	if made, err := os.ReadDir(filepath.Join(large, "build/rpms/x86_64")); err == nil {
		t.Errorf("there are %v", made)
	}
}
