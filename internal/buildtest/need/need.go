// Package need lets a test declare what it needs from the machine. It imports none of our packages,
// so that every package can use it.
//
// What script/setup provides must exist if skips are forbidden, as in script/test: a test that
// lacks it fails. A plain go test skips such a test and gives the reason. A test that needs what no
// script can provide, such as root's rights, is always skipped.
package need

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// NoSkip is the environment variable that forbids tests to skip because something that script/setup
// provides is missing.
const NoSkip = "BUILDSYS_TEST_NO_SKIP"

// Missing ends a test that lacks something that script/setup provides.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	lacks(t, fmt.Sprintf(format, args...), "script/setup provides it")
}

func lacks(t testing.TB, what, remedy string) {
	t.Helper()
	if os.Getenv(NoSkip) != "" {
		t.Fatalf("%s: %s, and %s forbids skipping the test", what, remedy, NoSkip)
	}
	t.Skipf("%s (%s)", what, remedy)
}

// Engine skips a test unless the engine on this machine is of the kind that the test needs.
func Engine(t testing.TB, suits bool, kind string) {
	t.Helper()
	if !suits {
		t.Skip("this test needs another engine: " + kind)
	}
}

// Find returns the path of a program, which may be an administrator's, outside a user's PATH.
func Find(name string) (string, error) {
	for _, dir := range []string{"", "/usr/sbin/", "/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("the program %s is missing", name)
}

// Program is Find for a program that a test needs.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := Find(name)
	if err != nil {
		Missing(t, "%v", err)
	}
	return path
}

// Programs checks that programs are on the PATH or among the administrator's.
func Programs(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		Program(t, name)
	}
}

// Root skips the test unless root runs it.
func Root(t testing.TB) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can run this test")
	}
}

// Time skips a test that takes longer than -short allows: it builds, boots or starts daemons.
func Time(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("skipped by -short: it builds, boots or starts daemons")
	}
}

// Mount mounts a file system at a directory, with arguments for mount(8), until unmount is called
// or the test ends.
func Mount(t testing.TB, at string, args ...string) (unmount func()) {
	t.Helper()
	Root(t)
	out, err := exec.Command("mount", append(args, at)...).CombinedOutput()
	if err != nil {
		lacks(t, fmt.Sprintf("mount %s: %v: %s", strings.Join(args, " "), err, out),
			"root needs CAP_SYS_ADMIN for it")
	}
	mounted := true
	unmount = func() {
		if mounted {
			mounted = false
			if out, err := exec.Command("umount", at).CombinedOutput(); err != nil {
				t.Errorf("umount: %v: %s", err, out)
			}
		}
	}
	t.Cleanup(unmount)
	return unmount
}

// Buildkitd returns the path of the buildkitd that script/setup compiles, in the version in go.mod.
func Buildkitd(t testing.TB) string {
	t.Helper()
	Root(t)
	Program(t, "runc")
	const module = "github.com/moby/buildkit"
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", module).Output()
	if err != nil {
		t.Fatalf("find the version of BuildKit in go.mod: %v", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	version := strings.TrimSpace(string(out))
	path := filepath.Join(cache, "buildsys", "tools", "buildkit-"+version, "buildkitd")
	if _, err := os.Stat(path); err != nil {
		Missing(t, "%s is missing", path)
	}
	return path
}

// Until calls done again and again until it returns true, and reports whether it did so in time. It
// is for events that cannot be waited for.
func Until(limit time.Duration, done func() bool) bool {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); !done(); <-tick.C {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}
