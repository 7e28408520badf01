// A kit that the real cargo builds, whose build scripts start the real buildsys.

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestKitUnderCargo(t *testing.T) {
	needCargo(t)
	t.Setenv("BUILDSYS_CACHE_DIR", t.TempDir())
	root := t.TempDir()
	write(t, root, "Twoliter.toml",
		"schema-version = 1\nrelease-version = \"1.0.0\"\n[vendor.acme]\nregistry = "+
			"\"registry.invalid\"\n"+
			"[sdk]\nname = \"test-sdk\"\nversion = \"0.1.0\"\nvendor = \"acme\"\n")
	writeCrate(t, root, "packages/words", "build-package", "", "")
	writeCrate(t, root, "kits/words-kit", "build-kit",
		"[package.metadata.build-kit]\nvendor = \"acme\"\n",
		"words = { path = \"../../packages/words\" }\n")
	writeCrate(t, root, "packages/app", "build-package", "",
		"words-kit = { path = \"../../kits/words-kit\" }\n")
	writeCrate(t, root, "kits/app-kit", "build-kit",
		"[package.metadata.build-kit]\nvendor = \"acme\"\n", "app = { path = \"../../packages/app\" }\n")
	spec := "Name: %%{_cross_os}%s\nVersion: 1.0\nRelease: 1\nSummary: test\nLicense: " +
		"MIT\n%s%%description\n%%{summary}.\n%%install\nmkdir -p %%{buildroot}/usr/share\necho built " +
		">%%{buildroot}/usr/share/%[1]s\n%%files\n/usr/share/%[1]s\n"
	write(t, root, "packages/words/words.spec", fmt.Sprintf(spec, "words", ""))
	write(t, root, "packages/app/app.spec",
		fmt.Sprintf(spec, "app", "BuildRequires: %{_cross_os}words\n"))
	backdateTree(t, root)

	build := func(what string, want ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "cargo", "build", "-vv", "--offline", "--manifest-path",
			"kits/app-kit/Cargo.toml")
		cmd.Dir = root
		cmd.Env = append(command(t.Context(), root, nil).Env,
			"PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"),
			"CARGO_TARGET_DIR="+filepath.Join(root,
				"target"), "CARGO_TERM_COLOR=never", "BUILDSYS_ARCH=x86_64")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", what, err, out)
		}
		var built []string
		for _, m := range regexp.MustCompile(`(?m)\[\d+/\d+\] (.+) started`).FindAllSubmatch(out, -1) {
			built = append(built, string(m[1]))
		}
		if !slices.Equal(built, want) {
			t.Fatalf("%s: built %q, want %q\n%s", what, built, want, out)
		}
	}
	build("first", "words", "kit words-kit", "app", "kit app-kit")
	for _, name := range []string{"words-kit", "app-kit"} {
		if _, err := os.Stat(filepath.Join(root, "build/kits/oci", name, "index.json")); err != nil {
			t.Error(err)
		}
	}
	build("again")
	text := read(t, root, "packages/words/words.spec")
	write(t, root, "packages/words/words.spec", strings.Replace(text, "echo built", "echo again", 1))
	build("another spec", "words", "kit words-kit", "app")
	buildsys(t, root, nil, "build-kit", "app-kit").must(t, 0, "nothing to do")
}

// writeCrate writes a crate without code, in Bottlerocket's form, whose build script starts
// buildsys.
func writeCrate(t *testing.T, root, dir, command, metadata, deps string) {
	t.Helper()
	write(t, root, dir+"/Cargo.toml",
		fmt.Sprintf("[package]\nname = %q\nversion = \"0.1.0\"\nedition = \"2021\"\npublish = "+
			"false\nbuild = \"build.rs\"\n%s\n"+
			"[lib]\npath = \"pkg.rs\"\n\n[build-dependencies]\n%s", filepath.Base(dir), metadata, deps))
	write(t, root, dir+"/pkg.rs", "// not used\n")
	write(t, root, dir+"/build.rs",
		fmt.Sprintf("fn main() {\n    let ok = "+
			"std::process::Command::new(\"buildsys\").arg(%q).status().unwrap().success();\n    if !ok { "+
			"std::process::exit(1); }\n}\n", command))
}
