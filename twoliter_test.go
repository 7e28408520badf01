// twoliter_test: what scripts for Twoliter's trees make of text, without an engine.

package buildsys

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"buildsys/internal/buildtest/need"
)

// script runs one of twoliter/tools and returns what it prints, and its errors.
func script(t *testing.T, stdin, name string, args ...string) (stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), need.Program(t, "python3"),
		append([]string{filepath.Join("twoliter/tools", name)}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=0", "PYTHONDONTWRITEBYTECODE=1")
	if err := cmd.Run(); err != nil && errs.Len() == 0 {
		t.Fatalf("%s: %v", name, err)
	}
	return out.String(), errs.String()
}

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestBootconfig(t *testing.T) {
	for _, tt := range []struct{ name, first, second, want, fault string }{
		{"sorted by line", "kernel.b = 2\ninit.z = 1\n", "kernel.a = 1\n",
			"init.z = 1\nkernel.a = 1\nkernel.b = 2\n", ""},
		{"lists and keys alone", "kernel.a = x, 'y z',\"=\"\nkernel.b\nkernel.c =\n", "",
			"kernel.a = x, 'y z',\"=\"\nkernel.b\nkernel.c =\n", ""},
		{"comments and no end of line", "# a comment\n\n  kernel.a = b c\t\n", "kernel.a-1_x = 2",
			"kernel.a = b c\nkernel.a-1_x = 2\n", ""},
		{"none", "", "\n", "kernel {}\ninit {}\n", ""},
		{"braces", "", "\nkernel { a = 1 }\n", "", "'2':2: 'kernel { a = 1 }' is not of the form"},
		{"goes on", "kernel.a = 1,\n", "2\n", "", "'1':1: 'kernel.a = 1,'"},
		{"added", "kernel.a += 1\n", "", "", "'1':1: 'kernel.a += 1'"},
		{"replaced", "kernel.a := 1\n", "", "", "'1':1: 'kernel.a := 1'"},
		{"quote not closed", "kernel.a = \"1\n2\"\n", "", "", "'1':1: "},
		{"two values", "kernel.a = \"1\" \"2\"\n", "", "", "'1':1: "},
		{"an end for all", "a = 1\x00\n", "", "", `'1':1: 'a = 1\x00' is not`},
		{"of any size", strings.Repeat("#", 1<<15), "", "", "/'1' has more than 32767 bytes"},
		{"for a terminal", "kernel.a = \x1b[1m{\n", "", "", `'kernel.a = \x1b[1m{'`},
	} {
		dir := t.TempDir()
		put(t, dir, "d/1", tt.first)
		put(t, dir, "d/2", tt.second)
		out := filepath.Join(dir, "out")
		_, fault := script(t, "", "disk/bootconfig", filepath.Join(dir, "d"), out)
		if tt.fault != "" {
			if !strings.Contains(fault, tt.fault) {
				t.Errorf("%s: %q, want %q", tt.name, fault, tt.fault)
			}
			continue
		}
		data, err := os.ReadFile(out)
		text, _, _ := strings.Cut(string(data), "\x00")
		if err != nil || text != tt.want || !bytes.HasSuffix(data, []byte("#BOOTCONFIG\n")) ||
			len(data)%4 != 0 {
			t.Errorf("%s: %q, %v %s", tt.name, data, err, fault)
		}
	}
}

// TestBootconfigArguments: what the kernel would put on its command line of a boot configuration.
func TestBootconfigArguments(t *testing.T) {
	for _, tt := range []struct{ name, text, kernel, init, fault string }{
		{"both", "kernel.a = 1\ninit.b.c = 2\n", "a=1\n", "b.c=2\n", ""},
		{"lists, quotes, keys alone", "kernel.a = x, 'y z',\"=\"\nkernel.b\nkernel.c =\n",
			"a=x a=\"y z\" a== b c\n", "\n", ""},
		{"words", "kernel.a = b c\n", "a=\"b c\"\n", "\n", ""},
		{"none", "", "\n", "\n", ""},
		{"another kind", "other.a = 1\n", "", "", "'other.a = 1' is for neither the kernel nor init"},
		{"no name", "kernel = 1\n", "", "", "'kernel = 1' is for neither"},
		{"quotation mark", "kernel.a = 'b\"c'\n", "", "", "has a quotation mark in its value"},
	} {
		dir := t.TempDir()
		put(t, dir, "1", tt.text)
		for kind, want := range map[string]string{"kernel": tt.kernel, "init": tt.init} {
			got, fault := script(t, "", "disk/bootconfig", dir, "--arguments", kind)
			if got != want || !strings.Contains(fault, tt.fault) || (fault == "") != (tt.fault == "") {
				t.Errorf("%s: %s is %q, %q; want %q, %q", tt.name, kind, got, fault, want, tt.fault)
			}
		}
	}
}

