package sdk

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/errkind"
	"buildsys/internal/progress"
)

func TestRecordsThatCannotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	err := RecordsIn(filepath.Join(file, "sdk")).Set("sdk:1", "sha256:0")
	if errkind.Of(err) != errkind.Environment {
		t.Errorf("%v; want an error of the environment", err)
	}
}

// TestAnotherEngineAskedOnce: an engine with another image of the same name changes what is
// believed of that engine, and of no other.
func TestAnotherEngineAskedOnce(t *testing.T) {
	dir := t.TempDir()
	here, there, new := RecordsIn(dir), RecordsIn(dir, "tcp://there:1"), RecordsIn(dir, "tcp://new:1")
	if got := there.Digest("sdk:1"); got != "" {
		t.Errorf("before anything is known: %q", got)
	}
	buildtest.Must(t, here.Set("sdk:1", "sha256:0"))
	buildtest.Must(t, there.Set("sdk:1", "sha256:1"))
	for _, c := range []struct {
		of   Records
		want string
	}{{here, "sha256:0"}, {there, "sha256:1"}, {new, "sha256:0"}} {
		if got := c.of.Digest("sdk:1"); got != c.want {
			t.Errorf("%q: %s, want %s", c.of.engine, got, c.want)
		}
	}
	buildtest.Must(t, here.Set("sdk:1", "sha256:2"))
	if got := there.Digest("sdk:1"); got != "sha256:1" {
		t.Errorf("an import here changes %q there", got)
	}
}

// TestRecordsThatAreNoFiles: no pipe is waited for, and no link is followed to a digest.
func TestRecordsThatAreNoFiles(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	buildtest.Must(t, os.WriteFile(outside, []byte("sha256:0 registry"), 0o644))
	for what, make := range map[string]func(at string) error{
		"a link": func(at string) error { return os.Symlink(outside, at) },
		"a pipe": func(at string) error { return syscall.Mkfifo(at, 0o600) },
		"a file without end": func(at string) error {
			return errors.Join(os.WriteFile(at, nil, 0o600), os.Truncate(at, 1<<40))
		},
	} {
		r := RecordsIn(t.TempDir())
		buildtest.Must(t, make(r.file("sdk:1")))
		buildtest.Must(t, make(r.file("sdk:1")+originSuffix))
		if got := r.Digest("sdk:1"); got != "" {
			t.Errorf("%s is the digest %.100q", what, got)
		}
		if got := r.origin("sdk:1", "sha256:0"); got != "" {
			t.Errorf("%s is the origin %.100q", what, got)
		}
	}
}

// TestLockedImage: an image that is known not to be the one that the lock binds is not used without
// a word, and not at all for a release.
func TestLockedImage(t *testing.T) {
	told := 0
	i := Images{SDK: "sdk:1", Records: RecordsIn(t.TempDir(), "tcp://a:1"), Lock: "lock1",
		Tell: func(progress.Kind, string) { told++ }}
	confirm := func() error { return i.Confirm(t.Context(), &owner{id: "sha256:other"}, Digests{}) }
	if err := confirm(); err != nil || told != 0 {
		t.Errorf("nothing is known: %v, told %d times", err, told)
	}
	if err := i.Records.SetLocked("lock1", "sha256:right"); err != nil {
		t.Fatal(err)
	}
	if err := confirm(); err != nil || told != 1 {
		t.Errorf("another image: %v, told %d times", err, told)
	}
	i.Strict = true
	if err := confirm(); !errkind.Is[*NotLockedError](err) {
		t.Errorf("another image, release: %v", err)
	}
	if err := i.Confirm(t.Context(), &owner{id: "sha256:right"}, Digests{}); err != nil || told != 1 {
		t.Errorf("the right image: %v, told %d times", err, told)
	}
	i.Lock = "lock2"
	if err := confirm(); err != nil {
		t.Errorf("another lock: %v", err)
	}
}
