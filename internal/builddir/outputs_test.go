// What may be published and what may not.

package builddir_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"buildsys/internal/builddir"
	"buildsys/internal/buildtest"
)

// outputCases are outputs that a build may leave besides the good a.rpm.
var outputCases = []struct {
	name string
	of   func(dir string) builddir.Outputs
	make func(out string) error
	want string // in the message; empty if it must be published
}{
	{"good", packageOutputs, func(string) error { return nil }, ""},
	{"directory", packageOutputs, func(out string) error {
		return os.Mkdir(filepath.Join(out, "sub"), 0o755)
	}, ""},
	{"no RPM", packageOutputs, func(out string) error {
		return os.Rename(filepath.Join(out, "a.rpm"), filepath.Join(out, "a.txt"))
	}, "no .rpm file"},
	{"nothing", imageOutputs, func(out string) error { return os.Remove(filepath.Join(out, "a.rpm")) },
		"no file"},
	{"empty", packageOutputs, func(out string) error {
		return os.WriteFile(filepath.Join(out, "b.rpm"), nil, 0o644)
	}, `"b.rpm" of package/one cannot be used: it is empty`},
	{"page", packageOutputs, func(out string) error {
		return os.WriteFile(filepath.Join(out, "b.rpm"), []byte("<html>"), 0o644)
	}, "not an RPM"},
	{"short", packageOutputs, func(out string) error {
		return os.WriteFile(filepath.Join(out, "b.rpm"), []byte("\xed\xab"), 0o644)
	}, "not an RPM"},
	{"link", packageOutputs, func(out string) error {
		return os.Symlink("a.rpm", filepath.Join(out, "b.rpm"))
	}, "not a regular file"},
	{"image link", imageOutputs, func(out string) error {
		return os.Symlink("a.rpm", filepath.Join(out, "b"))
	}, ""},
	{"link up", imageOutputs, func(out string) error {
		return os.Symlink("../../x", filepath.Join(out, "b"))
	}, "leaves the outputs"},
	{"link away", imageOutputs, func(out string) error {
		return os.Symlink("/etc/passwd", filepath.Join(out, "b"))
	}, "leaves the outputs"},
	{"link by way of another", imageOutputs, func(out string) error {
		return errors.Join(os.Symlink(".", filepath.Join(out, "d")),
			os.Symlink("d/d/d/../../../x", filepath.Join(out, "e")))
	}, "leads to nothing in the outputs"},
	{"command", packageOutputs, func(out string) error {
		return os.WriteFile(filepath.Join(out, "zz;rm -rf $HOME"), nil, 0o644)
	}, "contains the character ';'"},
	{"hidden", packageOutputs, func(out string) error {
		return os.WriteFile(filepath.Join(out, ".a"), nil, 0o644)
	}, "begins with a dot"},
	{"image without an archive", imageOutputs, func(out string) error {
		return os.WriteFile(filepath.Join(out, ".no-kmod-kit"), nil, 0o644)
	}, ""},
	{"pipe", packageOutputs, func(out string) error {
		return syscall.Mkfifo(filepath.Join(out, "b.rpm"), 0o644)
	}, "not a regular file"},
	{"set-user-ID", packageOutputs, func(out string) error {
		return os.Chmod(filepath.Join(out, "a.rpm"), 0o755|os.ModeSetuid)
	}, "set-user-ID"},
	{"dash directory", packageOutputs, func(out string) error {
		return os.Mkdir(filepath.Join(out, "-rf"), 0o755)
	}, "begins with a dash"},
	{"dash file", packageOutputs, func(out string) error {
		return os.WriteFile(filepath.Join(out, "-rf"), nil, 0o644)
	}, "begins with a dash"},
	{"newline", packageOutputs, func(out string) error {
		return os.WriteFile(filepath.Join(out, "a\nb"), nil, 0o644)
	}, "control characters"},
	{"bytes", packageOutputs, func(out string) error {
		return os.WriteFile(filepath.Join(out, "a\xff"), nil, 0o644)
	}, "UTF-8"},
}

func TestOutputsAreChecked(t *testing.T) {
	good := func(out string) error {
		return os.WriteFile(filepath.Join(out, "a.rpm"), []byte(buildtest.RPMMagic), 0o644)
	}
	for _, tt := range outputCases {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			outputs := tt.of(dir)
			buildtest.Write(t, outputs.Dir, "-- old.rpm --\nold\n")
			before := buildtest.Snapshot(t, filepath.Join(dir, "out"))
			err := build(dir, outputs, builddir.Hooks{}, func(out string) error {
				if err := good(out); err != nil {
					return err
				}
				return tt.make(out)
			})
			if tt.want == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			bad, ok := errors.AsType[*builddir.OutputError](err)
			if !ok || !strings.Contains(bad.Error(), tt.want) {
				t.Errorf("error is %v (%v), want an OutputError with %q", err, bad, tt.want)
			}
			if after := buildtest.Snapshot(t, filepath.Join(dir, "out")); !maps.Equal(before, after) {
				t.Errorf("outputs were changed: %v", after)
			}
			if left := buildtest.Snapshot(t, filepath.Join(dir, "staging")); len(left) > 0 {
				t.Errorf("left in staging: %v", left)
			}
		})
	}
}
