// rpms_test: which RPMs the recipes' scripts let dnf choose from, without an engine.

package buildsys

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/buildtest/need"
)

// linkRPMs returns what RPMs are in a directory as rpm would: files have what it says of them.
const linkRPMs = `source tools/lib/prelude
source tools/lib/rpms
set -euo pipefail
rpm() { cat "${@:5}"; }
link_rpms "$1/rpms" "$1/repo" "$1/provides"`

// TestNamesOfOtherPackages checks that no RPM can take the place of another package's.
func TestNamesOfOtherPackages(t *testing.T) {
	need.Programs(t, "bash", "awk")
	for _, tt := range []struct{ name, file, said, want string }{
		{"its own", "os-evil-1-1.noarch.rpm", "os-evil\n os-evil\n os-other\n-os-older\n", ""},
		{"of nobody", "os-evil-1-1.noarch.rpm", "os-evil\n os-bash2\n os-bash2(os-bash)\n-bash\n", ""},
		{"name of a part", "os-bash-doc-99-1.noarch.rpm", "os-bash-doc\n",
			"the packages bash and evil both have an RPM os-bash-doc"},
		{"provides", "os-evil-1-1.noarch.rpm", "os-evil\n os-bash\n", "an RPM of the package evil " +
			"provides os-bash, and the RPM of that name is of the package bash"},
		{"provides for a machine", "os-evil-1-1.noarch.rpm", "os-evil\n os-bash(x86-64)\n",
			"evil provides os-bash(x86-64), and"},
		{"obsoletes", "os-evil-1-1.noarch.rpm", "os-evil\n-os-bash-doc\n",
			"evil obsoletes os-bash-doc, and the RPM of that name is of the package bash"},
		{"of a kit", "os-evil-1-1.noarch.rpm", "os-evil\n-os-zlib\n",
			"is of the package kits/v/k/zlib"},
		{"several lines", "os-evil-1-1.noarch.rpm", "os-evil\n x\nos-bash\n",
			"a name of several lines"},
		{"for debuggers", "os-bash-debuginfo-1-1.noarch.rpm", "os-bash-debuginfo\n-os-bash\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, "rpms/bash/os-bash-1-1.noarch.rpm", "os-bash\n os-bash\n")
			put(t, dir, "rpms/bash/os-bash-doc-1-1.noarch.rpm", "os-bash-doc\n os-bash\n")
			put(t, dir, "rpms/kits/v/k/zlib/os-zlib-1-1.noarch.rpm", "os-zlib\n z\n-os-z\n")
			put(t, dir, "rpms/evil/"+tt.file, tt.said)
			out, err := exec.CommandContext(t.Context(), "bash", "-c", linkRPMs, "test", dir).
				CombinedOutput()
			linked, _ := os.ReadDir(filepath.Join(dir, "repo"))
			if tt.want != "" {
				if err == nil || !strings.Contains(string(out), tt.want) || len(linked) > 0 {
					t.Errorf("%v, %s; linked %v", err, out, linked)
				}
				return
			}
			said, _ := os.ReadFile(filepath.Join(dir, "provides"))
			if err != nil || len(linked) < 3 || !strings.Contains(string(said), "os-zlib\nz\n") {
				t.Errorf("%v, %s; linked %v, provides %q", err, out, linked, said)
			}
		})
	}
}

// takeESP takes the files for the ESP as the step of an image does.
const takeESP = `tools=tools
source tools/lib/prelude
source tools/disk/imghelper
source tools/disk/imgassemble
set -euo pipefail
root="$1/root" work="$1" VARIANT=v
take_esp`

// TestNamesOnTheESP checks that what packages install for firmware has the name there that it has
// in the package, or is an error.
func TestNamesOnTheESP(t *testing.T) {
	need.Programs(t, "bash", "find")
	for name, good := range map[string]bool{
		"EFI/BOOT/bootx64.efi": true, "EFI/a b~1+(2)/-i.txt": true, "c:bootx64.efi": false,
		"bootx64.efi.": false, "bootx64.efi ": false, "q\nx": false, "q\n../x": false,
		"ä.efi": false, "a*": false, `a\b`: false, "c:/x": false,
	} {
		dir := t.TempDir()
		put(t, dir, "root/boot/efi/"+name, "")
		out, err := exec.CommandContext(t.Context(), "bash", "-c", takeESP, "test", dir).CombinedOutput()
		if good != (err == nil) ||
			!good && !strings.Contains(string(out), "a name that the EFI system partition cannot have") {
			t.Errorf("%q: %v, %s", name, err, out)
		}
	}
}
