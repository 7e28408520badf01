// The signed variant boots on firmware with its keys enrolled, and a change of anything that is
// read before the kernel runs keeps it from starting.

package e2e

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"buildsys/internal/buildtest/need"
	"buildsys/internal/confined"
	"buildsys/internal/image"
	"buildsys/internal/manifest"
	"buildsys/internal/sbkeys"
	"buildsys/internal/uefi"
	"buildsys/internal/vm"
)

// testProfile is a set of keys of this checkout, made if it is missing: with new ones each time,
// the image would have to be built each time.
const testProfile = "BUILDSYS_SBKEYS_PROFILE=test"

// secureVariant is a signed variant with the changes that must keep it from starting.
type secureVariant struct {
	name    string
	form    image.Form
	tampers []tamper
}

func withGRUB() secureVariant {
	return secureVariant{"qemu-secure", image.Form{InPlaceUpdates: true}, tamperCases}
}

func TestSecureBoot(t *testing.T)        { testSecureBoot(t, "x86_64", withGRUB()) }
func TestSecureBootAarch64(t *testing.T) { testSecureBoot(t, "aarch64", withGRUB()) }

func testSecureBoot(t *testing.T, arch string, v secureVariant) {
	needEngine(t)
	needVM(t, vm.Config{Arch: arch, SecureBoot: &uefi.Certificates{}})
	root, env := repository(t), []string{testProfile}
	keys := filepath.Join(root, "sbkeys", "test")
	if _, err := os.Stat(keys); err != nil {
		buildsys(t, root, env, "keys", "generate").must(t, 0)
	}
	r := buildsys(t, root, env, "build-variant", "--arch", arch, v.name)
	r.must(t, 0)
	t.Log(r.stderr)
	dir := strings.TrimSpace(r.stdout)
	noSecret(t, keys, dir, filepath.Join(root, "build/logs", arch),
		filepath.Join(root, "build/state", arch))

	r = buildsys(t, root, env, "boot", "--arch", arch, "--accel", "tcg", "--check",
		"--timeout", bootLimit.String(), v.name)
	r.must(t, 0)
	console, err := os.ReadFile(filepath.Join(root, "build/logs", arch, "boot-"+v.name+".log"))
	if err != nil || !bytes.Contains(console, []byte("UEFI Secure Boot is enabled")) {
		t.Errorf("the kernel does not say that Secure Boot is on (%v):\n%s", err, console)
	}
	t.Logf("untouched:\n%s", keyLines(string(console)))

	d := openSecure(t, arch, dir, keys, v)
	if err := d.readBack(t, dir); err != nil {
		t.Errorf("untouched, read back: %v", err)
	}
	for _, c := range v.tampers {
		t.Run(c.name, func(t *testing.T) {
			patches := c.change(t, d)
			for _, p := range patches {
				d.write(t, p.at, p.new)
				defer d.write(t, p.at, p.old)
			}
			if err := d.readBack(t, dir); err == nil || !strings.Contains(err.Error(), c.readBack) {
				t.Errorf("read back: %v, want %q", err, c.readBack)
			}
			says := d.refused(t, c.want)
			t.Logf("refused:\n%s", says)
		})
	}
}

