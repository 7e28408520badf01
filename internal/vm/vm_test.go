package vm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pierrec/lz4/v4"

	"buildsys/internal/buildtest/need"
	"buildsys/internal/uefi"
)

// What the test guest does after it has printed its text, as x86 machine code in real mode. It runs
// from the boot sector.
var (
	guestHang = []byte{0xf4, 0xeb, 0xfd} // hlt; jmp hlt
	// out 64h, FEh: the keyboard controller's reset line
	guestReset = append([]byte{0xb0, 0xfe, 0xe6, 0x64}, guestHang...)
	// out 604h, 2000h: ACPI soft off on q35
	guestOff = append([]byte{0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef}, guestHang...)
	// guestObey waits for the power button, whose status bit is in 600h, and switches off.
	guestObey = append([]byte{0xba, 0x00, 0x06, 0xed, 0xf6, 0xc4, 0x01, 0x74, 0xfa}, guestOff...)
	// guestWrite runs before the text: int 13h overwrites sector 2 of the disk with the boot
	// sector. It hangs if that fails.
	guestWrite = append([]byte{0xb8, 0x01, 0x03, 0xbb, 0x00, 0x7c, 0xb9, 0x02, 0x00, 0xba, 0x80, 0x00,
		0xcd, 0x13, 0x73, 0x03}, guestHang...)
)

