// Package need lets a test say what it needs of the machine. It imports nothing of ours, so that
// every package can use it.
//
// What script/setup provides must be there when skips are forbidden, as script/test forbids them: a
// test that lacks it fails. A plain go test skips such a test and says why. What nobody can
// provide, as root's rights, always skips.
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

// NoSkip is the environment variable that forbids tests to skip for want of what script/setup
// provides.
const NoSkip = "BUILDSYS_TEST_NO_SKIP"

// Missing ends a test that lacks something that script/setup provides.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	what := fmt.Sprintf(format, args...)
	if os.Getenv(NoSkip) != "" {
		t.Fatalf("%s: script/setup provides it, and %s forbids skipping the test", what, NoSkip)
	}
	t.Skipf("%s (script/setup provides it)", what)
}

// Program returns the path of a program, which may be one for administrators that is not on a
// user's PATH.
func Program(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin/", "/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path
		}
	}
	Missing(t, "the program %s is missing", name)
	return ""
}

// Programs checks that programs are on the PATH or among those for administrators.
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
		t.Skip("left out by -short: it builds, boots or starts daemons")
	}
}

// Mount mounts a file system at a directory, with arguments for mount(8), until unmount is called
// or the test ends.
func Mount(t testing.TB, at string, args ...string) (unmount func()) {
	t.Helper()
	Root(t)
	out, err := exec.Command("mount", append(args, at)...).CombinedOutput()
	if err != nil {
		Missing(t, "root may not mount here: mount %s: %v: %s", strings.Join(args, " "), err, out)
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

// Buildkitd returns the path of the buildkitd that script/setup compiles, of the version that
// go.mod names.
func Buildkitd(t testing.TB) string {
	t.Helper()
	Root(t)
	Program(t, "runc")
	const module = "github.com/moby/buildkit"
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", module).Output()
	if err != nil {
		t.Fatalf("which version of BuildKit go.mod names: %v", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	version := strings.TrimSpace(string(out))
	path := filepath.Join(cache, "buildsys", "tools", "buildkit-"+version, "buildkitd")
	if _, err := os.Stat(path); err != nil {
		Missing(t, "there is no %s", path)
	}
	return path
}

// Until asks again and again whether something is done that tells nobody when it is, and reports
// whether it was in time.
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
