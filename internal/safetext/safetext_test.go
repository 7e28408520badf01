package safetext

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// hostile are texts that a terminal or a CI service must not see as they are.
var hostile = map[string]string{
	"quota\n::add-mask::x\n::error file=a::b": "quota ::add-mask::x ::error file=a::b",
	"\x1b]0;owned\x07\x1b[2J":                 "",
	"::error::x":                              ": :error::x",
	" \t::set-output name=a::x":               " \t: :set-output name=a::x",
	"a ##vso[task.setvariable] ##[group]":     "a ## vso[task.setvariable] ## [group]",
	"##teamcity[x]":                           "## teamcity[x]",
	":\x1b[0m:error::x":                       ": :error::x",
	"#\x00#[error]":                           "## [error]",
	"\u009b31m\u202Eevil\u2028::x":            "31mevil ::x",
	"\x00::error::x":                          ": :error::x",
	"std::vector ## heading # [1]":            "std::vector ## heading # [1]",
	"\xff":                                    "\uFFFD",
	"\u3000\u00a0::error::x":                  "\u3000\u00a0: :error::x",
}

func TestLine(t *testing.T) {
	for in, want := range hostile {
		if got := Line(in); got != want {
			t.Errorf("Line(%q) = %q, want %q", in, got, want)
		}
	}
	if got := Lines("a\n::b\n\x1bc"); got != "a\n: :b\n" {
		t.Errorf("Lines = %q", got)
	}
}

// TestWriter: it does not matter how the bytes arrive.
func TestWriter(t *testing.T) {
	text := "one\n::error::x\n##vso[x]\n\x1b]0;t\x07two\n\x1b[31mred"
	want := "one\n: :error::x\n## vso[x]\ntwo\nred"
	for size := 1; size <= len(text); size++ {
		var b bytes.Buffer
		w := NewWriter(&b)
		for rest := text; rest != ""; rest = rest[min(size, len(rest)):] {
			if _, err := io.WriteString(w, rest[:min(size, len(rest))]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil || b.String() != want {
			t.Errorf("in pieces of %d: %q, %v", size, b.String(), err)
		}
	}
}

// TestWriterHoldsLittle: a line without an end is passed on.
func TestWriterHoldsLittle(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	for range 64 {
		_, _ = w.Write(bytes.Repeat([]byte("x"), 64<<10))
		if len(w.held) > maxHeld+64<<10 {
			t.Fatalf("%d bytes are held", len(w.held))
		}
	}
}

// TestJSONMeansTheSame: what is dangerous is escaped, not changed.
func TestJSONMeansTheSame(t *testing.T) {
	for in := range hostile {
		in = strings.ToValidUTF8(in, "\uFFFD")
		document, err := json.MarshalIndent(map[string]string{in: in}, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		safe := JSON(append(document, '\n'))
		var got map[string]string
		if err := json.Unmarshal(safe, &got); err != nil || got[in] != in {
			t.Errorf("%q became %q: %v", in, got, err)
		}
		if shown := Lines(string(safe)); shown != string(safe) {
			t.Errorf("%s is not safe: it is shown as %s", safe, shown)
		}
	}
}

func FuzzLine(f *testing.F) {
	for in := range hostile {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got := Line(in)
		bad := func(r rune) bool { return unicode.IsControl(r) && r != '\t' }
		if !utf8.ValidString(got) || strings.ContainsFunc(got, bad) || commands.MatchString(got) {
			t.Errorf("Line(%q) = %q", in, got)
		}
		if again := Line(got); again != got {
			t.Errorf("Line(%q) = %q, and then %q", in, got, again)
		}
	})
}