// noSecret fails the test if a private key of the profile is in a file below one of the
// directories.
func noSecret(t *testing.T, keys string, dirs ...string) {
	t.Helper()
	var secrets [][]byte
	for _, name := range sbkeys.Private() {
		data, err := os.ReadFile(filepath.Join(keys, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // not every profile has all
		}
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, bytes.Split(data, []byte("\n"))[5]) // a line in the middle of the key
	}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(path)
			for _, secret := range secrets {
				if bytes.Contains(data, secret) {
					t.Errorf("%s holds a private key", path)
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// keyLines returns the lines of a console that show how far the start came.
func keyLines(console string) string {
	var lines []string
	escapes := regexp.MustCompile(`\x1b\[[0-9;=]*[A-Za-z]`)
	wanted := regexp.MustCompile(`BdsDxe|error:|Not started|Secure Boot|Linux version|READY|verified`)
	for line := range strings.Lines(escapes.ReplaceAllString(console, "")) {
		if line = strings.TrimSpace(line); wanted.MatchString(line) {
			lines = append(lines, "  "+line)
		}
	}
	return strings.Join(lines, "\n")
}

// secureDisk is the OS disk of the signed variant, expanded, with the positions of its contents.
type secureDisk struct {
	secureVariant
	arch      string
	file      string
	firmware  uefi.Certificates
	keys      string
	esp, boot []byte // the partitions
	at        struct{ esp, boot int64 }
	files     map[string][]byte // files of BOOT if there is any; the program on the ESP as "program"
}

type patch struct {
	at       int64 // on the disk
	old, new []byte
}

func openSecure(t *testing.T, arch, dir, keys string, v secureVariant) *secureDisk {
	t.Helper()
	images, err := diskImages(dir)
	if err != nil || len(images) == 0 {
		t.Fatalf("images %q, %v", images, err)
	}
	d := &secureDisk{secureVariant: v, arch: arch, keys: keys, files: map[string][]byte{}}
	for _, one := range images {
		if !strings.HasSuffix(one, "-data.img.lz4") {
			d.file = expand(t, one)
		}
	}
	if d.firmware, err = sbkeys.Certificates(confined.Path{Name: keys}); err != nil {
		t.Fatal(err)
	}
	f, entries := openDisk(t, d.file)
	for _, e := range entries {
		part := make([]byte, e.Size)
		switch e.Label {
		case "SKIFF-BOOT-A":
			d.boot, d.at.boot = part, e.Start
		case "EFI-SYSTEM":
			d.esp, d.at.esp = part, e.Start
		default:
			continue
		}
		if _, err := f.ReadAt(part, e.Start); err != nil {
			t.Fatal(err)
		}
	}
	d.readFiles(t)
	return d
}

func (d *secureDisk) readFiles(t *testing.T) {
	t.Helper()
	if !d.form.UKI {
		boot, err := image.OpenExt4(bytes.NewReader(d.boot), int64(len(d.boot)))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"vmlinuz", "vmlinuz.sig", "grub/grub.cfg"} {
			if d.files[name], err = boot.ReadFile(name, 1<<30); err != nil {
				t.Fatal(err)
			}
		}
	}
	esp, err := image.OpenFAT(bytes.NewReader(d.esp), int64(len(d.esp)))
	if err != nil {
		t.Fatal(err)
	}
	files, err := esp.Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasSuffix(strings.ToLower(f.Name), ".efi") {
			if d.files["program"], err = esp.Read(f, 1<<30); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func (d *secureDisk) write(t *testing.T, at int64, data []byte) {
	t.Helper()
	f, err := os.OpenFile(d.file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(data, at); err != nil {
		t.Fatal(err)
	}
}

// readBack checks the disk as a build does before it keeps the image.
func (d *secureDisk) readBack(t *testing.T, dir string) error {
	t.Helper()
	version, _, _ := strings.Cut(filepath.Base(dir), "-")
	layout, err := image.ForVariant(manifest.ImageLayout{OSImageSizeGiB: 1, DataImageSizeGiB: 1,
		PartitionPlan: "split"}, d.form,
		image.Identity{Name: "skiff", Variant: d.name, Arch: d.arch, Version: version})
	if err != nil {
		t.Fatal(err)
	}
	public, err := os.ReadFile(filepath.Join(d.keys, sbkeys.ConfigPublic))
	if err != nil {
		t.Fatal(err)
	}
	return image.CheckFile(t.Context(), d.file, "", layout, image.OSDisk,
		&image.Signing{DB: d.firmware.DB, Config: public})
}

// refused boots and fails the test unless the console has the wanted text. It returns the console's
// text.
func (d *secureDisk) refused(t *testing.T, want string) string {
	t.Helper()
	var console bytes.Buffer
	r, err := vm.Check(t.Context(), vm.Config{Arch: d.arch, Image: d.file, SecureBoot: &d.firmware},
		vm.CheckOptions{
			Fail:    regexp.MustCompile(`Kernel panic|Not started:|Access Denied`),
			Timeout: bootLimit,
			Console: &console,
		})
	says := keyLines(console.String())
	if notReady, ok := errors.AsType[*vm.NotReadyError](err); !ok || r.Ready ||
		!errors.Is(notReady.Err, vm.ErrPanic) {
		t.Fatalf("%+v, %v; want a refusal:\n%s", r, err, says)
	}
	if !strings.Contains(says, want) || strings.Contains(says, "Linux version") {
		t.Errorf("the console does not say %q:\n%s", want, says)
	}
	return says
}

// find returns the position on the disk of bytes that are exactly once in a partition.
func find(t *testing.T, part []byte, start int64, what []byte) int64 {
	t.Helper()
	i := bytes.Index(part, what)
	if i < 0 || bytes.Contains(part[i+1:], what) {
		t.Fatalf("%.20q... is not in the partition exactly once", what)
	}
	return start + int64(i)
}

// tamper is a change of a signed image, and what the console and reading it back say of it.
type tamper struct {
	name, want, readBack string
	change               func(*testing.T, *secureDisk) []patch
}

var tamperCases = []tamper{
	{"kernel", "error: bad signature.", "the kernel: the program was changed after it was signed",
		changeKernel},
	{"kernel with the key of GRUB", "error: cannot load image.",
		"the kernel: the program was changed after it was signed", changeKernelAndSign},
	{"configuration", "Not started:", "grub/grub.cfg: GRUB would not read it", changeConfig},
	{"unsigned GRUB", "Access Denied", "firmware would not start it: it is not signed",
		removeSignature},
}

// changeKernel flips one bit in the middle of the kernel.
func changeKernel(t *testing.T, d *secureDisk) []patch {
	kernel := d.files["vmlinuz"]
	middle := kernel[len(kernel)/2:]
	return []patch{{find(t, d.boot, d.at.boot, middle[:64]), middle[:1], []byte{middle[0] ^ 1}}}
}

// changeKernelAndSign makes GRUB content with the kernel, so that only the firmware is left to
// notice.
func changeKernelAndSign(t *testing.T, d *secureDisk) []patch {
	need.Program(t, "openssl")
	kernel, old := bytes.Clone(d.files["vmlinuz"]), d.files["vmlinuz.sig"]
	file, i := filepath.Join(t.TempDir(), "vmlinuz"), len(kernel)/2
	// until the signature is as long as the old one: leading zeros are not written
	for bit := range 8 {
		kernel[i] = d.files["vmlinuz"][i] ^ 1<<bit
		if err := os.WriteFile(file, kernel, 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("bash", "-euo", "pipefail", "-c", `source tools/lib/prelude; source tools/disk/signhelper
			keys="$1" secrets="$1" work="$3"; sign_file "$2"`, "sign", d.keys, file, t.TempDir())
		cmd.Dir = repository(t)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		signature, err := os.ReadFile(file + ".sig")
		if err != nil {
			t.Fatal(err)
		}
		if len(signature) == len(old) {
			return []patch{
				{find(t, d.boot, d.at.boot, d.files["vmlinuz"][i:i+64]), d.files["vmlinuz"][i : i+1],
					kernel[i : i+1]},
				{find(t, d.boot, d.at.boot, old), old, signature},
			}
		}
	}
	t.Fatal("no signature is as long as the old one")
	return nil
}

func changeConfig(t *testing.T, d *secureDisk) []patch {
	old := []byte("loglevel=5")
	return []patch{{find(t, d.boot, d.at.boot, old), old, []byte("loglevel=7")}}
}

// removeSignature removes the entry for signatures from the headers of GRUB's program.
func removeSignature(t *testing.T, d *secureDisk) []patch {
	program := d.files["program"]
	pe := int(program[60]) | int(program[61])<<8
	entry := pe + 24 + 112 + 4*8
	old := program[entry : entry+8]
	return []patch{{find(t, d.esp, d.at.esp, program[:512]) + int64(entry), old, make([]byte, 8)}}
}
