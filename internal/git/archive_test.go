// What git archives runs nothing that the repository names, and is the same each time.

package git

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestArchive(t *testing.T) {
	user(t)
	dir := checkout(t)
	write(t, filepath.Join(dir, ".gitattributes"), "* filter=evil text eol=crlf\n", 0o644)
	write(t, filepath.Join(dir, "run"), "one\ntwo\n", 0o755)
	git(t, dir, "add", ".")
	git(t, dir, "commit", "-qm", "two")
	git(t, dir, "tag", "v1.2.3")
	git(t, dir, "tag", "nightly")
	mark := filepath.Join(t.TempDir(), "ran")
	programs := t.TempDir()
	write(t, filepath.Join(programs, "gpg"), "#!/bin/sh\ntouch "+mark+"\n", 0o755)
	t.Setenv("PATH", programs+":"+os.Getenv("PATH"))
	for _, key := range []string{"filter.evil.smudge", "filter.evil.process", "tar.tar.command",
		"core.fsmonitor"} {
		git(t, dir, "config", key, "touch "+mark+"; cat")
	}
	first, err := Archive(t.Context(), dir, "tool")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("git ran a program of the repository")
	}
	if first.Version != "1.2.3" || first.Dirty || !commitID.MatchString(first.Commit) ||
		!bytes.Contains(first.Tar, []byte("tool/run\x00")) {
		t.Errorf("version %q, dirty %v, commit %q", first.Version, first.Dirty, first.Commit)
	}
	write(t, filepath.Join(dir, "run"), "three\n", 0o755)
	second, err := Archive(t.Context(), dir, "tool")
	if err != nil || !second.Dirty || !bytes.Equal(first.Tar, second.Tar) {
		t.Errorf("%v, dirty %v, %d bytes, then %d", err, second.Dirty, len(first.Tar), len(second.Tar))
	}
	sign(t, dir)
	_ = os.Remove(mark) // git add has run the filter
	if s, err := Archive(t.Context(), dir, "tool"); err != nil ||
		!bytes.Contains(s.Tar, []byte("by: $Format:")) {
		t.Errorf("a signed commit: %v", err)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("git had a signature checked")
	}
	if _, err := Archive(t.Context(), t.TempDir(), "tool"); err == nil {
		t.Error("a directory without a repository has an archive")
	}
}

// sign makes the newest commit one with a signature, of whose maker a file asks.
func sign(t *testing.T, dir string) {
	write(t, filepath.Join(dir, "signed"), "by: $Format:%GG %G?$\n", 0o644)
	write(t, filepath.Join(dir, ".gitattributes"), "signed export-subst\n", 0o644)
	git(t, dir, "add", ".")
	git(t, dir, "commit", "-qm", "three")
	head, message, _ := strings.Cut(git(t, dir, "cat-file", "commit", "HEAD"), "\n\n")
	file := filepath.Join(t.TempDir(), "commit")
	write(t, file, head+"\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n iQ==\n "+
		"-----END PGP SIGNATURE-----\n\n"+message+"\n", 0o644)
	git(t, dir, "update-ref", "HEAD", git(t, dir, "hash-object", "-t", "commit", "-w", file))
}
