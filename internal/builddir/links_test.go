package builddir_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"buildsys/internal/builddir"
	"buildsys/internal/buildtest"
	"buildsys/internal/buildtest/need"
	"buildsys/internal/cache"
	"buildsys/internal/errkind"
)

// A link that a checkout has in a fixed place below build/ would lead what buildsys deletes and
// writes there to files of its user.
func TestLinksAreRefused(t *testing.T) {
	for _, place := range []string{
		"build", "build/rpms", "build/rpms/x86_64", "build/staging", "build/staging/x86_64",
		"build/state", "build/state/x86_64", "build/state/hashes", "build/logs/x86_64",
		"build/images", "build/images/x86_64-a-b", "build/images/x86_64-a-b/1.0.0-x",
		"build/kits", "build/kits/x86_64", "build/kits/oci", "build/kits/oci/core",
		"build/modules/x86_64", "build/reproducible", "build/reproducible/a", "build/.lock-x86_64",
		"build/.lock-kits", "build/state/x86_64/packages", "build/state/x86_64/packages/ab",
		"build/state/x86_64/packages/swept", "build/kits/oci/core/blobs",
		"build/kits/oci/core/blobs/sha256", "build/kits/oci/core/index.json",
	} {
		for _, target := range []string{"victim", "..", ".", "/proc/self/fd/0", "nowhere"} {
			root, victim := t.TempDir(), t.TempDir()
			if target == "victim" {
				target = victim
			}
			buildtest.Must(t, os.MkdirAll(filepath.Join(root, filepath.Dir(place)), 0o755))
			buildtest.Must(t, os.Symlink(target, filepath.Join(root, place)))
			err := builddir.In(root, "x86_64").Check()
			if e, ok := errors.AsType[*builddir.PlaceError](err); !ok ||
				e.Path != filepath.Join(root, place) || errkind.Of(err) != errkind.Usage {
				t.Errorf("%s -> %s: %v", place, target, err)
			}
		}
		root := t.TempDir()
		buildtest.Must(t, os.MkdirAll(filepath.Join(root, filepath.Dir(place)), 0o755))
		buildtest.Must(t, unix.Mkfifo(filepath.Join(root, place), 0o644))
		if err := builddir.In(root, "x86_64").Check(); !errkind.Is[*builddir.PlaceError](err) {
			t.Errorf("%s is a FIFO: %v", place, err)
		}
	}
}

// TestLinkToNothing says of a link where it leads, and that nothing is there.
func TestLinkToNothing(t *testing.T) {
	root := t.TempDir()
	buildtest.Must(t, os.Symlink("/disk2/\nbuild", filepath.Join(root, "build")))
	err := builddir.In(root, "x86_64").Check()
	const want = `/build is a symbolic link to "/disk2/\nbuild", where nothing is: `
	if err == nil || !strings.Contains(err.Error(), want) ||
		!strings.Contains(err.Error(), "remove it") {
		t.Errorf("error %v", err)
	}
}

