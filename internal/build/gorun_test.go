package build

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/plan"
)

// TestStatusOfTheGoCommandIsAFile: the code that was run may leave anything in its place.
func TestStatusOfTheGoCommandIsAFile(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	buildtest.Must(t, os.WriteFile(secret, []byte("XYZZY"), 0o600))
	for what, put := range map[string]func(at string) error{
		"a link":         func(at string) error { return os.Symlink(secret, at) },
		"a pipe":         func(at string) error { return syscall.Mkfifo(at, 0o600) },
		"an endless one": func(at string) error { return os.Symlink("/dev/zero", at) },
		"a long one": func(at string) error {
			return os.WriteFile(at, []byte(strings.Repeat("0", 1000)), 0o600)
		},
	} {
		out := t.TempDir()
		buildtest.Must(t, put(filepath.Join(out, plan.GoStatus)))
		if status, err := goStatus(out); err == nil || strings.Contains(err.Error(), "XYZZY") {
			t.Errorf("%s: %d, %v", what, status, err)
		}
	}
	out := t.TempDir()
	buildtest.Must(t, os.WriteFile(filepath.Join(out, plan.GoStatus), []byte("3\n"), 0o600))
	if status, err := goStatus(out); status != 3 || err != nil {
		t.Errorf("%d, %v", status, err)
	}
}
