// examples: how each command is called, shown in its help.

package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// examples has the command lines of each command, by its path below the program.
var examples = map[string][]string{
	"audit":         {"audit", "audit --osv go.zip --sarif variant/qemu-dev"},
	"boot":          {"boot qemu-dev", "boot --check --timeout 2m qemu-dev", "boot --watch qemu-dev"},
	"build-kit":     {"build-kit core-kit", "build-kit --arch aarch64 core-kit"},
	"build-package": {"build-package bash ncurses", "-C packages/bash build-package"},
	"build-variant": {"build-variant qemu-dev", "build-variant --arch aarch64 qemu-dev",
		"build-variant --all", "build-variant --dev qemu-dev"},
	"bump": {"bump less 692", "bump --dry-run less",
		"bump --signature .sig --key less.asc --check --variant qemu-dev less 692"},
	"cache stat":    {"cache stat --json"},
	"cache trim":    {"cache trim --max-age 7d --max-size 20G"},
	"cache verify":  {"cache verify"},
	"ci codebuild":  {"ci codebuild --batch", "ci codebuild --phases buildspec.yml"},
	"dev":           {"dev less", "dev --finish less", "dev --drop less"},
	"doctor":        {"doctor", "doctor --strict --untrusted --json"},
	"fetch":         {"fetch", "fetch bash variant/qemu-dev"},
	"go":            {"go test ./...", "go --module-path sources/api mod tidy"},
	"graph":         {"graph bash", "graph --reverse ncurses", "graph --format svg qemu-dev"},
	"image cat":     {"image cat qemu-dev:/etc/passwd", "image cat os.img.lz4:/usr/lib/os-release"},
	"image diff":    {"image diff qemu-dev~1 qemu-dev", "image diff --json old.img.lz4 new.img.lz4"},
	"image extract": {"image extract qemu-dev:/usr/lib/modules modules"},
	"image list":    {"image list qemu-dev"},
	"image ls":      {"image ls qemu-dev:/usr/bin", "image ls -R --partition BOOT-A qemu-dev~1"},
	"image owner":   {"image owner qemu-dev:/usr/bin/less"},
	"image sbom": {"image sbom qemu-dev", "image sbom qemu-dev --diff qemu-dev~1",
		"image sbom --format spdx qemu-dev"},
	"image size":    {"image size qemu-dev", "image size --format svg qemu-dev"},
	"init":          {"init myos", "init --ci gitlab --vcs none myos"},
	"inspect":       {"inspect qemu-dev", "inspect --json os.img.lz4"},
	"keys enroll":   {"keys enroll OVMF_VARS.fd vars.fd"},
	"keys generate": {"keys generate --sbkeys-profile test"},
	"lint":          {"lint", "lint --fix less", "lint --strict --sarif"},
	"log":           {"log less", "log -f kernel", "log less --run 17"},
	"man":           {"man /usr/local/share/man/man1"},
	"new package": {"new package greet",
		"new package --from https://example.com/less-668.tar.gz less"},
	"new variant":    {"new variant qemu-lab bash less", "new variant --from qemu-dev qemu-lab"},
	"outdated":       {"outdated", "outdated --json less variant/qemu-dev"},
	"plan":           {"plan", "plan bash", "plan --simulate -j 16 variant/qemu-dev"},
	"publish kit":    {"publish kit core-kit registry.example.com/kits"},
	"repack-variant": {"repack-variant --cacerts-bundle-override ca.pem qemu-dev"},
	"report":         {"report", "report 17 --compare 12 -o report.html", "report --format trace"},
	"runs":           {"runs", "runs --all --json"},
	"schema":         {"schema", "schema package"},
	"sdk check":      {"sdk check"},
	"sdk fetch":      {"sdk fetch --cache-from oci://registry.example.com/cache"},
	"sdk build":      {"sdk build", "sdk build --debian-mirrors http://mirror.example"},
	"sdk lock":       {"sdk lock"},
	"sdk import":     {"sdk import rootfs.tar"},
	"sdk name":       {"sdk name"},
	"shell":          {"shell less", "shell --at fail less", "shell less -- stage build"},
	"update":         {"update"},
	"verify": {"verify qemu-dev --key release.pub",
		"verify downloads/os-1.0 --key release.pub --rebuild",
		"verify os.img.lz4 --json"},
	"version": {"version --json"},
	"why": {"why bash", "why variant/qemu-dev",
		"why --grew qemu-dev~1 qemu-dev"},
}

// addExamples gives each command its examples.
func addExamples(root *cobra.Command) {
	for path, lines := range examples {
		if cmd, _, err := root.Find(strings.Fields(path)); err == nil && cmd != root {
			cmd.Example = "  " + root.Name() + " " + strings.Join(lines, "\n  "+root.Name()+" ")
		}
	}
}
