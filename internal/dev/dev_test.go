package dev

import (
	"strings"
	"testing"
	"time"

	"buildsys/internal/git"
)

var ann = git.Person{Name: "Ann", Mail: "ann@example.org", Time: time.Unix(1e9, 0)}

var change = Change{By: ann, Subject: "fix: the  thing/at hand", Body: "--- a\nbecause",
	Diff: "diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-- a/y\n+b\n"}

func TestAddPatches(t *testing.T) {
	head := "Name: x\nSource0: x.tar\n"
	for _, c := range []struct{ name, spec, want string }{
		{"first patch", head + "%prep\n%autosetup -n x -p1\n",
			head + "Patch1: 0001-fix-the-thing-at-hand.patch\n%prep\n%autosetup -n x -p1\n"},
		{"numbers of its form", head + "Patch0001: a\n# b\nPatch0007: b\n\n%prep\n%autosetup -p 1\n",
			head + "Patch0001: a\n# b\nPatch0007: b\nPatch0008: 0008-fix-the-thing-at-hand.patch\n\n" +
				"%prep\n%autosetup -p 1\n"},
		{"from zero", head + "Patch0: a\n%prep\n%autosetup -N\n%autopatch -p1\n",
			head + "Patch0: a\nPatch1: 0001-fix-the-thing-at-hand.patch\n%prep\n%autosetup -N\n" +
				"%autopatch -p1\n"},
		{"a line for each", head + "Patch3: a\n%prep\n%setup -q\n%patch3 -p1\nsed x\n%build\n",
			head + "Patch3: a\nPatch4: 0004-fix-the-thing-at-hand.patch\n%prep\n%setup -q\n%patch3 -p1\n" +
				"%patch -P 4 -p1\nsed x\n%build\n"},
		{"no patch yet", head + "%prep\n%setup -q -n x\nsed x\n",
			head + "Patch1: 0001-fix-the-thing-at-hand.patch\n%prep\n%setup -q -n x\n" +
				"%patch -P 1 -p1\nsed x\n"},
		{"no end of line", head + "%prep\n%setup -q",
			head + "Patch1: 0001-fix-the-thing-at-hand.patch\n%prep\n%setup -q\n%patch -P 1 -p1\n"},
	} {
		got, patches, err := AddPatches([]byte(c.spec), []Change{change})
		if err != nil || string(got) != c.want || len(patches) != 1 {
			t.Errorf("%s: %v\n%s\nwant\n%s", c.name, err, got, c.want)
		}
	}
	for _, c := range []struct{ spec, want string }{
		{head, "neither %autosetup nor %setup"},
		{"%prep\n%setup\n", "no Source line"},
		{head + "%prep\n%setup -T -c\ntar x\n", "%setup -T"},
		{head + "%prep\n%setup -q\n%setup -q -a 1\n", "more than one %setup"},
		{head + "%prep\n%autosetup\n", "neither -p1 nor -p0"},
		{head + "%prep\n%autosetup -p2\n", "neither -p1 nor -p0"},
		{head + "%prep\n%autosetup -p1\n%autosetup -p1\n", "more than one %autosetup"},
		{head + "%prep\n%autosetup -N\n%autopatch -p1 -M 9\n", "applies a part"},
		{head + "Patch: a\n%prep\n%autosetup -p1\n", "without a number"},
		{head + "%if 1\nPatch1: a\n%endif\n%prep\n%autosetup -p1\n", "inside %if"},
		{head + "%prep\n%setup\n%if 1\n%patch1\n%endif\n", "inside %if"},
	} {
		if _, _, err := AddPatches([]byte(c.spec), nil); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.spec, err, c.want)
		}
	}
}

func TestFormat(t *testing.T) {
	want := "From: Ann <ann@example.org>\nDate: Sun, 9 Sep 2001 01:46:40 +0000\n" +
		"Subject: [PATCH] fix: the  thing/at hand\n\n --- a\nbecause\n---\n\n" + change.Diff
	if got := string(format(change, 1)); got != want {
		t.Errorf("%s", got)
	}
	bare := "diff --git x x\nindex 1..2 100644\n--- x\n+++ x\n@@ -1 +1 @@\n-- a/y\n+b\n"
	if got := string(format(change, 0)); !strings.HasSuffix(got, "---\n\n"+bare) {
		t.Errorf("%s", got)
	}
	by, message := described([]byte(want), "name", git.Person{Name: "nobody"})
	if by.Name != "Ann" || by.Mail != ann.Mail || !by.Time.Equal(ann.Time) ||
		!strings.HasPrefix(message, "fix: the  thing/at hand") {
		t.Errorf("%+v, %q", by, message)
	}
	for _, text := range []string{"", "some words\n--- a/x\n+++ b/x\nFrom: no\n", "From: \x00\n"} {
		if by, message := described([]byte(text), "name", ann); by != ann || message != "name" {
			t.Errorf("%q: %+v, %q", text, by, message)
		}
	}
}

func TestCleanName(t *testing.T) {
	for _, bad := range []string{"../x", "/x", "a/.git/config", ".GIT/hooks/x", "x/../../y"} {
		if _, err := cleanName(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if name, err := cleanName("./a/.gitignore"); err != nil || name != "a/.gitignore" {
		t.Error(name, err)
	}
}
