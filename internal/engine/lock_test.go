// Two runs on one checkout.

package engine

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
)

func TestLockHasOneHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "build", ".lock")
	unlock, err := Lock(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	me := fmt.Sprintf("pid %d, since ", os.Getpid())

	_, err = Lock(t.Context(), path, nil)
	locked, ok := errors.AsType[*LockedError](err)
	if !ok || !strings.Contains(locked.Error(), me) {
		t.Fatalf("second lock: %v, want a LockedError that names the holder", err)
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	impatient := errors.New("stopped waiting")
	_, err = Lock(ctx, path, func(string) { cancel(impatient) })
	if !errors.Is(err, impatient) {
		t.Fatalf("cancelled wait: %v", err)
	}

	var told []string
	unlock2, err := Lock(t.Context(), path, func(holder string) {
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
	if _, err := Lock(t.Context(), path, nil); err != nil {
		t.Errorf("after unlocking: %v", err)
	}
}

// A holder that is killed frees the lock, though its words stay in the file.
func TestLockOfKilledProcess(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperProcess$")
	cmd.Env = append(os.Environ(), "ENGINE_HELPER=lock", "ENGINE_DIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "locked\n" {
		t.Fatalf("helper said %q, %v", line, err)
	}
	path := filepath.Join(dir, ".lock")
	_, err = Lock(t.Context(), path, nil)
	if _, ok := errors.AsType[*LockedError](err); !ok || !strings.Contains(err.Error(), fmt.Sprintf("pid %d,", cmd.Process.Pid)) {
		t.Errorf("while the helper lives: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	unlock, err := Lock(t.Context(), path, nil)
	if err != nil {
		t.Fatalf("after the kill: %v", err)
	}
	unlock()
}
