package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/pflag"

	"buildsys/internal/buildtest/need"
	"buildsys/internal/errkind"
)

// TestPlantedLinks: a link that another user has put where everybody may make files is not
// followed; one's own is.
func TestPlantedLinks(t *testing.T) {
	need.Root(t)
	shared, private := filepath.Join(t.TempDir(), "shared"), filepath.Join(t.TempDir(), "file")
	a := newApp(&System{Dir: t.TempDir(), Getenv: func(string) string { return "" }},
		pflag.NewFlagSet("", pflag.ContinueOnError))
	link := filepath.Join(shared, "report.html")
	if err := errors.Join(os.Mkdir(shared, 0o700), os.Chmod(shared, 0o777|fs.ModeSticky),
		os.Chown(shared, 65533, -1), os.WriteFile(private, []byte("keep"), 0o600),
		os.Symlink(private, link), os.Lchown(link, 65534, -1)); err != nil {
		t.Fatal(err)
	}
	err := a.writeFile(link, []byte("page"), 0o644)
	if text, _ := os.ReadFile(private); string(text) != "keep" ||
		errkind.Of(err) != errkind.Usage {
		t.Errorf("of another user: %q, %v", text, err)
	}
	if err := os.Lchown(link, os.Geteuid(), -1); err != nil {
		t.Fatal(err)
	}
	err = a.writeFile(link, []byte("page"), 0o644)
	if text, _ := os.ReadFile(private); string(text) != "page" || err != nil {
		t.Errorf("one's own: %q, %v", text, err)
	}
}
