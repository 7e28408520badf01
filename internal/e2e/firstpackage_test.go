// docs/first-package.md tells the truth: its files are written and its commands run, on a real
// engine. An image is only planned, as others are built and booted by other tests.

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// pageBlock matches a fenced block of a page, with the file that the line before it names.
var pageBlock = regexp.MustCompile("(?m)(?:^`([^`\n]+)`\n\n)?^```(\\w+)\n((?s:.*?))^```$")

func TestFirstPackagePage(t *testing.T) {
	needEngine(t)
	page, err := os.ReadFile("../../docs/first-package.md")
	if err != nil {
		t.Fatal(err)
	}
	root := ownTree(t)
	var said result
	for _, m := range pageBlock.FindAllStringSubmatch(string(page), -1) {
		file, kind, text := m[1], m[2], m[3]
		switch {
		case kind == "sh":
			said = typeIn(t, root, text)
		case kind == "output":
			if !strings.Contains(said.stdout, strings.TrimSpace(text)) || said.code != 2 {
				t.Errorf("the page shows\n%s\nthe command said\n%s%s", text, said.stdout, said.stderr)
			}
		case file != "":
			write(t, root, file, text)
		case kind == "toml":
			addToVariant(t, filepath.Join(root, "variants/qemu-dev/Cargo.toml"), text)
		}
	}
	if got := rpms(t, root, "greet"); len(got) != 1 {
		t.Errorf("RPMs: %q", got)
	}
	if !strings.Contains(said.stdout, "variant qemu-dev") {
		t.Errorf("the plan of the image: %s%s", said.stdout, said.stderr)
	}
}

// ownTree copies what of this repository is its own tree.
func ownTree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"packages", "variants", "sources", "macros", "tools", "sdk"} {
		if err := os.CopyFS(filepath.Join(root, dir), os.DirFS("../../"+dir)); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"Dockerfile", "Makefile.toml", "Release.toml"} {
		text, err := os.ReadFile("../../" + file)
		if err != nil {
			t.Fatal(err)
		}
		write(t, root, file, string(text))
	}
	return root
}

// typeIn runs the commands of a block and returns what the last one of the program said. All of
// them must succeed, but for one whose output the page shows.
func typeIn(t *testing.T, root, block string) (last result) {
	t.Helper()
	for line := range strings.Lines(block) {
		words := strings.Fields(line)
		switch {
		case words[0] == "rm":
			if err := os.Remove(filepath.Join(root, words[1])); err != nil {
				t.Error(err)
			}
			continue
		case words[1] == "boot":
			continue
		case words[1] == "build-variant":
			words[1] = "plan"
		}
		last = buildsys(t, root, nil, words[1:]...)
		if last.code != 0 && words[1] != "lint" {
			t.Errorf("%s\nexit code %d\n%s%s", line, last.code, last.stdout, last.stderr)
		}
	}
	return last
}

// addToVariant does what the page says in words.
func addToVariant(t *testing.T, file, dependency string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const list = "included-packages = ["
	edited := strings.Replace(string(text), list, list+"\"greet\",", 1)
	edited = strings.Replace(edited, "[build-dependencies]\n", "[build-dependencies]\n"+dependency, 1)
	if err := os.WriteFile(file, []byte(edited), 0o644); err != nil {
		t.Fatal(err)
	}
}
