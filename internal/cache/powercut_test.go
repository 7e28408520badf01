// powercut_test: at any moment of a Put, the disk holds an undamaged store with everything put
// before.

package cache

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/buildtest/need"
)

// mounted mounts an ext4 image at a new directory until the test ends.
func mounted(t *testing.T, image string) (dir string, unmount func()) {
	t.Helper()
	dir = t.TempDir()
	return dir, need.Mount(t, dir, "-o", "loop", image)
}

// The image of a mounted file system holds only what was forced to disk or written back, like a
// disk after a power cut. So a copy of it at a stage of Put is the store that the machine would
// find when it starts again.
func TestPowerCuts(t *testing.T) {
	mkfs := need.Program(t, "mkfs.ext4")
	work := t.TempDir()
	image := filepath.Join(work, "disk")
	if err := os.WriteFile(image, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 16<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mkfs, "-q", image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	dir, unmount := mounted(t, image)
	defer unmount()
	s, err := Open(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	s.Warn = func(text string) { t.Errorf("warning: %s", text) }
	var done []Entry
	var cuts []string // images
	durable := map[string]int{}
	s.stage = func(stage string) {
		cut := filepath.Join(work, fmt.Sprintf("cut %02d %s", len(cuts), stage))
		if out, err := exec.Command("cp", "--sparse=always", image, cut).CombinedOutput(); err != nil {
			t.Fatalf("cp: %v: %s", err, out)
		}
		cuts = append(cuts, cut)
		durable[cut] = len(done)
	}
	for n := range 3 {
		text := strings.Repeat(fmt.Sprint(n), 5000)
		done = append(done, put(t, s, fmt.Sprintf("package/%d", n),
			map[string]string{"a.rpm": text, "b.rpm": text + "b", "same.rpm": "same"}))
	}
	done = append(done, putBeside(t, s, done[0]))
	s.reach("end")
	unmount()
	for _, cut := range cuts {
		afterCut(t, cut, done, durable[cut])
	}
}

// afterCut checks the store on an image: the first of the entries must exist, the others may.
func afterCut(t *testing.T, image string, entries []Entry, durable int) {
	dir, unmount := mounted(t, image)
	defer unmount()
	name := filepath.Base(image)
	s, err := Open(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	v, err := s.Verify(t.Context(), func(text string) { t.Errorf("%s: %s", name, text) })
	if err != nil || v.Damaged+v.Dropped > 0 {
		t.Errorf("%s: %+v, %v", name, v, err)
	}
	for n, e := range entries {
		if !fetch(t, s, e) && n < durable {
			t.Errorf("%s: the entry of %s is gone", name, e.Step)
		}
	}
}

// putBeside stores the outputs of an entry once more, for another action of the same step whose ID
// begins alike. That creates no directory, so only the entry itself makes the entry durable.
func putBeside(t *testing.T, s *Store, e Entry) Entry {
	out, log := t.TempDir(), filepath.Join(t.TempDir(), "log")
	if err := errors.Join(s.Restore(e, out), restoreLog(s, e, log)); err != nil {
		t.Fatal(err)
	}
	e.Action[31] ^= 1
	e, err := s.Put(e, out, log)
	if err != nil {
		t.Fatal(err)
	}
	return e
}
