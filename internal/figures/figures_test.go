package figures

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAppend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "figures.tsv")
	run := func(commit, machine string, quiet bool, value float64) (worse []string) {
		t.Helper()
		changes, err := Append(path, Run{Date: time.Unix(0, 0), Commit: commit, Machine: machine,
			Quiet: quiet, Figures: []Figure{{"no-op: wall", value, "s"}, {"cold: ratio", 1, ""}}})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			if c.Worse() {
				worse = append(worse, c.String())
			}
		}
		return worse
	}
	for _, test := range []struct {
		commit, machine string
		quiet           bool
		value           float64
		want            string
	}{
		{"a", "m", true, 0.05, ""},
		{"b", "m", true, 0.054, ""},
		{"c", "m", false, 9, ""}, // not quiet: not compared, and nothing is compared with it
		{"d", "other", true, 9, ""},
		{"e", "m", true, 0.108, "no-op: wall: 0.108 s, was 0.054 s (+100 %) at b"},
		{"f", "m", true, 0.1, ""},
	} {
		got := strings.Join(run(test.commit, test.machine, test.quiet, test.value), "; ")
		if got != test.want {
			t.Errorf("commit %s: worse is %q, want %q", test.commit, got, test.want)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := "date\tcommit\tmachine\tquiet\tname\tvalue\tunit\n" +
		"1970-01-01\ta\tm\ttrue\tno-op: wall\t0.05\ts\n1970-01-01\ta\tm\ttrue\tcold: ratio\t1\t\n"
	if !strings.HasPrefix(string(text), want) {
		t.Errorf("the file begins with\n%s\nwant\n%s", text, want)
	}
}

func TestAppendRefuses(t *testing.T) {
	figure := []Figure{{"a", 1, "s"}}
	for name, test := range map[string]struct {
		text, want string
		figures    []Figure
	}{
		"other columns": {"a\tb\n", "line 1: the columns are not", figure},
		"few columns":   {strings.Join(columns, "\t") + "\na\tb\n", "line 2 has 2 columns", figure},
		"no number": {strings.Join(columns, "\t") + "\na\tb\tc\ttrue\td\tx\ts\n", "line 2: ",
			figure},
		"a tab in a name": {"", "has a tab", []Figure{{"a\tb", 1, "s"}}},
	} {
		path := filepath.Join(t.TempDir(), "figures.tsv")
		if err := os.WriteFile(path, []byte(test.text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Append(path, Run{Figures: test.figures})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		if text, _ := os.ReadFile(path); string(text) != test.text {
			t.Errorf("%s: the file has changed", name)
		}
	}
}

// TestWrite checks that a script changes its own part of a document, and no other.
func TestWrite(t *testing.T) {
	doc := filepath.Join(t.TempDir(), "doc.md")
	write := func(text string) string {
		t.Helper()
		if err := os.WriteFile(doc, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		o := Output{Script: "script/a", Document: doc}
		err := o.Write(t.Context(), io.Discard, "new\n", Run{})
		got, rerr := os.ReadFile(doc)
		if rerr != nil {
			t.Fatal(rerr)
		}
		if err != nil && string(got) != text {
			t.Errorf("%v, but the document has changed", err)
		}
		if err != nil {
			return err.Error()
		}
		return string(got)
	}
	const begin, end = "<!-- begin: script/a --write -->\n", "<!-- end: script/a --write -->\n"
	want := "x\n" + begin + "\nnew\n\n" + end + "y\n"
	if got := write("x\n" + begin + "old\n" + end + "y\n"); got != want {
		t.Errorf("the document is\n%s\nwant\n%s", got, want)
	}
	for _, text := range []string{"x\n", "x\n" + begin + "y\n", end + "x\n" + begin} {
		if got := write(text); !strings.Contains(got, "lacks the lines <!-- begin: script/a") {
			t.Errorf("%q: %s", text, got)
		}
	}
}
