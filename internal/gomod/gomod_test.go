// gomod_test: archives of every kind, made by other programs where they are installed, and faulty
// ones.

package gomod

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"buildsys/internal/buildtest/need"
)

const (
	goMod = "module a\n\ngo 1.20\n\nrequire golang.org/x/text v0.3.0\n"
	goSum = "golang.org/x/text v0.3.0 h1:g61tztE5qeGQ89tm6NTjjM9VPIm088od1l6aSorWRWg=\n" +
		"golang.org/x/text v0.3.0/go.mod h1:NqM8EUOU14njkJ3fqMW+pc6Ldnwhi/IjpwHt7yyuwOQ=\n" +
		"rsc.io/quote v1.5.2/go.mod h1:LzX7hefJvL54yjefDEDHNONDjII0t9xZLPXsUe+TKr0=\n"
)

var want = []Module{
	{Path: "golang.org/x/text", Version: "v0.3.0",
		ZipSum: "h1:g61tztE5qeGQ89tm6NTjjM9VPIm088od1l6aSorWRWg=",
		ModSum: "h1:NqM8EUOU14njkJ3fqMW+pc6Ldnwhi/IjpwHt7yyuwOQ="},
	{Path: "rsc.io/quote", Version: "v1.5.2",
		ModSum: "h1:LzX7hefJvL54yjefDEDHNONDjII0t9xZLPXsUe+TKr0="},
}

// entry is a file of an archive. A name that ends with a slash is a directory; a text that begins
// with -> is the target of a link.
type entry struct{ name, text string }

