// transcript_test: different inputs give different texts, and every difference is described.

package cache

import (
	"slices"
	"strings"
	"testing"
)

func TestTranscriptText(t *testing.T) {
	tr := newTranscript("package/bash x86_64")
	tr.Add("sdk", "sha256:ab")
	tr.Add("arg", "VARIANT", "")
	tr.Add("file", "package", "a b\n\"c\".spec", "0644", "ff")
	tr.Add("target")
	want := `buildsys action 1
step "package/bash x86_64"
sdk sha256:ab
arg VARIANT ""
file package "a b\n\"c\".spec" 0644 ff
target
`
	if tr.String() != want {
		t.Errorf("got\n%swant\n%s", tr, want)
	}
	// sha256sum's number for the text above
	const id = "e3d89b0d203b93279bba6ac449fb68ebeae392674b9c77068e6ba4a37d2f5777"
	if got := tr.ID().String(); got != id {
		t.Errorf("the action ID is %s", got)
	}
}

func TestDiffInWords(t *testing.T) {
	base := []string{
		"sdk sha256:aa", "dockerfile d1", "target package", `arg VARIANT "a b"`, "arg NAME x",
		"file package bash.spec 0644 11", "file recipe macros/shared 0644 22",
		"external package bash.tar.gz 99",
		"rpms musl c1", "layout l1",
	}
	for _, tt := range []struct {
		name string
		edit func(lines []string) []string
		want string // one line per change
	}{
		{"nothing", func(l []string) []string { return l }, ""},
		{"sdk", replace("sdk sha256:aa", "sdk sha256:bb"), "the SDK image changed"},
		{"dockerfile", replace("dockerfile d1", "dockerfile d2"), "the Dockerfile changed"},
		{"target", replace("target package", "target variant"),
			`the target changed from "package" to "variant"`},
		{"argument", replace(`arg VARIANT "a b"`, "arg VARIANT c"),
			`argument VARIANT changed from "a b" to "c"`},
		{"argument empty", replace("arg NAME x", `arg NAME ""`), `argument NAME changed from "x" to ""`},
		{"argument new", replace("arg NAME x", "arg NAME x\narg MORE y"), `new argument MORE ("y")`},
		{"argument gone", replace("\narg NAME x", ""), `argument NAME is gone (it was "x")`},
		{"file", replace("bash.spec 0644 11", "bash.spec 0644 12"), "file package: bash.spec changed"},
		{"file mode", replace("bash.spec 0644 11", "bash.spec 0755 11"),
			"file package: bash.spec changed its mode from 0644 to 0755"},
		{"file new", replace("file recipe", "file package fix.patch 0644 33\nfile recipe"),
			"new file package: fix.patch"},
		{"file gone", replace("\nfile recipe macros/shared 0644 22", ""),
			"file recipe: macros/shared is gone"},
		{"file renamed", replace("package bash.spec", "package sh.spec"),
			"file package: bash.spec is gone\nnew file package: sh.spec"},
		{"source", replace("bash.tar.gz 99", "bash.tar.gz 98"), "source bash.tar.gz changed"},
		{"source new", replace("rpms musl", "external package b 1\nrpms musl"), "new source b"},
		{"source gone", replace("\nexternal package bash.tar.gz 99", ""), "source bash.tar.gz is gone"},
		{"dependency", replace("rpms musl c1", "rpms musl c2"), "dependency musl changed"},
		{"dependency added", replace("rpms musl c1", "rpms glibc c3\nrpms musl c1"),
			"dependency glibc added"},
		{"modules", replace("rpms musl c1", "modules a c3\nrpms musl c1"), "bundled modules added"},
		{"dependency removed", replace("\nrpms musl c1", ""), "dependency musl removed"},
		{"other", replace("layout l1", "layout l2"), `the layout changed from "l1" to "l2"`},
		{"order", func(l []string) []string { slices.Reverse(l); return l },
			"the order of the inputs changed"},
		{"twice", replace("rpms musl c1", "rpms musl c1\nrpms musl c1"), "dependency musl changed"},
		{"two", func(l []string) []string {
			return replace("dockerfile d1", "dockerfile d2")(replace("musl c1", "musl c2")(l))
		}, "the Dockerfile changed\ndependency musl changed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			old := strings.Join(base, "\n") + "\n"
			new := strings.Join(tt.edit(slices.Clone(base)), "\n") + "\n"
			var got []string
			for _, c := range Diff(old, new) {
				got = append(got, c.String())
			}
			if strings.Join(got, "\n") != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if tt.want != "" && old == new {
				t.Error("the edit did nothing")
			}
		})
	}
}

func replace(old, new string) func([]string) []string {
	return func(lines []string) []string {
		return strings.Split(strings.Replace(strings.Join(lines, "\n"), old, new, 1), "\n")
	}
}

func TestDiffOfStepsAndFormats(t *testing.T) {
	changes := Diff("buildsys action 1\nstep a\n", "buildsys action 2\nstep b\n")
	if len(changes) != 2 || !strings.Contains(changes[0].String(), "runs steps differently") ||
		changes[1].String() != `the step changed from "a" to "b"` {
		t.Errorf("got %q", changes)
	}
}

// What Add writes can be parsed, so different lines never have the same text.
func FuzzAddIsInjective(f *testing.F) {
	f.Add("file", "package", "a b", "x\n")
	f.Add("", "", `"`, `\`)
	f.Add("a\x00", "\xff", "ü", `" "`)
	f.Fuzz(func(t *testing.T, label, a, b, c string) {
		for _, words := range [][]string{{label}, {label, a}, {label, a, b, c}} {
			var tr Transcript
			tr.Add(words[0], words[1:]...)
			line, ok := strings.CutSuffix(tr.String(), "\n")
			if !ok || strings.Contains(line, "\n") {
				t.Fatalf("%q is not one line: %q", words, tr.String())
			}
			back, err := parseLine(line)
			if err != nil || !slices.Equal(back, words) {
				t.Fatalf("%q was read back as %q (%v)", words, back, err)
			}
		}
	})
}

// parseLine accepts only what Add writes.
func FuzzParseLine(f *testing.F) {
	for _, line := range []string{"", " ", `a "b`, `a "b"c`, `"a"`, "a  b", `a "\x41 "`, "a ü",
		`a "ü "`} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words, err := parseLine(line)
		if err != nil {
			return
		}
		var tr Transcript
		tr.Add(words[0], words[1:]...)
		if tr.String() != line+"\n" {
			t.Errorf("%q was read as %q, which is written %q", line, words, tr.String())
		}
	})
}

func FuzzDiff(f *testing.F) {
	f.Add("file a b c d\n", "file a b c e\n")
	f.Add("file a\nfile\narg\n\n", "x\nx\n")
	f.Add("arg a \"\n", "arg a \"")
	f.Fuzz(func(t *testing.T, old, new string) {
		if same := Diff(old, old); len(same) != 0 {
			t.Errorf("%q differs from itself: %q", old, same)
		}
		changes := Diff(old, new)
		if (len(changes) == 0) != (old == new) {
			t.Errorf("%q and %q: %q", old, new, changes)
		}
		for _, c := range changes {
			if c.String() == "" {
				t.Errorf("%#v has no words", c)
			}
		}
	})
}
