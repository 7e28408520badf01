// Work on the source of a package: what is built from dev/NAME is what its patches build.

package e2e

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"buildsys/internal/buildtest"
	"buildsys/internal/buildtest/need"
)

// thingSpec installs the files of its source, as they are after %prep.
const thingSpec = `Name: %{_cross_os}thing
Version: 1.0
Release: 1
Summary: test
License: MIT
Source0: thing-1.0.tar
Patch0001: 0001-first.patch
%description
%{summary}.
%prep
%autosetup -n thing-1.0 -p1
sed -i 's/seven/7/' numbers
%install
mkdir -p %{buildroot}/thing
cp -a . %{buildroot}/thing/
%files
/thing
`

const thingPatch = `From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
From: Ann Author <ann@example.org>
Date: Sun, 9 Feb 2025 10:07:19 -0500
Subject: [PATCH] hello: greet the world

It was rude.
---
--- a/hello
+++ b/hello
@@ -1,2 +1,2 @@
-hello
+hello, world
 end
`

// devTree makes a tree with a package that has a source and a patch.
func devTree(t *testing.T) (root string, env []string) {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, f := range []struct{ name, text string }{
		{"hello", "hello\nend\n"}, {"numbers", "1\n2\n3\n4\n5\n6\n7\n8\nseven\n"},
		{".gitattributes", "* text eol=crlf\n"}, {".gitignore", "*.o\n"}, {"kept.o", "object\n"},
		{"gone", "away\n"},
	} {
		buildtest.Must(t, w.WriteHeader(&tar.Header{Name: "thing-1.0/" + f.name, Mode: 0o644,
			Size: int64(len(f.text))}))
		_, err := w.Write([]byte(f.text))
		buildtest.Must(t, err)
	}
	buildtest.Must(t, w.Close())
	s := source{"thing-1.0.tar", archive.Bytes()}
	root = writeTree(t, pkg{name: "thing", sources: []source{s}})
	write(t, root, "packages/thing/thing.spec", thingSpec)
	write(t, root, "packages/thing/0001-first.patch", thingPatch)
	return root, []string{"BUILDSYS_LOOKASIDE_CACHE=" + lookaside(t, s, s.data)}
}

// inDev runs a shell command in the source that is worked on.
func inDev(t *testing.T, root, command string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-ec", command)
	cmd.Dir = filepath.Join(root, "dev/thing")
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=Dev", "GIT_AUTHOR_EMAIL=dev@example.org",
		"GIT_COMMITTER_NAME=Dev", "GIT_COMMITTER_EMAIL=dev@example.org")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

func TestDev(t *testing.T) {
	need.Program(t, "git")
	needEngine(t)
	root, env := devTree(t)
	run := func(code int, args ...string) result {
		t.Helper()
		r := buildsys(t, root, env, args...)
		r.must(t, code)
		return r
	}
	bad := strings.Replace(thingPatch, "-hello\n", "-x\n", 1)
	write(t, root, "packages/thing/0001-first.patch", bad)
	run(3, "dev", "thing").must(t, 3, "1 out of 1 hunk FAILED")
	if _, err := os.Lstat(filepath.Join(root, "dev")); err == nil {
		t.Error("a dev that failed left dev")
	}
	write(t, root, "packages/thing/0001-first.patch", thingPatch)
	run(0, "dev", "thing")
	want := "upstream thing: the source before patches\nAnn Author hello: greet the world\n"
	if got := inDev(t, root, "git log --reverse --format='%an %s'; git status --short"); got != want {
		t.Errorf("commits:\n%s\nwant\n%s", got, want)
	}
	run(2, "dev", "thing").must(t, 2, "dev/thing is there already")
	run(2, "dev", "--finish", "thing").must(t, 2, "has no new commits")

	inDev(t, root, `echo more >>hello; printf '#!/bin/sh\n' >run; chmod 755 run; rm gone
		echo changed >kept.o; git add -A; git commit -qm 'hello: say more

--- that is all'; echo third >>hello; echo ignored >x.o`)
	r := run(0, "build-package", "thing")
	r.must(t, 0, "thing is built from dev/thing: 1 new commit, uncommitted changes")
	run(2, "build-package", "--release", "thing").must(t, 2, "a release is made from the tree alone")
	run(2, "dev", "--finish", "thing").must(t, 2, "has changes that are not committed")
	run(2, "dev", "--drop", "thing").must(t, 2, "has work that no patch has yet")

	inDev(t, root, "git checkout -q hello")
	run(0, "build-package", "thing")
	made := rpmBytes(t, root, "thing")
	r = run(0, "dev", "--finish", "thing")
	want = "packages/thing/0002-hello-say-more.patch\npackages/thing/thing.spec\n"
	if r.stdout != want {
		t.Errorf("it wrote\n%s", r.stdout)
	}
	spec := strings.Replace(thingSpec, "0001-first.patch\n",
		"0001-first.patch\nPatch0002: 0002-hello-say-more.patch\n", 1)
	if got := read(t, root, "packages/thing/thing.spec"); got != spec {
		t.Errorf("spec:\n%s", got)
	}
	if _, err := os.Lstat(filepath.Join(root, "dev")); err == nil {
		t.Error("dev is still there")
	}
	buildsys(t, root, []string{noEngine}, "build-package", "thing").must(t, 0, "nothing to do")
	// Built again from the patches alone, past every cache.
	t.Setenv("BUILDSYS_CACHE_DIR", t.TempDir())
	buildtest.Must(t, os.RemoveAll(filepath.Join(root, "build")))
	again := run(0, "build-package", "--verify-reproducible", "thing")
	if !slices.Contains(started(again), "thing") || rpmBytes(t, root, "thing") != made {
		t.Errorf("the patches make another RPM than the commits:\n%s", again.stderr)
	}
	noDebris(t, root)
}

// A patch of lines that %prep changes afterwards would not make what the work tree has.
func TestDevOfWhatPrepChanges(t *testing.T) {
	need.Program(t, "git")
	needEngine(t)
	root, env := devTree(t)
	buildsys(t, root, env, "dev", "thing").must(t, 0)
	inDev(t, root, "sed -i '1i seven up' numbers; git commit -qam 'one more'")
	buildsys(t, root, env, "dev", "--finish", "thing").must(t, 2,
		"with the new patches %prep makes other files than the work tree has (numbers)")
	inDev(t, root, "sed -i s/^8/9/ numbers; git commit -qam 'another one'")
	buildsys(t, root, env, "dev", "--finish", "thing").must(t, 3, "1 out of 1 hunk FAILED")
	if got := read(t, root, "packages/thing/thing.spec"); got != thingSpec {
		t.Errorf("the spec was changed:\n%s", got)
	}
	buildsys(t, root, env, "dev", "--drop", "--force", "thing").must(t, 0)
	if _, err := os.Lstat(filepath.Join(root, "dev")); err == nil {
		t.Error("dev is still there")
	}
}