func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: 0o644, Size: int64(len(e.text)), Typeflag: tar.TypeReg}
		if target, ok := strings.CutPrefix(e.text, "->"); ok {
			h.Typeflag, h.Linkname, h.Size, e.text = tar.TypeSymlink, target, 0, ""
		}
		if strings.HasSuffix(e.name, "/") {
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		}
		if e.name == "pax_global_header" {
			h = &tar.Header{Typeflag: tar.TypeXGlobalHeader,
				PAXRecords: map[string]string{"comment": "c0ffee"}}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func save(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

var goModule = []entry{{"pax_global_header", ""}, {"a-1/", ""}, {"a-1/go.mod", goMod},
	{"a-1/go.sum", goSum}, {"a-1/sub/go.mod", "broken"}, {"README", "beside"}}

func TestReadKinds(t *testing.T) {
	plain := tarOf(t, goModule...)
	for name, program := range map[string][]string{
		"tar": nil, "gzip": {"gzip", "-c"}, "xz": {"xz", "-c"}, "zstd": {"zstd", "-c"},
		"bzip2": {"bzip2", "-c"},
	} {
		t.Run(name, func(t *testing.T) {
			data := plain
			if program != nil {
				need.Program(t, program[0])
				cmd := exec.Command(program[0], program[1:]...)
				cmd.Stdin = bytes.NewReader(plain)
				var err error
				if data, err = cmd.Output(); err != nil {
					t.Fatal(err)
				}
			}
			got, err := Read(t.Context(), save(t, data), "")
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, %v", got, err)
			}
			// A tar may end after any file.
			if _, err := Read(t.Context(), save(t, data[:len(data)/2]), ""); err == nil && program != nil {
				t.Error("half an archive was read")
			}
		})
	}
	t.Run("zip", func(t *testing.T) {
		var out bytes.Buffer
		z := zip.NewWriter(&out)
		for _, e := range goModule[1:] {
			w, err := z.Create(e.name)
			if err == nil {
				_, err = io.WriteString(w, e.text)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := Read(t.Context(), save(t, out.Bytes()), "")
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

func TestRead(t *testing.T) {
	tests := []struct {
		name    string
		root    string
		entries []entry
		want    string // error; empty for the modules above
	}{
		{"./ in front", "", []entry{{"./", ""}, {"./a/go.mod", goMod}, {"./a/go.sum", goSum}}, ""},
		{"root named", "a/cmd", []entry{{"a/go.mod", "broken"}, {"a/cmd/go.mod", goMod}, {"b/x", ""},
			{"a/cmd/go.sum", goSum}}, ""},
		{"at the top", ".", []entry{{"go.mod", goMod}, {"go.sum", goSum}}, ""},
		{"two at the top", "", []entry{{"a/go.mod", goMod}, {"b/go.mod", goMod}},
			"the archive has no single directory at its top; set bundle-root-path to " +
				"the directory of the Go module"},
		{"none at the top", "", []entry{{"go.mod", goMod}},
			"the archive has no single directory at its top; set bundle-root-path to " +
				"the directory of the Go module"},
		{"no go.mod", "", []entry{{"a/main.go", ""}},
			"there is no a/go.mod in the archive; set bundle-root-path to the directory of the Go module"},
		{"wrong root", "a/b", []entry{{"a/go.mod", goMod}},
			"there is no a/b/go.mod in the archive; correct bundle-root-path"},
		{"go.mod is a link", "", []entry{{"a/go.mod", "->../../etc/passwd"}},
			"there is no a/go.mod in the archive; set bundle-root-path to the directory of the Go module"},
		{"outside", "../a", []entry{{"../a/go.sum", goSum}},
			"there is no ../a/go.mod in the archive; correct bundle-root-path"},
		{"needs nothing", "", []entry{{"a/go.mod", "module a\n"}},
			"the module in a needs no other modules; remove bundle-modules"},
		{"bad go.mod", "", []entry{{"a/go.mod", "module ("}},
			"a/go.mod:1:9: syntax error (unterminated block started at a/go.mod:1:1)"},
		{"bad go.sum", "", []entry{{"a/go.mod", goMod}, {"a/go.sum", "x y\n"}},
			"a/go.sum: line 1 is not of the form \"module version sum\""},
		{"a path that climbs", "", []entry{{"a/go.mod", goMod}, {"a/go.sum", "../../x v1.0.0 h1:x\n"}},
			`a/go.sum: line 1: malformed module path "../../x": invalid path element ".."`},
		{"a version that climbs", "", []entry{{"a/go.mod", goMod},
			{"a/go.sum", "a.b/x v1.0.0/../../.. h1:x\n"}},
			`a/go.sum: line 1: a.b/x@v1.0.0/../../..: invalid version: not a semantic version`},
		{"two sums", "", []entry{{"a/go.mod", goMod},
			{"a/go.sum", "a.b/x v1.0.0 h1:x\na.b/x v1.0.0 h1:y\n"}},
			"a/go.sum: line 2 has a different sum for a.b/x v1.0.0 than an earlier line"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Read(t.Context(), save(t, tarOf(t, test.entries...)), test.root)
			switch {
			case test.want == "" && (err != nil || !reflect.DeepEqual(got, want)):
				t.Errorf("got %v, %v", got, err)
			case test.want != "" && (err == nil || err.Error() != test.want):
				t.Errorf("error %v\nwant  %s", err, test.want)
			case test.want != "" && !errors.As(err, new(*Error)):
				t.Errorf("the error is a %T", err)
			}
		})
	}
	if _, err := Read(t.Context(), save(t, []byte("<html>")), ""); err == nil {
		t.Error("a web page was read")
	}
	if _, err := Read(t.Context(), "/nonexistent", ""); err == nil || errors.As(err, new(*Error)) {
		t.Errorf("a missing file: %v", err)
	}
}

// Files that are too large are not read to their end.
func TestReadBounds(t *testing.T) {
	large := tarOf(t, entry{"a/go.mod", goMod}, entry{"a/go.sum", strings.Repeat("\n", MaxText+1)})
	if _, err := Read(t.Context(), save(t, large), ""); err == nil ||
		err.Error() != "a/go.sum is larger than 16 MiB" {
		t.Errorf("error %v", err)
	}
}

// TestSumsOfTooManyModules: every module is fetched.
func TestSumsOfTooManyModules(t *testing.T) {
	var text strings.Builder
	for i := range maxModules + 1 {
		fmt.Fprintf(&text, "example.com/m%d v1.0.0 h1:x\nexample.com/m%[1]d v1.0.0/go.mod h1:x\n", i)
	}
	if all, err := ParseSums([]byte(text.String())); err == nil ||
		!strings.Contains(err.Error(), "line 40001: it names more than 20000 modules") {
		t.Errorf("%d modules, %v", len(all), err)
	}
}

// TestReadEnds: an archive is read until the context ends.
func TestReadEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Read(ctx, save(t, tarOf(t, goModule...)), ""); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
