// crash_test: a store survives that its writers are killed at any moment, and any number of
// concurrent writers.

package cache

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// crashPut puts an entry that is the same in every process, so that whole stores can be compared.
func crashPut(dir string, stage func(string)) (Entry, error) {
	s, err := Open(filepath.Join(dir, "store"))
	if err != nil {
		return Entry{}, err
	}
	s.stage = stage
	e := entryOf("package/bash")
	e.Built = time.Unix(1700000000, 0)
	return s.Put(e, filepath.Join(dir, "out"), filepath.Join(dir, "log"))
}

func crashDir(t *testing.T) string {
	return write(t, map[string]string{"out/a.rpm": "a", "out/b.rpm": "b",
		"log": "log of package/bash\n"})
}

func contents(t *testing.T, dir string) map[string]string {
	s := &Store{Dir: filepath.Join(dir, "store")}
	all := map[string]string{}
	for _, name := range storeFiles(t, s, entriesDir, blobsDir, lastDir, quarantineDir, tmpDir) {
		data, err := os.ReadFile(s.path(name))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(data)
	}
	return all
}

// A process killed at any stage of Put leaves the whole entry or none, and the next Put leaves the
// store as if nothing had happened.
func TestKillWhilePutting(t *testing.T) {
	calm := crashDir(t)
	var stages []string
	e, err := crashPut(calm, func(name string) { stages = append(stages, name) })
	if err != nil {
		t.Fatal(err)
	}
	want := contents(t, calm)
	for n, stage := range stages {
		// Not parallel: a process that another test is just starting has this one's locks for a moment.
		t.Run(fmt.Sprintf("%02d %s", n, stage), func(t *testing.T) {
			dir := crashDir(t)
			kill(t, "HELPER=put", "DIR="+dir, "STAGE="+strconv.Itoa(n))
			s, err := Open(filepath.Join(dir, "store"))
			if err != nil {
				t.Fatal(err)
			}
			s.Warn = func(text string) { t.Errorf("warning: %s", text) }
			if got, published := fetch(t, s, e), n >= published(stages); got != published {
				t.Errorf("after the kill the entry's presence is %v", got)
			}
			if _, err := crashPut(dir, nil); err != nil {
				t.Fatal(err)
			}
			if got := contents(t, dir); !maps.Equal(got, want) {
				t.Errorf("after the next run: %v, want %v", got, want)
			}
		})
	}
}

// published is the number of the stage at which the entry has its name.
func published(stages []string) int {
	for n, stage := range stages {
		if stage == "renamed "+entriesDir {
			return n
		}
	}
	return -1
}

func helper(env ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperProcess$")
	cmd.Env = os.Environ()
	for _, one := range env {
		cmd.Env = append(cmd.Env, "CACHE_"+one)
	}
	return cmd
}

func kill(t *testing.T, env ...string) {
	t.Helper()
	out, err := helper(env...).CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the helper was not killed: %v\n%s", err, out)
	}
}

// TestHelperProcess is not a test: other tests run this binary with CACHE_HELPER set to get another
// process.
func TestHelperProcess(t *testing.T) {
	switch os.Getenv("CACHE_HELPER") {
	case "":
		return
	case "put":
		left, _ := strconv.Atoi(os.Getenv("CACHE_STAGE"))
		_, err := crashPut(os.Getenv("CACHE_DIR"), func(string) {
			if left == 0 {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {} // until the signal arrives
			}
			left--
		})
		t.Fatalf("came through alive: %v", err)
	case "hammer":
		seed, _ := strconv.Atoi(os.Getenv("CACHE_SEED"))
		hammer(t, os.Getenv("CACHE_DIR"), uint64(seed), 60)
	}
}

const hammerSteps = 6

func hammerFiles(n int) map[string]string {
	return map[string]string{
		"own.rpm":    strings.Repeat(strconv.Itoa(n), 2000),
		"shared.rpm": strings.Repeat("shared", 1000),
		"pair.rpm":   strings.Repeat(strconv.Itoa(n/2), 3000),
	}
}

// hammer performs random operations on a store and checks every result.
func hammer(t *testing.T, dir string, seed uint64, rounds int) {
	s, err := Open(dir)
	if err != nil {
		t.Error(err)
		return
	}
	random := rand.New(rand.NewPCG(seed, 0))
	for range rounds {
		n := random.IntN(hammerSteps)
		step := "package/" + strconv.Itoa(n)
		switch random.IntN(10) {
		case 0:
			_, err = s.Trim(0, 15_000, time.Now())
		case 1:
			var v Verified
			v, err = s.Verify(t.Context(), func(string) {})
			if v.Damaged > 0 {
				t.Errorf("damage: %+v", v)
			}
		case 2, 3, 4, 5:
			_, err = s.Put(entryOf(step), write(t, hammerFiles(n)), "")
		default:
			err = hammerFetch(t, s, step, hammerFiles(n))
		}
		if err != nil {
			t.Error(err)
		}
	}
}

func hammerFetch(t *testing.T, s *Store, step string, want map[string]string) error {
	e, ok := s.Get(entryOf(step).Action)
	if !ok {
		return nil
	}
	dir := t.TempDir()
	err := s.Restore(e, dir)
	if _, ok := errors.AsType[*DamagedError](err); ok && strings.Contains(err.Error(), "missing") {
		return nil // trimmed since Get
	}
	if err != nil {
		return err
	}
	for name, text := range want {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != text {
			t.Errorf("%s of %s is %.20q (%v)", name, step, got, err)
		}
	}
	return nil
}

// Goroutines and processes share one store; at the end everything in it is intact.
func TestRivals(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	var wg sync.WaitGroup
	for n := range 2 {
		wg.Go(func() { hammer(t, dir, uint64(n), 60) })
		wg.Go(func() {
			if out, err := helper("HELPER=hammer", "DIR="+dir,
				"SEED="+strconv.Itoa(10+n)).CombinedOutput(); err != nil {
				t.Errorf("helper: %v\n%s", err, out)
			}
		})
	}
	wg.Wait()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	s.Warn = func(text string) { t.Errorf("warning: %s", text) }
	v, err := s.Verify(t.Context(), s.Warn)
	if err != nil || v.Damaged+v.Dropped > 0 {
		t.Errorf("at the end: %+v, %v", v, err)
	}
	for n := range hammerSteps {
		if err := hammerFetch(t, s, "package/"+strconv.Itoa(n), hammerFiles(n)); err != nil {
			t.Error(err)
		}
	}
	if left := storeFiles(t, s, tmpDir, quarantineDir); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// Nothing can trim while an entry is being put.
func TestPutExcludesTrim(t *testing.T) {
	s := open(t)
	stages := 0
	s.stage = func(name string) {
		stages++
		if _, err := s.lock(unix.LOCK_EX | unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
			t.Errorf("at %s the store can be locked for trimming: %v", name, err)
		}
	}
	put2(t, s, "a")
	if stages == 0 {
		t.Error("no stages")
	}
}
