// macros_test: docs/macros.md lists the macros that specs may use, from the macro files. To update
// it, run go test . -run TestMacroPage -update.

package buildsys

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"buildsys/internal/golden"
)

// macroHelp has what the macros that do something are for. The others are places and names, which
// their values explain.
var macroHelp = map[string]string{
	"cross_configure":       "runs `configure` for the target, with paths as in the image",
	"set_cross_build_flags": "exports `CC`, `CFLAGS`, `LDFLAGS` and so on for the target",
	"set_cross_go_flags":    "exports what the go command needs for static programs",
	"cross_go_ldflags":      "flags of `go build` for small programs that are the same each time",
	"make_build":            "runs `make` with as many jobs as the step may use",
	"make_install":          "runs `make install` into the build root, below the sysroot",
	"_cross_os":             "begins the name of every RPM: `Name: %{_cross_os}greet`",
	"_cross_sources":        "the package's source groups, read-only",
	"_cross_cc":             "the compiler for the target, told to use the libc of the sysroot",
	"_cross_rootdir":        "the root of the image: `%{_cross_rootdir}/etc` is its `/etc`",
	"_cross_build":          "the machine that compiles",
	"_cross_arch_ccflags":   "more flags of the compiler",
	"_cross_efi_arch":       "the architecture as EFI names it",
	"_cross_grub_tuple":     "the architecture as GRUB names it",
	"_cross_karch":          "the architecture as the kernel's Makefiles name it",
	"_cross_go_arch":        "the architecture as Go names it",
	"_cross_qemu_arch":      "the architecture as QEMU names it",
	"_cross_triple":         "begins the names of the compiler and its tools",
	"_cross_target":         "the target, as configure scripts name it",
	"_cross_sysroot":        "where everything for the image is during a build",
	"_cross_arch":           "the architecture, as RPM names it",
	"_cross_cflags":         "flags of the C compiler",
	"_cross_cppflags":       "flags of the preprocessor",
	"_cross_ldflags":        "flags of the linker",
}

var (
	macroLine = regexp.MustCompile(`(?m)^%([A-Za-z0-9_]+) (.*)$`)
	macroUse  = regexp.MustCompile(`%\{(\??)([A-Za-z0-9_]+)(?:: ([^{}]*(?:\{[^{}]*\})?))?\}`)
)

// macros returns the macros of an architecture by name, and the names in their order.
func macros(t *testing.T, arch string) (values map[string]string, names []string) {
	t.Helper()
	values = map[string]string{}
	for _, file := range []string{"shared", arch} {
		text, err := Recipe.ReadFile("macros/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range macroLine.FindAllStringSubmatch(string(text), -1) {
			values[m[1]] = m[2]
			names = append(names, m[1])
		}
	}
	return values, names
}

// expand returns the text of a macro with the macros in it replaced.
func expand(values map[string]string, text string) string {
	for range 10 {
		next := macroUse.ReplaceAllStringFunc(text, func(use string) string {
			m := macroUse.FindStringSubmatch(use)
			value, ok := values[m[2]]
			switch {
			case !ok && m[1] != "":
				return ""
			case !ok, m[2] == "nil":
				return use
			case m[3] != "":
				return " " + m[3]
			}
			return value
		})
		if next == text {
			break
		}
		text = next
	}
	return strings.ReplaceAll(text, "%{nil}", "")
}

func TestMacroPage(t *testing.T) {
	values, names := macros(t, "x86_64")
	var b strings.Builder
	b.WriteString("# Macros for specs\n\nMade from `macros/`; do not edit. Values are those of " +
		"x86_64, where `ARCH` stands for\nthe architecture. Besides these, specs have all of " +
		"rpm's own. A tree without a recipe may\nadd macros, or have others, in a `macros/shared` of " +
		"its own, which is read after these.\n\n")
	b.WriteString("## What does something\n\n| macro | what it does |\n|---|---|\n")
	for _, name := range names {
		if !strings.HasPrefix(name, "_") && macroHelp[name] != "" {
			fmt.Fprintf(&b, "| `%%%s` | %s |\n", name, macroHelp[name])
		}
	}
	b.WriteString("\n## Places and names\n\n| macro | value | |\n|---|---|---|\n")
	for _, name := range names {
		if !strings.HasPrefix(name, "_cross_") {
			continue
		}
		value := strings.ReplaceAll(expand(values, values[name]), "x86_64-skiff", "ARCH-skiff")
		value = strings.ReplaceAll(value, "|", "\\|")
		value = cmp.Or(strings.TrimSpace(value), "(empty)")
		fmt.Fprintf(&b, "| `%%{%s}` | `%s` | %s |\n", name, value, macroHelp[name])
	}
	golden.Equal(t, "docs/macros.md", []byte(b.String()))
	other, _ := macros(t, "aarch64")
	for name := range macroHelp {
		if values[name] == "" && other[name] == "" {
			t.Errorf("macroHelp has %s, which is no macro", name)
		}
	}
}
