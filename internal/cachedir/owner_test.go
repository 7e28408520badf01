package cachedir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"buildsys/internal/errkind"
)

// TestCheckOwner: what others can write to is used only if the caller says so.
func TestCheckOwner(t *testing.T) {
	for name, spoil := range map[string]struct {
		change func(dir string) error
		want   string
		root   bool
	}{
		"own":    {func(dir string) error { return os.Chmod(dir, 0o755) }, "", false},
		"anyone": {func(dir string) error { return os.Chmod(dir, 0o1777) }, "everybody", false},
		"a group": {func(dir string) error {
			return errors.Join(os.Chown(dir, -1, 54321), os.Chmod(dir, 0o775))
		}, "the group with ID 54321", true},
		"own group": {func(dir string) error {
			return errors.Join(os.Chown(dir, 0, 0), os.Chmod(dir, 0o775))
		}, "", true},
		"an access list": {func(dir string) error {
			return errors.Join(os.Chown(dir, 0, 0), os.Chmod(dir, 0o775), unix.Setxattr(dir,
				"system.posix_acl_access", accessList(), 0))
		}, "the group", true},
		"another user": {func(dir string) error { return os.Chown(dir, 12345, -1) },
			"the user with ID 12345", true},
	} {
		if spoil.root && os.Geteuid() != 0 { // only root can give a directory away
			continue
		}
		for _, sub := range []string{".", "store", "objects", "kits", "made-kits", "sdk"} {
			dir := t.TempDir()
			at := filepath.Join(dir, sub)
			if err := os.MkdirAll(at, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := spoil.change(at); err != nil {
				if errors.Is(err, unix.EOPNOTSUPP) {
					continue
				}
				t.Fatal(err)
			}
			err := Dir(dir).CheckOwner()
			if spoil.want == "" && err == nil {
				continue
			}
			if !errkind.Is[*OwnerError](err) || errkind.Of(err) != errkind.Environment ||
				spoil.want == "" || !strings.Contains(err.Error(), spoil.want) {
				t.Errorf("%s, %s: %v", name, sub, err)
			}
		}
	}
}

// accessList lets the user with ID 12345 write (include/uapi/linux/posix_acl_xattr.h).
func accessList() []byte {
	list := []byte{2, 0, 0, 0}
	for _, e := range [][3]byte{{1, 7}, {2, 7, 1}, {4, 5}, {16, 7}, {32, 5}} {
		list = append(list, e[0], 0, e[1], 0)
		if e[2] == 1 {
			list = append(list, 0x39, 0x30, 0, 0)
		} else {
			list = append(list, 0xff, 0xff, 0xff, 0xff)
		}
	}
	return list
}
