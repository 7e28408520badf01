// Who can write to a cache directory. What is in it proves that it is undamaged, not who made it.

package cachedir

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"buildsys/internal/errkind"
)

// OwnerError means that others than this user can write to a directory whose files are believed.
type OwnerError struct {
	Dir    string
	Reason string // "it belongs to the user with ID 1000"
}

// Error names the owner and what to do.
func (e *OwnerError) Error() string {
	return fmt.Sprintf("the cache directory %s is not yours alone: %s; use one of your own "+
		"(--cache-dir), or --cache-shared=true if you trust whoever writes there like yourself",
		e.Dir, e.Reason)
}

// ErrorKind returns errkind.Environment.
func (*OwnerError) ErrorKind() errkind.Kind { return errkind.Environment }

// CheckOwner returns an *OwnerError if others than this user can write to the cache directory, or
// to one in it with results, objects, records or kits: they could replace those. What is not there
// yet is made for this user.
func (d Dir) CheckOwner() error {
	for _, dir := range []string{string(d), d.Store(), d.Objects(), d.Kits(), d.MadeKits(),
		d.SDK()} {
		if reason := othersWrite(dir); reason != "" {
			return &OwnerError{dir, reason}
		}
	}
	return nil
}

// othersWrite returns why others than this user and root can write to a directory, or "".
func othersWrite(dir string) string {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return "" // it is made, or its use reports why it cannot be used
	}
	switch {
	case int(st.Uid) != os.Geteuid() && st.Uid != 0:
		return fmt.Sprintf("it belongs to the user with ID %d", st.Uid)
	case st.Mode&0o002 != 0:
		return "everybody may write there"
	case st.Mode&0o020 != 0 && !ownGroup(dir, st):
		return fmt.Sprintf("the group with ID %d may write there (chmod g-w)", st.Gid)
	}
	return ""
}

// ownGroup reports whether nobody else is in a directory's group: by convention a user's own group
// has the user's ID. With an ACL the group's bits are those of all who are in it.
func ownGroup(dir string, st unix.Stat_t) bool {
	n, err := unix.Getxattr(dir, "system.posix_acl_access", nil)
	return st.Gid == st.Uid && (err != nil || n == 0)
}
