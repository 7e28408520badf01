// What is released: a clean commit, its version, and what the changelog says of it.

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"
)

// source is a commit with a version.
type source struct {
	root    string // the checkout
	commit  string
	date    time.Time // of the commit, and so of everything in the release
	version string    // without a v
	notes   string    // the version's section of CHANGELOG.md
}

// examine finds what is released. It refuses a checkout with changes, a version that is no
// semantic one or contradicts a tag, and one that the changelog does not have.
func examine(ctx context.Context, root, version string) (s source, err error) {
	s.root = root
	changes, err := git(ctx, root, "status", "--porcelain")
	if err != nil {
		return s, err
	}
	if changes != "" {
		return s, fmt.Errorf("the checkout has changes, which no commit would stand for:\n%s\n"+
			"commit or remove them", changes)
	}
	if s.commit, err = git(ctx, root, "rev-parse", "HEAD"); err != nil {
		return s, err
	}
	date, err := git(ctx, root, "show", "--no-patch", "--format=%cI", "HEAD")
	if err != nil {
		return s, err
	}
	if s.date, err = time.Parse(time.RFC3339, date); err != nil {
		return s, fmt.Errorf("date of the commit: %w", err)
	}
	s.date = s.date.UTC()
	if s.version, err = versionOf(ctx, root, s.commit, version); err != nil {
		return s, err
	}
	changelog, err := os.ReadFile(filepath.Join(root, "CHANGELOG.md"))
	if err != nil {
		return s, err
	}
	s.notes, err = section(string(changelog), s.version)
	return s, err
}

// versionOf returns the version that was asked for, or the one that the commit's tag names.
func versionOf(ctx context.Context, root, commit, asked string) (string, error) {
	text, err := git(ctx, root, "tag", "--points-at", commit, "--list", "v*")
	if err != nil {
		return "", err
	}
	tags := slices.DeleteFunc(strings.Fields(text), func(tag string) bool { return !isVersion(tag) })
	if asked == "" {
		if len(tags) != 1 {
			return "", fmt.Errorf("the commit %.12s has %d tags that name a version (%s): "+
				"say which with --version X.Y.Z", commit, len(tags), strings.Join(tags, " "))
		}
		return tags[0][1:], nil
	}
	tag := "v" + strings.TrimPrefix(asked, "v")
	if !isVersion(tag) {
		return "", fmt.Errorf("%q is no version: write X.Y.Z, or X.Y.Z-rc.1", asked)
	}
	if len(tags) > 0 && !slices.Contains(tags, tag) {
		return "", fmt.Errorf("the commit %.12s is tagged %s, not %s", commit,
			strings.Join(tags, " "), tag)
	}
	other, err := git(ctx, root, "rev-parse", "--quiet", "--verify", "refs/tags/"+tag+"^{commit}")
	if err == nil && other != commit {
		return "", fmt.Errorf("the tag %s names another commit, %.12s", tag, other)
	}
	return tag[1:], nil
}

// isVersion reports whether a tag names a whole version. Build metadata is none of it: neither
// packages nor references of images can have it.
func isVersion(tag string) bool {
	return semver.IsValid(tag) && semver.Canonical(tag) == tag
}

// section returns what a changelog in the form of Keep a Changelog has of a version, without its
// heading.
func section(changelog, version string) (string, error) {
	var lines []string
	found := false
	for line := range strings.Lines(changelog) {
		if title, heading := strings.CutPrefix(line, "## "); heading {
			if found {
				break
			}
			name, date, dated := strings.Cut(strings.TrimSpace(title), " - ")
			if found = name == "["+version+"]"; found {
				if _, err := time.Parse(time.DateOnly, date); !dated || err != nil {
					return "", fmt.Errorf("CHANGELOG.md: the section of %s has no date: write "+
						`"## [%s] - YYYY-MM-DD"`, version, version)
				}
			}
			continue
		}
		if found {
			lines = append(lines, line)
		}
	}
	text := strings.TrimSpace(strings.Join(lines, ""))
	switch {
	case !found:
		return "", fmt.Errorf(`CHANGELOG.md has no section for %s: write "## [%s] - YYYY-MM-DD" `+
			"above its changes", version, version)
	case text == "":
		return "", fmt.Errorf("CHANGELOG.md says nothing of %s", version)
	}
	return text + "\n", nil
}

// git runs git and returns what it prints.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	out, err := output(cmd)
	return strings.TrimSpace(string(out)), err
}

// output runs a program and returns what it prints. Its error has what the program says.
func output(cmd *exec.Cmd) ([]byte, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if _, exited := errors.AsType[*exec.ExitError](err); exited {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err,
			bytes.TrimSpace(stderr.Bytes()))
	}
	return out, err
}
