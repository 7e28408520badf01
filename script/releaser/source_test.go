// Tests of what is released: what is refused, and why.

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const changelog = `# Changelog

## [Unreleased]

## [0.3.0]

- no date

## [0.2.0] - 2026-11-30

### One

- a change

## [0.1.0] - 2026-01-01

- an older one
`

func TestSection(t *testing.T) {
	for version, test := range map[string]struct{ want, fault string }{
		"0.2.0":      {want: "### One\n\n- a change\n"},
		"0.1.0":      {want: "- an older one\n"},
		"0.3.0":      {fault: "has no date"},
		"0.2.1":      {fault: `has no section for 0.2.1: write "## [0.2.1] - YYYY-MM-DD"`},
		"0.2":        {fault: "has no section"},
		"Unreleased": {fault: "has no date"},
	} {
		got, err := section(changelog, version)
		if got != test.want || (err == nil) != (test.fault == "") ||
			err != nil && !strings.Contains(err.Error(), test.fault) {
			t.Errorf("%s: %q, %v", version, got, err)
		}
	}
	const empty = "## [1.0.0] - 2026-01-01\n\n## [0.9.0] - 2025-01-01\n"
	if _, err := section(empty, "1.0.0"); err == nil ||
		!strings.Contains(err.Error(), "says nothing") {
		t.Errorf("an empty section: %v", err)
	}
}

// checkout makes a repository with one commit.
func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "CHANGELOG.md"), changelog)
	for _, args := range [][]string{{"init", "--quiet"}, {"add", "."}, {"-c", "user.name=n", "-c",
		"user.email=n@buildsys.invalid", "commit", "--quiet", "-m", "first"}} {
		mustGit(t, dir, args...)
	}
	return dir
}

func mustGit(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-C", dir}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestExamine(t *testing.T) {
	commit := func(t *testing.T, dir string) {
		mustGit(t, dir, "-c", "user.name=n", "-c", "user.email=n@buildsys.invalid", "commit", "--quiet",
			"--allow-empty", "-m", "next")
	}
	for name, test := range map[string]struct {
		change              func(t *testing.T, dir string)
		asked, fault, found string
	}{
		"asked":   {asked: "0.2.0", found: "0.2.0"},
		"with v":  {asked: "v0.2.0", found: "0.2.0"},
		"no tag":  {fault: "say which with --version"},
		"no name": {asked: "next", fault: "is no version"},
		"short":   {asked: "0.2", fault: "is no version"},
		"build":   {asked: "0.2.0+1", fault: "is no version"},
		"unknown": {asked: "0.2.1", fault: "has no section for 0.2.1"},
		"tagged": {change: func(t *testing.T, dir string) { mustGit(t, dir, "tag", "v0.2.0") },
			found: "0.2.0"},
		"other tag": {change: func(t *testing.T, dir string) { mustGit(t, dir, "tag", "v0.1.0") },
			asked: "0.2.0", fault: "is tagged v0.1.0, not v0.2.0"},
		"two tags": {change: func(t *testing.T, dir string) {
			mustGit(t, dir, "tag", "v0.1.0")
			mustGit(t, dir, "tag", "v0.2.0")
		}, fault: "2 tags"},
		"tag of another": {change: func(t *testing.T, dir string) {
			mustGit(t, dir, "tag", "v0.2.0")
			commit(t, dir)
		}, asked: "0.2.0", fault: "names another commit"},
		"changed": {change: func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "CHANGELOG.md"), changelog+"\n- more\n")
		}, asked: "0.2.0", fault: "M CHANGELOG.md"},
		"untracked": {change: func(t *testing.T, dir string) { put(t, filepath.Join(dir, "new.go"), "") },
			asked: "0.2.0", fault: "?? new.go"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := checkout(t)
			if test.change != nil {
				test.change(t, dir)
			}
			s, err := examine(context.Background(), dir, test.asked)
			switch {
			case test.fault == "" && (err != nil || s.version != test.found || len(s.commit) != 40):
				t.Errorf("%+v, %v", s, err)
			case test.fault != "" && (err == nil || !strings.Contains(err.Error(), test.fault)):
				t.Errorf("%v, want %q", err, test.fault)
			}
		})
	}
}