// guest writes a disk of 1 MiB that boots with a BIOS. It arms the power button (602h), runs
// before, prints text on the first serial port, and runs after.
func guest(t *testing.T, before []byte, text string, after []byte) string {
	t.Helper()
	// cli; ds = es = 0
	start := []byte{0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0xba, 0x02, 0x06, 0xb8, 0x00, 0x01, 0xef}
	code := append(start, before...)
	print := []byte{
		0xbe, 0, 0, // mov si, text
		0xac, 0x84, 0xc0, 0x74, 0x12, // next: lodsb; test al, al; jz done
		0x88, 0xc3, 0xba, 0xfd, 0x03, // mov bl, al; mov dx, 3fdh
		0xec, 0xa8, 0x20, 0x74, 0xfb, // wait: in al, dx; test al, 20h; jz wait
		0xba, 0xf8, 0x03, 0x88, 0xd8, 0xee, // mov dx, 3f8h; mov al, bl; out dx, al
		0xeb, 0xe9, // jmp next
	}
	address := 0x7c00 + len(code) + len(print) + len(after)
	print[1], print[2] = byte(address), byte(address>>8)
	code = slices.Concat(code, print, after, []byte(text), []byte{0})
	if len(code) > 440 {
		t.Fatalf("guest has %d bytes, which do not fit into a boot sector", len(code))
	}
	img := make([]byte, 1<<20)
	copy(img, code)
	img[510], img[511] = 0x55, 0xaa
	file := filepath.Join(t.TempDir(), "guest, with comma.img")
	if err := os.WriteFile(file, img, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// config returns a machine that starts in a second. Every test that uses it also checks that
// nothing is left behind.
func config(t *testing.T, img string) Config {
	t.Helper()
	need.Program(t, "qemu-system-x86_64")
	dir := t.TempDir()
	t.Cleanup(func() {
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	return Config{Arch: "x86_64", Image: img, Firmware: Firmware{BIOS: true}, MemoryMiB: 32,
		TempDir: dir}
}

func TestCheckReady(t *testing.T) {
	t.Parallel()
	img := guest(t, guestWrite, "hello\r\n\x1b[2J\x1b[01;01H\x1b[0mSKIFF READY 0.1.0\r\n", guestObey)
	before := sum(t, img)
	var saved bytes.Buffer
	c := config(t, img)
	c.DataImage = guest(t, nil, "second disk", guestHang)
	r, err := Check(t.Context(), c, CheckOptions{Timeout: time.Minute, Console: &saved})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Ready || r.ReadyLine != "SKIFF READY 0.1.0" || !r.PowerDown || r.Took <= 0 {
		t.Errorf("got %+v", r)
	}
	if !strings.Contains(saved.String(), "hello\r\n") || !strings.Contains(saved.String(),
		"\x1b[0mSKIFF READY") {
		t.Errorf("the console was not saved as it was: %q", saved.String())
	}
	if sum(t, img) != before {
		t.Error("the guest's writes reached the image")
	}
}

func sum(t *testing.T, file string) [32]byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(b)
}

// TestCheckQuitsDeafGuest checks that a guest that ignores the power button is still ended, and
// counts as ready.
func TestCheckQuitsDeafGuest(t *testing.T) {
	t.Parallel()
	c := config(t, guest(t, nil, "SKIFF READY\r\n", guestHang))
	r, err := Check(t.Context(), c, CheckOptions{Timeout: time.Minute, Grace: time.Millisecond})
	if err != nil || !r.Ready || r.PowerDown {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestCheckReadsCompressedImage(t *testing.T) {
	t.Parallel()
	img := guest(t, guestWrite, "SKIFF READY\r\n", guestObey)
	b, err := os.ReadFile(img)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	w := lz4.NewWriter(&packed)
	w.Write(b)
	w.Close()
	if err := os.WriteFile(img+".lz4", packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := Check(t.Context(), config(t, img+".lz4"),
		CheckOptions{Timeout: time.Minute}); err != nil || !r.Ready {
		t.Errorf("got %+v, %v", r, err)
	}
	if err := os.WriteFile(img+".lz4", packed.Bytes()[:packed.Len()/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Check(t.Context(), config(t, img+".lz4"), CheckOptions{}); err == nil ||
		!strings.Contains(err.Error(), "expand to ") {
		t.Errorf("torn image: error %v", err)
	}
}

func TestCheckNotReady(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		after      []byte
		timeout    time.Duration
		want       error
	}{
		{"reset", "verity: corrupted\r\n", guestReset, time.Minute, ErrReset},
		{"power off", "nothing to do\r\n", guestOff, time.Minute, ErrStopped},
		{"panic", "[ 1.0] Kernel panic - not syncing: no init\r\n", guestHang, time.Minute, ErrPanic},
		{"ready line in another place", "not SKIFF READY\r\n", guestReset, time.Minute, ErrReset},
		{"silence", "", guestHang, 3 * time.Second, ErrTimeout},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, err := Check(t.Context(), config(t, guest(t, nil, test.text, test.after)),
				CheckOptions{Timeout: test.timeout})
			var notReady *NotReadyError
			if !errors.Is(err, test.want) || !errors.As(err, &notReady) || r.Ready {
				t.Errorf("got %+v, %v, want error %v", r, err, test.want)
			}
			if text := strings.TrimSpace(test.text); text != "" &&
				!strings.Contains(err.Error(), "\n  "+text) {
				t.Errorf("error does not show the console: %v", err)
			}
		})
	}
}

// TestCheckCancelled cancels at the guest's first line: QEMU and the files must be gone when Check
// returns.
func TestCheckCancelled(t *testing.T) {
	t.Parallel()
	cause := errors.New("interrupted by the user")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	c := config(t, guest(t, nil, "booting\r\n", guestHang))
	_, err := Check(ctx, c, CheckOptions{Timeout: time.Minute,
		Console: onWrite(func() { cancel(cause) })})
	if !errors.Is(err, cause) {
		t.Errorf("error %v, want %v", err, cause)
	}
}

type onWrite func()

func (f onWrite) Write(b []byte) (int, error) { f(); return len(b), nil }

func TestRun(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := config(t, guest(t, nil, "interactive\r\n", guestOff))
	c.Stdout, c.Stderr = &out, &out
	if err := Run(t.Context(), c, nil); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if !strings.Contains(out.String(), "interactive\r\n") {
		t.Errorf("console: %q", out.String())
	}
	ctx, cancel := context.WithCancel(t.Context())
	c = config(t, guest(t, nil, "booting\r\n", guestHang))
	c.Stdout = onWrite(cancel)
	if err := Run(ctx, c, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: error %v", err)
	}
}

// TestUEFI starts the firmware that real images need; without a system on the disk it reports that.
func TestUEFI(t *testing.T) {
	t.Parallel()
	c := config(t, guest(t, nil, "", guestHang))
	c.Firmware, c.MemoryMiB = Firmware{}, 128
	if a, _ := archOf("x86_64"); !exists(a.firmware[0].Code) {
		need.Missing(t, "the firmware of ovmf is missing")
	}
	r, err := Check(t.Context(), c, CheckOptions{Ready: regexp.MustCompile(`BdsDxe: `),
		Timeout: 10 * time.Minute, Grace: time.Millisecond})
	if err != nil || !r.Ready {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestPrepareErrors(t *testing.T) {
	img := guest(t, nil, "", guestHang)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		config Config
		want   string
	}{
		{"arch", Config{Arch: "riscv64"},
			`architecture "riscv64" is not supported: use x86_64 or aarch64`},
		{"qemu", Config{Arch: "aarch64", Program: "no-such-qemu"},
			"no-such-qemu is not installed: apt-get install qemu-system-arm"},
		{"BIOS", Config{Arch: "aarch64", Program: self, Firmware: Firmware{BIOS: true}},
			"aarch64 has no BIOS firmware: use UEFI"},
		{"BIOS with Secure Boot", Config{Arch: "x86_64", Program: self, Firmware: Firmware{BIOS: true},
			SecureBoot: &uefi.Certificates{}},
			"BIOS firmware has no Secure Boot: use UEFI"},
		{"no store", Config{Arch: "x86_64", Program: self, Firmware: Firmware{Code: img, Vars: img},
			Image: img, SecureBoot: &uefi.Certificates{}},
			"firmware: " + img + ": enrol Secure Boot keys: not a flash image with " +
				"authenticated UEFI variables"},
		{"half firmware", Config{Arch: "x86_64", Program: self, Firmware: Firmware{Code: "x"}},
			`firmware needs both its code and its variables: got "x" and ""`},
		{"no image", Config{Arch: "x86_64", Program: self, Firmware: Firmware{BIOS: true},
			Image: "missing.img"}, "open image: open missing.img: no such file or directory"},
		{"no variables", Config{Arch: "x86_64", Program: self,
			Firmware: Firmware{Code: img, Vars: "missing.fd"}, Image: img},
			"firmware: open missing.fd: no such file or directory"},
	}
	for _, test := range tests {
		test.config.TempDir = t.TempDir()
		if _, err := Check(t.Context(), test.config, CheckOptions{}); err == nil ||
			err.Error() != test.want {
			t.Errorf("%s: error %v, want %s", test.name, err, test.want)
		}
		if left, _ := os.ReadDir(test.config.TempDir); len(left) > 0 {
			t.Errorf("%s: left behind: %v", test.name, left)
		}
	}
}

func TestMissingFirmwareNamesPackage(t *testing.T) {
	defer func(dirs []string) { descriptorDirs = dirs }(descriptorDirs)
	descriptorDirs = []string{t.TempDir()}
	for program, want := range map[string]string{
		"apt-get": "apt-get install qemu-efi-aarch64", "pacman": "pacman -S edk2-aarch64",
		"other": "install qemu-efi-aarch64 (its name in Debian)",
	} {
		bin := t.TempDir()
		must(t, os.WriteFile(filepath.Join(bin, program), nil, 0o755))
		t.Setenv("PATH", bin)
		a := arch{firmware: []Firmware{{Code: "/nowhere/code.fd", Vars: "/nowhere/vars.fd"}}}
		_, err := findFirmware(Config{Arch: "aarch64"}, a)
		want := "UEFI firmware for aarch64 is not installed (looked for /nowhere/code.fd, and in " +
			descriptorDirs[0] + "): " + want + ", or name it with --firmware and --firmware-vars"
		if !errors.Is(err, ErrMissing) || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// TestDescribedFirmware: firmware that only a descriptor names is used.
func TestDescribedFirmware(t *testing.T) {
	defer func(dirs []string) { descriptorDirs = dirs }(descriptorDirs)
	dir := t.TempDir()
	descriptorDirs = []string{dir}
	code, vars := filepath.Join(dir, "code"), filepath.Join(dir, "vars")
	must(t, os.WriteFile(code, nil, 0o644))
	must(t, os.WriteFile(vars, nil, 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "a.json"), []byte(`{"interface-types": ["uefi"], "mapping":
{"device": "flash", "executable": {"filename": "`+code+`"}, "nvram-template": {"filename": "`+vars+`"}},
"targets": [{"architecture": "x86_64"}]}`), 0o644))
	got, err := findFirmware(Config{Arch: "x86_64"}, arch{})
	if err != nil || got != (Firmware{Code: code, Vars: vars}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestDescriptors: what distributions describe is found: for the architecture, without keys of
// others, with Secure Boot only where that is wanted.
func TestDescriptors(t *testing.T) {
	defer func(dirs []string) { descriptorDirs = dirs }(descriptorDirs)
	etc, usr := t.TempDir(), t.TempDir()
	descriptorDirs = []string{etc, usr}
	write := func(dir, name, features, arch string) {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(`{"interface-types": ["uefi"],
"mapping": {"device": "flash", "executable": {"filename": "/`+name+`.code", "format": "raw"},
"nvram-template": {"filename": "/`+name+`.vars", "format": "raw"}},
"targets": [{"architecture": "`+arch+`", "machines": ["q35"]}], "features": [`+features+`]}`), 0o644))
	}
	write(usr, "40.json", `"enrolled-keys", "secure-boot", "requires-smm"`, "x86_64")
	write(usr, "50.json", `"secure-boot", "requires-smm"`, "x86_64")
	write(usr, "60.json", `"acpi-s3"`, "x86_64")
	write(usr, "70.json", "", "aarch64")
	write(usr, "80.json", "", "x86_64")
	must(t, os.WriteFile(filepath.Join(etc, "80.json"), nil, 0o644)) // hides the other
	for _, c := range []struct {
		arch   string
		secure bool
		want   string
	}{{"x86_64", false, "[{/60.json.code /60.json.vars false}]"},
		{"x86_64", true, "[{/50.json.code /50.json.vars false}]"},
		{"aarch64", false, "[{/70.json.code /70.json.vars false}]"}, {"aarch64", true, "[]"}} {
		if got := fmt.Sprint(described(c.arch, c.secure)); got != c.want {
			t.Errorf("%s, secure %v: %s, want %s", c.arch, c.secure, got, c.want)
		}
	}
}

func TestQEMUFails(t *testing.T) {
	t.Parallel()
	c := config(t, guest(t, nil, "", guestHang))
	c.Accel = "warp"
	if _, err := Check(t.Context(), c, CheckOptions{Timeout: time.Minute}); err == nil ||
		!strings.Contains(err.Error(), "invalid accelerator warp") {
		t.Errorf("error %v", err)
	}
}

func TestConsole(t *testing.T) {
	var lines []string
	c := console{}
	in := "one\r\n\r\n\x1b[2J\x1b(Btwo\x07\r\n" + strings.Repeat("x", maxLine+5) +
		"\nlast without newline"
	if err := c.read(strings.NewReader(in), func(s string) { lines = append(lines, s) }); err != nil {
		t.Fatal(err)
	}
	want := []string{"one", "two", strings.Repeat("x", maxLine), "xxxxx", "last without newline"}
	if !slices.Equal(lines, want) {
		t.Errorf("got %q, want %q", lines, want)
	}
	for range 3 * tailLines {
		c.remember("again")
	}
	if len(c.tail) != tailLines {
		t.Errorf("tail has %d lines, want %d", len(c.tail), tailLines)
	}
}

func TestMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := Run(t.Context(), Config{Arch: "aarch64"}, nil)
	const want = "qemu-system-aarch64 is not installed: install qemu-system-arm (its name in Debian)"
	if !errors.Is(err, ErrMissing) || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	err = Run(t.Context(), Config{Arch: "riscv64"}, nil)
	if err == nil || errors.Is(err, ErrMissing) {
		t.Errorf("an unknown architecture: %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestAccelerator: a hypervisor is used only if QEMU can start a machine with it. The programs
// stand for a QEMU on hosts that this one is not.
func TestAccelerator(t *testing.T) {
	host := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	other := map[string]string{"x86_64": "aarch64", "aarch64": "x86_64"}[host]
	if host == "" || runtime.GOOS != "linux" {
		t.Skip("for Linux on x86_64 and aarch64")
	}
	device, limit := kvmDevice, probeTime
	defer func() { kvmDevice, probeTime = device, limit }()
	dir := t.TempDir()
	kvm := filepath.Join(dir, "kvm")
	must(t, os.WriteFile(kvm, nil, 0o600))
	tests := []struct {
		name, arch, device, qemu string
		limit                    time.Duration
		want, why                string
	}{
		{"works", host, kvm, `case "$*" in *"-accel kvm"*) exec cat >/dev/null; esac; exit 1`,
			time.Minute, "kvm", ""},
		{"other architecture", other, kvm, "exit 0", time.Minute, "tcg", "this machine is not " + other},
		{"none", host, filepath.Join(dir, "missing"), "exit 0", time.Minute, "tcg",
			"no KVM: open " + dir + "/missing: no such file or directory"},
		{"half", host, kvm, `printf 'no \033[1mMSR\nmore\n' >&2; exit 1`, time.Minute, "tcg",
			"kvm does not work: no MSR"},
		{"hangs", host, kvm, "exec cat /proc/self/fd/0 /dev/zero >/dev/null", time.Millisecond, "tcg",
			"kvm does not work: a machine does not end within 1ms"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			program := filepath.Join(t.TempDir(), "qemu")
			must(t, os.WriteFile(program, []byte("#!/bin/sh\n"+test.qemu+"\n"), 0o755))
			kvmDevice, probeTime = test.device, test.limit
			name, why := Accelerator(t.Context(), Config{Arch: test.arch, Program: program})
			if name != test.want || why != test.why {
				t.Errorf("got %s (%s), want %s (%s)", name, why, test.want, test.why)
			}
		})
	}
}

func TestParseForward(t *testing.T) {
	for text, want := range map[string]string{
		"8080:80": "127.0.0.1:8080 to port 80 of the guest", "0.0.0.0:1:65535": "0.0.0.0:1 to port " +
			"65535 of the guest",
		"80": "", "0:80": "", "80:0": "", "80:65536": "", "-1:80": "", "a:80": "", "": "",
		"::1:80:80": "", "localhost:80:80": "", "1.2.3.4:80:80,restrict=off": "",
		"1:2:3:4": "", "80:+80": "",
	} {
		f, err := ParseForward(text)
		if got := f.String(); (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%q: got %q, %v; want %q", text, got, err, want)
		}
	}
}

// TestNetworkArguments: without a wish there is no card; with one the guest is shut in, unless it
// may go out, and the firmware boots from the disk.
func TestNetworkArguments(t *testing.T) {
	f, err := ParseForward("8080:80")
	must(t, err)
	d := []disk{{file: "/os.img", format: "raw"}}
	for _, c := range []struct {
		network Network
		want    []string
		not     string
	}{
		{Network{}, nil, "net"},
		{Network{Forwards: []Forward{f, f}}, []string{
			"user,id=net0,ipv6=off,restrict=on,hostfwd=tcp:127.0.0.1:8080-:80," +
				"hostfwd=tcp:127.0.0.1:8080-:80",
			"virtio-net-pci,netdev=net0,romfile=", "virtio-blk-pci,drive=disk0,bootindex=0"}, ""},
		{Network{Outbound: true}, []string{"user,id=net0,ipv6=off"}, "restrict"},
	} {
		args := arguments(Config{Network: c.network}, arch{}, d)
		for _, want := range c.want {
			if !slices.Contains(args, want) {
				t.Errorf("%+v: %q lacks %q", c.network, args, want)
			}
		}
		if text := strings.Join(args, " "); c.not != "" && strings.Contains(text, c.not) {
			t.Errorf("%+v: %q has %q", c.network, args, c.not)
		}
	}
}

// TestRunLogs: what the guest prints is also in the log.
func TestRunLogs(t *testing.T) {
	t.Parallel()
	c := config(t, guest(t, nil, "on both\r\n", guestOff))
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	must(t, err)
	defer log.Close()
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	must(t, Run(t.Context(), c, log))
	saved, err := os.ReadFile(log.Name())
	if err != nil || !bytes.Contains(saved, []byte("on both\r\n")) ||
		!strings.Contains(out.String(), "on both\r\n") {
		t.Errorf("%v: saved %q, shown %q", err, saved, out.String())
	}
}

// TestKeepScreen: the first clearing is left out, wherever it is cut, and nothing else is; a
// program that runs later may clear the screen.
func TestKeepScreen(t *testing.T) {
	const text = "\x1b[1mBds\x1b[0m\x1b[1;31mx\x1b[K\x1b[5;1H\r\n"
	const in = "UEFI\r\n\x1b[2J\x1b[01;01H\x1b[=3h\x1b[2J" + text
	const want = "UEFI\r\n" + text
	later := strings.Repeat("kernel\r\n", firmwareBytes/8) + "\x1b[2J\x1b[1;1Hvi"
	for cut := range len(in) {
		var out strings.Builder
		w := KeepScreen(&out)
		for _, part := range []string{in[:cut], in[cut:], later[:firmwareBytes],
			later[firmwareBytes:]} {
			if n, err := io.WriteString(w, part); n != len(part) || err != nil {
				t.Fatalf("wrote %d of %d: %v", n, len(part), err)
			}
		}
		if out.String() != want+later {
			t.Errorf("cut at %d: %q", cut, out.String()[:len(want)])
		}
	}
}
