// What may be published and what may not.

package engine

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/plan"
)

// outputCases are what a build may leave besides the good a.rpm.
var outputCases = []struct {
	name string
	kind plan.Kind
	make func(out string) error
	want string // in the message; empty when it must be published
}{
	{"good", plan.Package, func(string) error { return nil }, ""},
	{"directory", plan.Package, func(out string) error { return os.Mkdir(filepath.Join(out, "sub"), 0o755) }, ""},
	{"no RPM", plan.Package, func(out string) error { return os.Rename(filepath.Join(out, "a.rpm"), filepath.Join(out, "a.txt")) }, "no .rpm file"},
	{"nothing", plan.Variant, func(out string) error { return os.Remove(filepath.Join(out, "a.rpm")) }, "no file"},
	{"empty", plan.Package, func(out string) error { return os.WriteFile(filepath.Join(out, "b.rpm"), nil, 0o644) }, `"b.rpm" of package/one cannot be used: it is empty`},
	{"page", plan.Package, func(out string) error { return os.WriteFile(filepath.Join(out, "b.rpm"), []byte("<html>"), 0o644) }, "not an RPM"},
	{"short", plan.Package, func(out string) error { return os.WriteFile(filepath.Join(out, "b.rpm"), []byte("\xed\xab"), 0o644) }, "not an RPM"},
	{"link", plan.Package, func(out string) error { return os.Symlink("a.rpm", filepath.Join(out, "b.rpm")) }, "not a regular file"},
	{"image link", plan.Variant, func(out string) error { return os.Symlink("a.rpm", filepath.Join(out, "b")) }, ""},
	{"link up", plan.Variant, func(out string) error { return os.Symlink("../../x", filepath.Join(out, "b")) }, "leaves the outputs"},
	{"link away", plan.Variant, func(out string) error { return os.Symlink("/etc/passwd", filepath.Join(out, "b")) }, "leaves the outputs"},
	{"pipe", plan.Package, func(out string) error { return syscall.Mkfifo(filepath.Join(out, "b.rpm"), 0o644) }, "not a regular file"},
	{"set-user-ID", plan.Package, func(out string) error { return os.Chmod(filepath.Join(out, "a.rpm"), 0o755|os.ModeSetuid) }, "set-user-ID"},
	{"dash directory", plan.Package, func(out string) error { return os.Mkdir(filepath.Join(out, "-rf"), 0o755) }, "begins with a dash"},
	{"dash file", plan.Package, func(out string) error { return os.WriteFile(filepath.Join(out, "-rf"), nil, 0o644) }, "begins with a dash"},
	{"newline", plan.Package, func(out string) error { return os.WriteFile(filepath.Join(out, "a\nb"), nil, 0o644) }, "control characters"},
	{"bytes", plan.Package, func(out string) error { return os.WriteFile(filepath.Join(out, "a\xff"), nil, 0o644) }, "UTF-8"},
}

func TestOutputsAreChecked(t *testing.T) {
	good := func(out string) error {
		return os.WriteFile(filepath.Join(out, "a.rpm"), []byte(buildtest.RPMMagic), 0o644)
	}
	for _, tt := range outputCases {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			p := oneStep(dir, tt.kind)
			buildtest.Write(t, p.Steps[0].Out, "-- old.rpm --\nold\n")
			before := buildtest.Snapshot(t, filepath.Join(dir, "out"))
			_, err := Run(t.Context(), p, options(dir, builderFunc(func(out string) error {
				if err := good(out); err != nil {
					return err
				}
				return tt.make(out)
			})))
			if tt.want == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			bad, ok := errors.AsType[*OutputError](err)
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
