// clone_test: a clone has the files of a commit, from a repository that nobody vouches for.

package git

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestClone(t *testing.T) {
	user(t)
	dir := checkout(t)
	write(t, filepath.Join(dir, ".gitattributes"), "* filter=evil\n", 0o644)
	write(t, filepath.Join(dir, "run"), "one\n", 0o755)
	git(t, dir, "add", ".")
	git(t, dir, "commit", "-qm", "two")
	commit := strings.TrimSpace(git(t, dir, "rev-parse", "HEAD"))
	mark := filepath.Join(t.TempDir(), "ran")
	for _, key := range []string{"filter.evil.smudge", "filter.evil.process", "core.fsmonitor",
		"uploadpack.packObjectsHook", "remote.origin.uploadpack", "core.alternateRefsCommand"} {
		git(t, dir, "config", key, "touch "+mark+"; cat")
	}
	write(t, filepath.Join(dir, ".git/hooks/post-checkout"), "#!/bin/sh\ntouch "+mark+"\n", 0o755)
	write(t, filepath.Join(dir, "run"), "changed\n", 0o755)
	to := filepath.Join(t.TempDir(), "tree")
	if err := Clone(t.Context(), dir, commit, to); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(to, "run")); err != nil || string(text) != "one\n" {
		t.Errorf("it has %q, %v", text, err)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("git ran a program of the repository")
	}
	if head, dirty, err := Head(t.Context(), to, "."); head != commit || dirty || err != nil {
		t.Errorf("it is at %s, %v, %v", head, dirty, err)
	}
	if err := Clone(t.Context(), dir, "--upload-pack=touch", to+"2"); err == nil {
		t.Error("an option is taken for a commit")
	}
}

// TestCloneOfWrongObjects: a repository has another file under the ID that the commit names.
func TestCloneOfWrongObjects(t *testing.T) {
	user(t)
	dir := checkout(t)
	write(t, filepath.Join(dir, "run"), "one\n", 0o755)
	git(t, dir, "add", ".")
	git(t, dir, "commit", "-qm", "two")
	commit := strings.TrimSpace(git(t, dir, "rev-parse", "HEAD"))
	blob := strings.TrimSpace(git(t, dir, "rev-parse", "HEAD:run"))
	at := filepath.Join(dir, ".git/objects", blob[:2], blob[2:])
	var object bytes.Buffer
	z := zlib.NewWriter(&object)
	fmt.Fprintf(z, "blob %d\x00%s", 5, "evil\n")
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(at); err != nil {
		t.Fatal(err)
	}
	write(t, at, object.String(), 0o444)
	to := filepath.Join(t.TempDir(), "tree")
	err := Clone(t.Context(), dir, commit, to)
	text, _ := os.ReadFile(filepath.Join(to, "run"))
	if err == nil {
		t.Errorf("commit %s has %q", commit, text)
	}
}
