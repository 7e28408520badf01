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

// linkRPMs says what RPMs are in a directory as rpm would: files have what it says of them.
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
