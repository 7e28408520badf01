// Two runs on one checkout.

package builddir_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"buildsys/internal/builddir"
)

func TestLockHasOneHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "build", ".lock")
	unlock, err := builddir.Lock(t.Context(), "", path, nil)
	if err != nil {
		t.Fatal(err)
	}
	me := fmt.Sprintf("pid %d, since ", os.Getpid())

	_, err = builddir.Lock(t.Context(), "", path, nil)
	locked, ok := errors.AsType[*builddir.LockedError](err)
	if !ok || !strings.Contains(locked.Error(), me) {
		t.Fatalf("second lock: %v, want a LockedError that names the holder", err)
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	impatient := errors.New("stopped waiting")
	_, err = builddir.Lock(ctx, "", path, func(string) { cancel(impatient) })
	if !errors.Is(err, impatient) {
		t.Fatalf("cancelled wait: %v", err)
	}

	var told []string
	unlock2, err := builddir.Lock(t.Context(), "", path, func(holder string) {
		told = append(told, holder)
		unlock()
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(told) != 1 || !strings.HasPrefix(told[0], me) {
		t.Errorf("told %q, want once %q", told, me)
	}
	if data, _ := os.ReadFile(path); !strings.HasPrefix(string(data), me) {
		t.Errorf("the lock file holds %q", data)
	}
	unlock2()
	if _, err := builddir.Lock(t.Context(), "", path, nil); err != nil {
		t.Errorf("after unlocking: %v", err)
	}
}

// A holder that is killed frees the lock, although its text stays in the file.
func TestLockOfKilledProcess(t *testing.T) {
	dir := t.TempDir()
	cmd := lockHolder(t, "lock", dir)
	path := filepath.Join(dir, ".lock")
	_, err := builddir.Lock(t.Context(), "", path, nil)
	if _, ok := errors.AsType[*builddir.LockedError](err); !ok ||
		!strings.Contains(err.Error(), fmt.Sprintf("pid %d,", cmd.Process.Pid)) {
		t.Errorf("while the helper lives: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	unlock, err := builddir.Lock(t.Context(), "", path, nil)
	if err != nil {
		t.Fatalf("after the kill: %v", err)
	}
	unlock()
}

// lockHolder starts a process that takes a lock, and returns once it holds it.
func lockHolder(t *testing.T, kind, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperProcess$")
	cmd.Env = append(os.Environ(), "BUILDDIR_HELPER="+kind, "BUILDDIR_DIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "locked\n" {
		t.Fatalf("helper said %q, %v", line, err)
	}
	return cmd
}

// Shared locks are held together and exclude an exclusive one, and the other way round.
func TestSharedLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".lock")
	one, err := builddir.LockShared(t.Context(), "", path, "cargo: one", nil)
	if err != nil {
		t.Fatal(err)
	}
	two, err := builddir.LockShared(t.Context(), "", path, "cargo: two", nil)
	if err != nil {
		t.Fatalf("two shared: %v", err)
	}
	_, err = builddir.Lock(t.Context(), "", path, nil)
	if locked, ok := errors.AsType[*builddir.LockedError](err); !ok ||
		!strings.Contains(locked.Holder, "cargo: two") {
		t.Fatalf("exclusive beside two shared: %v", err)
	}
	one()
	alone, err := builddir.Lock(t.Context(), "", path, func(holder string) {
		if !strings.Contains(holder, "cargo: two") {
			t.Errorf("the holder is said to be %q", holder)
		}
		two()
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = builddir.LockShared(t.Context(), "", path, "cargo: three", nil); err == nil {
		t.Error("a shared lock was taken beside an exclusive one")
	}
	alone()
	if _, err = builddir.LockShared(t.Context(), "", path, "cargo: three", nil); err != nil {
		t.Error(err)
	}
}

// Three processes have the three slots. A fourth waits, learns who holds them, and proceeds when
// one of them is killed.
func TestSlots(t *testing.T) {
	dir := t.TempDir()
	var held []*exec.Cmd
	for range 3 {
		held = append(held, lockHolder(t, "slot", dir))
	}
	told := 0
	release, err := builddir.Slot(t.Context(), dir, 3, "the fourth", func(holders []string) {
		told++
		for i, cmd := range held {
			if want := fmt.Sprintf("pid %d,", cmd.Process.Pid); len(holders) != 3 ||
				!strings.Contains(holders[i], want) {
				t.Errorf("waits for %q, want one with %q", holders, want)
			}
		}
		if err := held[1].Process.Kill(); err != nil {
			t.Error(err)
		}
	})
	if err != nil || told != 1 {
		t.Fatalf("told %d times: %v", told, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	impatient := errors.New("stopped waiting")
	if _, err := builddir.Slot(ctx, dir, 3, "the fifth",
		func([]string) { cancel(impatient) }); !errors.Is(err, impatient) {
		t.Errorf("a fifth beside three: %v", err)
	}
	release()
	if _, err := builddir.Slot(t.Context(), dir, 3, "the fifth",
		func(holders []string) { t.Errorf("waits for %q", holders) }); err != nil {
		t.Error(err)
	}
}

// A lock that cannot be taken says where it is: slots are not in the checkout.
func TestLockWithoutDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "slots")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := builddir.Slot(t.Context(), filepath.Join(file, "engine"), 1, "", nil)
	if _, ok := errors.AsType[*builddir.HostError](err); !ok ||
		!strings.HasPrefix(err.Error(), "cannot take a lock: ") || !strings.Contains(err.Error(), file) {
		t.Errorf("error %v", err)
	}
}