// TestLinksAreRefusedWhateverTheCheckoutIsCalled has names that are patterns of file names.
func TestLinksAreRefusedWhateverTheCheckoutIsCalled(t *testing.T) {
	for _, name := range []string{"os[1]", "os*", "os?", `os\`, "os["} {
		root, victim := filepath.Join(t.TempDir(), name), t.TempDir()
		buildtest.Must(t, os.MkdirAll(filepath.Join(root, "build/staging"), 0o755))
		buildtest.Must(t, os.Symlink(victim, filepath.Join(root, "build/staging/x86_64")))
		if err := builddir.In(root, "x86_64").Check(); !errkind.Is[*builddir.PlaceError](err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The link to the newest images leads to a directory beside it and nowhere else.
func TestLatestStaysBeside(t *testing.T) {
	for target, good := range map[string]bool{
		"1.0.0-x": true, "not-yet": true, "..": false, "../x86_64-c-d": false, "/etc": false,
		"1.0.0-x/../../..": false,
	} {
		root := t.TempDir()
		dir := filepath.Join(root, "build/images/x86_64-a-b")
		buildtest.Must(t, os.MkdirAll(filepath.Join(dir, "1.0.0-x"), 0o755))
		buildtest.Must(t, os.Symlink(target, filepath.Join(dir, builddir.Latest)))
		if err := builddir.In(root, "x86_64").Check(); (err == nil) != good {
			t.Errorf("latest -> %s: %v", target, err)
		}
	}
}

// A lock is a file of its own: taking it empties no other.
func TestLockIsAFile(t *testing.T) {
	for name, make := range map[string]func(victim, lock string) error{
		"symbolic link": os.Symlink, "hard link": os.Link,
	} {
		dir := t.TempDir()
		victim, lock := filepath.Join(dir, "victim"), filepath.Join(dir, ".lock")
		buildtest.Must(t, os.WriteFile(victim, []byte("precious"), 0o644))
		buildtest.Must(t, make(victim, lock))
		if unlock, err := builddir.Lock(t.Context(), "", lock, nil); err == nil {
			unlock()
			t.Errorf("%s: it was taken", name)
		}
		if data, err := os.ReadFile(victim); err != nil || string(data) != "precious" {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
}

// The console of a guest goes to a new file, whatever a checkout has in its place.
func TestBootLogIsNew(t *testing.T) {
	root := t.TempDir()
	victim := filepath.Join(root, "victim")
	buildtest.Must(t, os.WriteFile(victim, []byte("precious"), 0o644))
	buildtest.Must(t, os.MkdirAll(filepath.Join(root, "build/logs/x86_64"), 0o755))
	for _, link := range []func(old, new string) error{os.Symlink, os.Link} {
		log := filepath.Join(root, "build/logs/x86_64/boot-a-b.log")
		_ = os.Remove(log)
		buildtest.Must(t, link(victim, log))
		f, err := builddir.In(root, "x86_64").CreateBootLog("a-b")
		buildtest.Must(t, err)
		_, err = f.WriteString("ssh-ed25519 attacker")
		buildtest.Must(t, errors.Join(err, f.Close()))
		if data, err := os.ReadFile(victim); err != nil || string(data) != "precious" {
			t.Errorf("%q, %v", data, err)
		}
	}
}

// Records are files of the size of records.
func TestRecordsAreFiles(t *testing.T) {
	dir := t.TempDir()
	buildtest.Must(t, os.Symlink("/dev/zero", filepath.Join(dir, "package-a.state")))
	buildtest.Must(t, unix.Mkfifo(filepath.Join(dir, "package-b.state"), 0o644))
	endless := filepath.Join(dir, "package-c.state")
	buildtest.Must(t, os.WriteFile(endless, nil, 0o644))
	buildtest.Must(t, os.Truncate(endless, 1<<40))
	for _, step := range []string{"package/a", "package/b", "package/c"} {
		if _, ok := builddir.ReadState(dir, step); ok {
			t.Errorf("%s has a record", step)
		}
		if _, ok := builddir.ReadStateHead(dir, step); ok {
			t.Errorf("%s has the head of a record", step)
		}
	}
	if all := builddir.Transcripts(dir); len(all) > 0 {
		t.Errorf("transcripts %q", all)
	}
}

// Nobody but its owner can enter the directory in which outputs arrive before they are checked.
func TestStagingIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "staging")
	buildtest.Must(t, os.Mkdir(dir, 0o777)) // of an earlier version, or brought along
	s, err := builddir.OpenStaging("", dir, builddir.Hooks{})
	buildtest.Must(t, err)
	buildtest.Must(t, s.Use("package/a", func(out string) error {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		// What is published has the mode of outputs.
		if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		return nil
	}))
}

// TestLinksThatComeLater: somebody else who may write to the checkout puts a link in the place of a
// directory while a run works there. What is deleted, made and replaced stays in the directories
// that the run has opened.
func TestLinksThatComeLater(t *testing.T) {
	top, victim := t.TempDir(), t.TempDir()
	key := filepath.Join(victim, "x86_64", "one", "id_rsa")
	buildtest.Must(t, os.MkdirAll(filepath.Dir(key), 0o755))
	buildtest.Must(t, os.WriteFile(key, nil, 0o600))
	swap := func(dir string) {
		buildtest.Must(t, os.Rename(dir, dir+".away"))
		buildtest.Must(t, os.Symlink(victim, dir))
	}
	d := builddir.In(top, "x86_64")
	rpms := d.RPMs("one")
	s, err := builddir.OpenStaging(top, d.Staging(""), builddir.Hooks{Stage: func(name string) {
		if name == "parent" {
			swap(filepath.Dir(filepath.Dir(rpms)))
		}
	}})
	buildtest.Must(t, err)
	buildtest.Must(t, s.Use("package/one", func(out string) error {
		return s.Publish(builddir.Outputs{Step: "package/one", Dir: rpms}, out)
	}))
	swap(filepath.Dir(d.Staging("")))
	buildtest.Must(t, os.MkdirAll(filepath.Join(top, "build/reproducible"), 0o755))
	buildtest.Must(t, s.Close())
	if _, err := builddir.OpenStaging(top, d.Staging(""), builddir.Hooks{}); err == nil {
		t.Error("a link is followed to the staging directory")
	}
	swap(filepath.Join(top, "build/reproducible"))
	if err := d.Builds("x86_64").Remove(); err == nil {
		t.Error("a link is followed to the builds that are compared")
	}
	if _, err := os.Stat(key); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(top, "build/rpms.away/x86_64/one")); err != nil {
		t.Errorf("the outputs are not where they were to be: %v", err)
	}
}

// TestNoWriterFollowsLinks: whatever is written or removed by name below build/ once the checkout
// was looked at, a link that has come since leads none of it elsewhere.
func TestNoWriterFollowsLinks(t *testing.T) {
	for what, c := range map[string]struct {
		link  string // below build/, to a directory with the names of all places
		write func(top string, d builddir.Dir) error
	}{
		"lock": {".", func(top string, d builddir.Dir) error {
			_, err := builddir.Lock(t.Context(), top, d.Lock(), nil)
			return err
		}},
		"lock of a unit": {"state", func(top string, d builddir.Dir) error {
			_, err := builddir.LockShared(t.Context(), top, d.UnitLock("package/one"), "", nil)
			return err
		}},
		"images": {"state/x86_64", func(top string, d builddir.Dir) error {
			return builddir.Remember(top, d.State(), "one", nil, builddir.Placed{})
		}},
		"outputs of a killed run": {"rpms", func(top string, d builddir.Dir) error {
			s, err := builddir.OpenStaging(top, d.Staging(""), builddir.Hooks{})
			buildtest.Must(t, err)
			return s.Recover(builddir.Outputs{Step: "package/one", Dir: d.RPMs("one")})
		}},
		"report of differences": {"reproducible", func(top string, d builddir.Dir) error {
			_, err := d.Builds("one").KeepReport("diffoscope", []byte("text"))
			return err
		}},
		"nodes": {"state", func(top string, d builddir.Dir) error {
			return cache.Nodes{Dir: d.Nodes(), Top: top}.Put(cache.PackagesDigest{}, []byte("text"))
		}},
		"sweep": {"state/x86_64", func(top string, d builddir.Dir) error {
			return cache.Nodes{Dir: d.Nodes(), Top: top}.Sweep(time.Now(),
				func() []string { return nil })
		}},
	} {
		t.Run(what, func(t *testing.T) {
			top, victim := t.TempDir(), t.TempDir()
			d := builddir.In(top, "x86_64")
			for _, base := range []string{d.Root, filepath.Join(victim, "x86_64"), victim} {
				for _, dir := range []string{"packages/00", "x86_64/packages/00", "one",
					"one.buildsys-old", "x86_64/one", "x86_64/one.buildsys-old", "x86_64/x86_64"} {
					buildtest.Must(t, os.MkdirAll(filepath.Join(base, dir), 0o755))
				}
			}
			key := filepath.Join(victim, "packages/00/id_rsa")
			buildtest.Must(t, os.WriteFile(key, nil, 0o600))
			buildtest.Must(t, os.Chtimes(key, time.Unix(1, 0), time.Unix(1, 0)))
			link := filepath.Join(d.Root, c.link)
			buildtest.Must(t, errors.Join(os.RemoveAll(link),
				os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink(victim, link)))
			before := names(t, victim)
			err := c.write(top, d)
			if after := names(t, victim); after != before || err == nil {
				t.Errorf("error %v; before:\n%s\nafter:\n%s", err, before, after)
			}
		})
	}
}

func names(t *testing.T, dir string) (all string) {
	buildtest.Must(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		all += path + "\n"
		return err
	}))
	return all
}

// TestStagingOfAnotherUser: whoever owns the directory in which outputs are made could put a link
// in the place of one.
func TestStagingOfAnotherUser(t *testing.T) {
	need.Root(t)
	top := t.TempDir()
	dir := builddir.In(top, "x86_64").Staging("")
	buildtest.Must(t, os.MkdirAll(filepath.Join(dir, "left"), 0o777))
	buildtest.Must(t, os.Lchown(dir, 65534, -1))
	s, err := builddir.OpenStaging(top, dir, builddir.Hooks{})
	buildtest.Must(t, err)
	defer s.Close()
	buildtest.Must(t, s.Use("package/one", func(string) error {
		info, err := os.Stat(dir)
		buildtest.Must(t, err)
		if owner := info.Sys().(*syscall.Stat_t).Uid; owner != uint32(os.Geteuid()) {
			t.Errorf("outputs are made in a directory of user %d", owner)
		}
		return nil
	}))
}