func TestInventory(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "kits", "lab-bash-5-1.x86_64.rpm\tlab/core-kit/bash/lab-bash-5-1.x86_64.rpm\n"+
		"lab-libz-1-2.x86_64.rpm\tlab/core-kit/zlib/lab-libz-1-2.x86_64.rpm\n")
	line := func(name, version, release, epoch, source string) string {
		file := name + "-" + version + "-" + release + ".x86_64.rpm"
		return "'" + strings.Join([]string{name, version, release, epoch, "Unspecified", "x86_64",
			"https://example.invalid", source, strings.TrimSuffix(file, ".rpm"),
			"What\nos-x '\\''1'\\'' is"}, "' '") + "' \n"
	}
	got, errs := script(t, line("lab-os", "1.0", "3", "1", "lab-os-1.0-3.src.rpm")+
		line("lab-libz", "1", "2", "0", "lab-zlib-1.3-4.src.rpm")+
		line("lab-bash", "5", "1", "0", "lab-bash-5-1.src.rpm"),
		"image/inventory", filepath.Join(dir, "kits"), "lab-", "Lab")
	entry := func(name, publisher, version, release, epoch, summary string) string {
		return "    {\n      \"Name\": \"" + name + "\",\n      \"Publisher\": \"" + publisher +
			"\",\n      \"Version\": \"" + version + "\",\n      \"Release\": \"" + release +
			"\",\n      \"Epoch\": \"" + epoch +
			"\",\n      \"InstalledTime\": \"1970-01-01T00:00:00Z\",\n" +
			"      \"ApplicationType\": \"Unspecified\",\n      \"Architecture\": \"x86_64\",\n" +
			"      \"Url\": \"https://example.invalid\",\n      \"Summary\": \"" + summary + "\"\n    }"
	}
	want := "{\n  \"Content\": [\n" + strings.Join([]string{
		entry("bash", "core-kit", "5", "1", "0", `What\nos-x '1' is`),
		entry("lab-os", "Lab", "1.0", "3", "1", `What\nos-x '1' is`),
		entry("libz", "core-kit", "1", "2", "0", `What\nos-x '1' is`),
		entry("zlib", "core-kit", "1.3", "4", "0", `What\nos-x '1' is (source package)`),
	}, ",\n") + "\n  ]\n}\n"
	if got != want || errs != "" {
		t.Errorf("got %s%s\nwant %s", got, errs, want)
	}
	if _, errs := script(t, "too\tfew\n", "image/inventory", filepath.Join(dir, "kits"), "lab-",
		"Lab"); !strings.Contains(errs, "rpm says 2 things") {
		t.Errorf("a short line: %q", errs)
	}
}

func TestLabelScript(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	put(t, root, "a name/file", "")
	const label = " matched by system_u:object_r:os_t:s0\n"
	labels := filepath.Join(dir, "labels")
	put(t, dir, "labels", root+label+root+"/a name/file"+label)
	got, errs := script(t, "", "disk/label-script", labels, root, "7")
	dates := func(path string) string {
		return "sif " + path + " atime @7\nsif " + path + " ctime @7\nsif " + path + " crtime @7\n"
	}
	want := "ea_set \"/\" security.selinux system_u:object_r:os_t:s0\n" + dates(`"/"`) +
		dates(`"/a name"`) + "ea_set \"/a name/file\" security.selinux system_u:object_r:os_t:s0\n" +
		dates(`"/a name/file"`) + "set_super_value kbytes_written 0\n"
	if got != want || errs != "" {
		t.Errorf("got %s%s\nwant %s", got, errs, want)
	}
	for text, want := range map[string]string{
		root + "/other" + label:                      "unexpected line",
		root + " matched by a_t:s0 -f /etc/passwd\n": "unexpected line",
		"Warning\n": "unexpected line",
	} {
		put(t, dir, "labels", text)
		_, errs := script(t, "", "disk/label-script", labels, root, "7")
		if !strings.Contains(errs, want) {
			t.Errorf("%q: %q, want %q", text, errs, want)
		}
	}
	put(t, dir, "labels", "")
	put(t, root, "a\nsif / mode 0", "")
	if _, errs := script(t, "", "disk/label-script", labels, root, "7"); !strings.Contains(errs,
		"has a quote or a line break") {
		t.Errorf("a line break in a name: %q", errs)
	}
}

// TestOwnPath: names of packages are neither words nor patterns, and pipes are waited for.
func TestOwnPath(t *testing.T) {
	text, err := os.ReadFile("tools/disk/imgassemble")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\nown_path() {")
	body, _, _ := strings.Cut(rest, "\n}\n")
	dir := t.TempDir()
	put(t, dir, "a b/file", "")
	for _, name := range []string{"a b/link", "a b/*"} {
		if err := os.Symlink("/etc", filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "a b/pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]bool{"a b": false, "a b/file": false, "a b/none/x": false,
		"a b/link": true, "a b/link/x": true, "a b/*/x": true, "a b/pipe": true} {
		cmd := exec.CommandContext(t.Context(), need.Program(t, "bash"), "-euo", "pipefail", "-c",
			"die() { echo \"$*\"; exit 9; }\nVARIANT=v root=$1\nown_path() {"+body+"\n}\nown_path \"$2\"",
			"bash", dir, name)
		out, err := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); bad != (code == 9) || !bad && err != nil {
			t.Errorf("%s: %v, %s", name, err, out)
		}
	}
}
