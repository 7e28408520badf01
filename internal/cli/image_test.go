package cli

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"buildsys/internal/safetext"
)

// TestSplitImage: where the path in an image begins, whatever files there are.
func TestSplitImage(t *testing.T) {
	files := []string{"x", "x:y.img", "a:/fs.img", "a:/b:/c", "twice", "twice:/other"}
	isFile := func(name string) bool { return slices.Contains(files, name) }
	for arg, want := range map[string]string{
		"qemu-dev": "qemu-dev|", "qemu-dev:/usr": "qemu-dev|/usr", "qemu-dev~1:/a:/b": "qemu-dev~1|/a:/b",
		"x:/usr": "x|/usr", "x:y.img": "x:y.img|", "x:y.img:/usr": "x:y.img|/usr",
		"a:/fs.img": "a:/fs.img|", "a:/fs.img:/usr": "a:/fs.img|/usr", "a:/b:/c": "a:/b:/c|",
		"none.img:relative": "none.img:relative|", ":/usr": ":/usr|",
		"twice:/other": "several meanings", "twice:/other:/usr": "several meanings",
	} {
		name, inside, err := splitImage(arg, isFile)
		got := name + "|" + inside
		if err != nil {
			got = err.Error()
		}
		if got != want && (err == nil || !strings.Contains(got, want)) {
			t.Errorf("%s is %q, want %q", arg, got, want)
		}
	}
}

// TestOnlyText: a terminal gets text without control characters, and nothing of a binary.
func TestOnlyText(t *testing.T) {
	for text, want := range map[string]string{"ümläut\n": "ümläut\n", "a\x1b[31mred\n": "ared\n",
		"nul\x00": "not text", "bad\xff\xfe\n": "not text"} {
		for size := 1; size <= len(text); size++ {
			var b bytes.Buffer
			w := &onlyText{to: safetext.NewWriter(&b), name: "x"}
			var err error
			for rest := []byte(text); len(rest) > 0 && err == nil; rest = rest[min(size, len(rest)):] {
				_, err = w.Write(rest[:min(size, len(rest))])
			}
			if err == nil {
				err = w.end()
			}
			_ = w.to.Flush()
			if err != nil && !strings.Contains(err.Error(), want) || err == nil && b.String() != want {
				t.Errorf("%q in pieces of %d: %q, %v", text, size, b.String(), err)
			}
		}
	}
}
