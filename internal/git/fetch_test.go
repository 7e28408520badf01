package git

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFetchObjects: what comes is bounded, and nothing that the repository names runs.
func TestFetchObjects(t *testing.T) {
	dir := checkout(t)
	write(t, filepath.Join(dir, "big"), rand.Text()+strings.Repeat(rand.Text(), 10_000), 0o644)
	noise := make([]byte, 1<<20)
	_, _ = rand.Read(noise)
	write(t, filepath.Join(dir, "noise"), string(noise), 0o644)
	git(t, dir, "add", ".")
	git(t, dir, "commit", "--quiet", "-m", "second")
	commit := git(t, dir, "rev-parse", "HEAD")
	ran := filepath.Join(t.TempDir(), "ran")
	for _, hook := range []string{"reference-transaction", "post-checkout", "post-merge"} {
		write(t, filepath.Join(dir, ".git/hooks", hook), "#!/bin/sh\ntouch "+ran+"\n", 0o755)
	}
	git(t, dir, "config", "uploadpack.packObjectsHook", "touch "+ran+";")
	git(t, dir, "config", "core.fsmonitor", "touch "+ran+";")
	from := Remote{URL: "file://" + strings.ReplaceAll(dir, " ", "%20")}
	for name, c := range map[string]struct {
		commit string
		max    uint64
		env    string
		want   string
	}{
		"there":              {commit, 8 << 20, "", ""},
		"for another object": {commit, 8 << 20, "GIT_OBJECT_DIRECTORY=/nowhere", ""},
		"too much":           {commit, 64 << 10, "", "git: "},
		"not there":          {strings.Repeat("1", 40), 8 << 20, "", ErrNotThere.Error()},
	} {
		if key, value, ok := strings.Cut(c.env, "="); ok {
			t.Setenv(key, value)
		}
		var out bytes.Buffer
		from.MaxBytes = c.max
		err := FetchObjects(t.Context(), t.TempDir(), from, c.commit, &out)
		os.Unsetenv("GIT_OBJECT_DIRECTORY")
		switch {
		case c.want != "":
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("%s: %v, want %s", name, err, c.want)
			}
		case err != nil || !strings.HasPrefix(out.String(), commit+" commit ") ||
			!bytes.Contains(out.Bytes(), noise):
			t.Errorf("%s: %v, %.80q", name, err, out.String())
		}
	}
	full := errors.New("no room")
	from.MaxBytes = 8 << 20
	err := FetchObjects(t.Context(), t.TempDir(), from, commit, writerFunc(func([]byte) (int, error) {
		return 0, full
	}))
	if !errors.Is(err, full) {
		t.Errorf("what nobody takes: %v", err)
	}
	if _, err := os.Stat(ran); !errors.Is(err, os.ErrNotExist) {
		t.Error("a program of the repository ran")
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
