package git

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// newTestSeries makes a series with a source, and a person who has committed to it.
func newTestSeries(t *testing.T) (s *Series, dir string) {
	t.Helper()
	dir = t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("a", "one\ntwo\n")
	write(".gitattributes", "* text eol=crlf filter=evil diff=evil\n")
	write(".gitignore", "*.o\n")
	write("x.o", "object\n")
	s, err := NewSeries(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	by := Person{"Ann", "ann@example.org", time.Unix(1e9, 0)}
	if err := s.Commit(t.Context(), by, "source"); err != nil {
		t.Fatal(err)
	}
	return s, dir
}

// Neither a configuration nor attributes make git run anything or change a patch, and equal changes
// give equal bytes.
func TestSeriesHeedsNoSettings(t *testing.T) {
	s, dir := newTestSeries(t)
	mark := filepath.Join(t.TempDir(), "ran")
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\ntouch "+mark+"\ncat\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	config := strings.ReplaceAll(`[core]
	hooksPath = /tmp
	fsmonitor = PROGRAM
	pager = PROGRAM
	autocrlf = true
[filter "evil"]
	clean = PROGRAM
	smudge = PROGRAM
[diff]
	external = PROGRAM
	noprefix = true
	context = 0
	mnemonicPrefix = true
	orderFile = /dev/zero
[diff "evil"]
	textconv = PROGRAM
	command = PROGRAM
[color]
	ui = always
[commit]
	gpgSign = true
[gpg]
	program = PROGRAM
[log]
	showSignature = true
`, "PROGRAM", program)
	file := filepath.Join(dir, ".git", "config")
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := "--- a/a\n+++ b/a\n@@ -1,2 +1,3 @@\n one\n+between\n two\n"
	for _, text := range []string{string(old), string(old) + config} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "a"), []byte("one\nbetween\ntwo\n"),
			0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "y.o"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := OpenSeries(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Uncommitted(t.Context())
		if _, diff, _ := strings.Cut(got, "\n--- "); err != nil || "--- "+diff != want {
			t.Errorf("%v\n%s\nwant\n%s", err, got, want)
		}
		if changes, err := s.Changes(t.Context()); err != nil || len(changes) != 0 {
			t.Errorf("%+v, %v", changes, err)
		}
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("a program of the configuration ran")
	}
	_ = s
}

func TestSeriesChanges(t *testing.T) {
	s, dir := newTestSeries(t)
	ctx, by := t.Context(), Person{"Bob", "bob@example.org", time.Unix(2e9, 0).UTC()}
	base, err := s.run(ctx, nil, "rev-parse", "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	base = strings.TrimSpace(base)
	commit := func(name, text, message string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := s.Commit(ctx, by, message); err != nil {
			t.Fatal(err)
		}
		if _, err := s.run(ctx, nil, "update-ref", baseRef, base); err != nil {
			t.Fatal(err)
		}
	}
	commit("b", "new\n", "second\n\nwhy\nso")
	commit("a", "", "third")
	changes, err := s.Changes(ctx)
	if err != nil || len(changes) != 2 || changes[0].By != by || changes[0].Subject != "second" ||
		changes[0].Body != "why\nso" || !strings.Contains(changes[1].Diff, "-two") {
		t.Errorf("%+v, %v", changes, err)
	}
	if rest, err := s.Uncommitted(ctx); rest != "" || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
	commit("z.bin", "\x00\x01", "binary")
	if _, err := s.Changes(ctx); err == nil || !strings.Contains(err.Error(), "binary file") {
		t.Errorf("a binary file: %v", err)
	}
	if _, err := s.run(ctx, nil, "update-ref", "HEAD", base); err != nil {
		t.Fatal(err)
	}
	tree, err := s.Tree(ctx)
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.run(ctx, by.env(), "commit-tree", "-m", "rewritten", tree)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.run(ctx, nil, "update-ref", "HEAD", strings.TrimSpace(other)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Changes(ctx); err == nil || !strings.Contains(err.Error(), ErrRewritten.Error()) {
		t.Errorf("rewritten commits: %v", err)
	}
	if beside, err := s.Beside(ctx); err != nil || !beside {
		t.Errorf("the base is not beside what was rewritten: %v, %v", beside, err)
	}
}

// A repository in the place of a file is no patch, wherever it is and whether it comes or goes.
func TestSeriesTakesNoRepositories(t *testing.T) {
	const file, link = "100644 ", "160000 "
	for raw, want := range map[string]bool{
		":" + file + file + "1 2 M\x00a\x00":                                        false,
		":" + file + link + "1 2 M\x00a\x00":                                        true,
		":" + file + file + "1 2 M\x00a\x00:" + link + "000000 1 0 D\x00b\x00":      true,
		":" + file + file + "1 2 M\x00name 160000 \x00":                             false,
		":" + file + file + "1 2 M\x00a\x00:000000 " + link + "0 1 A\x00160000\x00": true,
	} {
		if got := gitlink.MatchString(raw); got != want {
			t.Errorf("%q: %t", raw, got)
		}
	}
}

// TestSeriesBytes: settings of a repository neither leave out files nor change how patches are
// written.
func TestSeriesBytes(t *testing.T) {
	_, dir := newTestSeries(t)
	for name, text := range map[string]string{"README": "1\n", "readme": "2\n", "ä": "3\n",
		"a": "one\ntwo\n\nthree\n"} {
		write(t, filepath.Join(dir, name), text, 0o644)
	}
	change := func() string {
		t.Helper()
		s, err := OpenSeries(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		diff, err := s.Uncommitted(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return diff
	}
	want := change()
	config := filepath.Join(dir, ".git", "config")
	old, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, config, string(old)+"[core]\n\tignoreCase = true\n\tquotePath = false\n[diff]\n"+
		"\tsuppressBlankEmpty = true\n", 0o644)
	if got := change(); got != want || !strings.Contains(got, "a/README") ||
		!strings.Contains(got, "a/readme") {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
