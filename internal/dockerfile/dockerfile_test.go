// dockerfile_test: the needs of a recipe from a tree of the first generation, InTree.

package dockerfile

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"buildsys/internal/buildtest/bound"
)

// g1 is the Dockerfile of the test tree.
func g1(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile("../../testdata/foreign/g1.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range txtar.Parse(data).Files {
		if f.Name == "Dockerfile" {
			return f.Data
		}
	}
	t.Fatal("the tree has no Dockerfile")
	return nil
}

func parse(t *testing.T, text string) *File {
	t.Helper()
	f, err := Parse("Dockerfile", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func names[T any](list []T, name func(T) string) string {
	var words []string
	for _, one := range list {
		words = append(words, name(one))
	}
	return strings.Join(words, " ")
}

var (
	argName   = func(a Arg) string { return a.Name }
	imageName = func(i Image) string { return i.Ref }
	pathName  = func(p Path) string { return p.Name }
)

func TestNeedsOfG1(t *testing.T) {
	f := parse(t, string(g1(t)))
	n, err := f.Needs("package", map[string]string{"SDK": "sdk:1", "TOOLCHAIN": "chain:1",
		"ARCH": "x86_64", "PACKAGE": "greeter", "REPO": "default"})
	if err != nil {
		t.Fatal(err)
	}
	for what, got := range map[string][2]string{
		"args": {names(n.Args, argName),
			"SDK TOOLCHAIN ARCH GOARCH PACKAGE TOKEN NOCACHE VARIANT REPO"},
		// The toolchain does not make packages.
		"images": {names(n.Images, imageName), "sdk:1"},
		"copies": {names(n.Copies, pathName),
			".dockerignore roles/default.root.json macros/x86_64 macros/shared packages/greeter"},
		"mounts": {names(n.Mounts, pathName), ".cargo sources LICENSE"},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %s\nwant %s", what, got[0], got[1])
		}
	}
	want := []Tree{{Target: "/host", Line: 32, Paths: []string{"Licenses.toml"}},
		{Target: "/host", Line: 48, Paths: []string{"build/rpms"}}}
	if !reflect.DeepEqual(n.Trees, want) {
		t.Errorf("trees %+v\nwant %+v", n.Trees, want)
	}
}

func TestOnly(t *testing.T) {
	text := g1(t)
	f := parse(t, string(text))
	only, err := f.Only("package")
	if err != nil {
		t.Fatal(err)
	}
	before, after := strings.Split(string(text), "\n"), strings.Split(string(only), "\n")
	for i, line := range after {
		if line != "" && line != before[i] {
			t.Fatalf("line %d is %q and was %q", i+1, line, before[i])
		}
	}
	for _, gone := range []string{"AS repobuild", "AS variant", "as toolchain"} {
		if strings.Contains(string(only), gone) {
			t.Errorf("%q is still there", gone)
		}
	}
	for _, kept := range []string{"AS cache", "AS rpmbuild", "AS package", "as sdk", "ARG GOARCH"} {
		if !strings.Contains(string(only), kept) {
			t.Errorf("%q is gone", kept)
		}
	}
	again := parse(t, string(only))
	a, errA := f.Needs("package", map[string]string{"SDK": "s"})
	b, errB := again.Needs("package", map[string]string{"SDK": "s"})
	if errA != nil || errB != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("it needs other things: %+v (%v) and %+v (%v)", a, errA, b, errB)
	}
}

func TestNeeds(t *testing.T) {
	for name, c := range map[string]struct {
		text                 string
		args                 map[string]string
		copies, images, whys string
	}{
		"an argument before the first FROM has no value in a stage that does not declare it": {
			text: "ARG A=x\nFROM scratch AS t\nCOPY a$A /\nARG A\nCOPY b$A /", copies: "a bx"},
		"a given value goes before a default": {
			text: "FROM scratch AS t\nARG A=x\nCOPY $A /", args: map[string]string{"A": "y"}, copies: "y"},
		"ENV goes before ARG, whichever comes first": {
			text: "FROM scratch AS t\nENV A=env\nARG A=arg\nCOPY $A /", copies: "env"},
		"stages inherit": {
			text: "FROM scratch AS base\nARG A=x\nENV B=y\nFROM base AS t\nCOPY $A$B /", copies: "xy"},
		"images by COPY and mounts, stages by number": {
			text: "FROM a AS one\nFROM b AS t\nCOPY --from=0 / /\nCOPY --from=c / /\nRUN " +
				"--mount=from=d,target=/d true", images: "a b c d"},
		"a name that is a later stage is an image": {
			text: "FROM t AS one\nFROM one AS t", images: "t"},
		"nothing is above the context": {
			text: "FROM scratch AS t\nCOPY ../../x /y/ /z/", copies: "x y"},
		"URLs and heredocs are not of the context": {
			text: "FROM scratch AS t\nADD https://example.com/x /\nCOPY <<EOT /x\ntext\nEOT", copies: ""},
		"a FROM names a stage by a variable": {
			text:   "ARG A=one\nFROM scratch AS one\nARG B=x\nFROM $A AS t\nARG C=y\nCOPY $B$C /",
			copies: "xy"},
		"a FROM names a stage by a value that is given": {
			text: "ARG A\nFROM scratch AS one\nFROM $A AS t\nARG B",
			args: map[string]string{"A": "one"},
			whys: "Dockerfile:3: FROM $A names the stage one only by a value that it is given: write " +
				"the name, or make it the default of the ARG"},
		"a FROM without a value is no stage without a name": {
			text: "ARG X\nFROM scratch\nFROM $X AS t\nARG A=x",
			whys: "Dockerfile:3: FROM $X names no image: no argument in it has a value"},
		"a FROM without a value": {
			text: "FROM scratch AS other\nARG X\nFROM $X AS t",
			whys: "Dockerfile:3: FROM $X names no image: no argument in it has a value"},
		"no such target": {
			text: "FROM scratch AS one\nFROM one AS two",
			whys: `Dockerfile: it has no target "t"; its targets are one, two`},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := parse(t, c.text).Needs("t", c.args)
			if c.whys != "" {
				if err == nil || err.Error() != c.whys {
					t.Fatalf("error %v, want %s", err, c.whys)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := names(n.Copies, pathName); got != c.copies {
				t.Errorf("copies %q, want %q", got, c.copies)
			}
			if got := names(n.Images, imageName); got != c.images {
				t.Errorf("images %q, want %q", got, c.images)
			}
		})
	}
}

// TestVariablesThatDouble: each variable may be twice the last one, and all commands see all.
func TestVariablesThatDouble(t *testing.T) {
	double := "FROM scratch AS t\nARG V0=xxxxxxxxxxxxxxxx\n"
	for i := range 16 {
		double += fmt.Sprintf("ARG V%d=$V%d$V%[2]d\n", i+1, i)
	}
	many := "FROM scratch AS t\n"
	for i := range 9000 {
		many += fmt.Sprintf("ARG V%d=\n", i)
	}
	for name, tt := range map[string]struct{ text, want string }{
		"values": {double, "more than 16384 bytes once its variables are replaced"},
		"references": {"FROM scratch AS t\nARG A=" + strings.Repeat("$A", 1001) + "\n",
			"more than 1000 variables"},
		"work": {many, "too many commands for its number of variables"},
	} {
		if _, err := parse(t, tt.text).Needs("t", nil); err == nil ||
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", name, err, tt.want)
		}
	}
	commands := "FROM scratch\n" + strings.Repeat("ARG A\n", 20000)
	if _, err := Parse("Dockerfile", []byte(commands)); err == nil {
		t.Error("20001 commands are read")
	}
}

// FuzzNeeds: reading what a Dockerfile needs ends, and takes memory in proportion to the text.
func FuzzNeeds(f *testing.F) {
	f.Add("ARG A=1\nFROM a:$A AS t\nARG B=$A$A\nENV C=${B:-$B}\nCOPY $C /x\n" +
		"RUN --mount=target=/y cat /y/${C#1}\n")
	f.Add("FROM scratch AS t\nARG A=xx\nARG A=$A$A$A$A\nARG A=$A$A$A$A\nCOPY $A .\n")
	f.Fuzz(func(t *testing.T, text string) {
		bound.Work(t, 1<<30, func() { needsOf(t, text) })
	})
}

func needsOf(t *testing.T, text string) {
	file, err := Parse("Dockerfile", []byte(text))
	if err != nil {
		return
	}
	for _, target := range file.Targets() {
		n, err := file.Needs(target, map[string]string{"GIVEN": "value"})
		if err != nil {
			continue
		}
		size := 0
		for _, p := range append(n.Copies, n.Mounts...) {
			size += len(p.Name)
		}
		for _, i := range n.Images {
			size += len(i.Ref)
		}
		if size > (1+len(text))*maxValue {
			t.Errorf("%d bytes of text need names of %d bytes", len(text), size)
		}
		if _, err := file.Only(target); err != nil {
			t.Errorf("%s is there and is not: %v", target, err)
		}
	}
}

func TestParseSaysWhere(t *testing.T) {
	_, err := Parse("Dockerfile", []byte("FROM scratch\n\nBUILD me\n"))
	var e *Error
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "BUILD") ||
		!strings.Contains(err.Error(), "3") {
		t.Errorf("error %v", err)
	}
}

func TestMentions(t *testing.T) {
	lookup := func(name string) (string, bool) {
		value, ok := map[string]string{"V": "qemu", "A.B": "no"}[name]
		return value, ok
	}
	for script, want := range map[string]string{
		"/host/tools/rpm2img --fast":                       "tools/rpm2img",
		"cp /host/{A,B/c} x; ls \"/host/d\"":               "A B/c d",
		"ls /host/build/rpms/*.rpm":                        "build/rpms",
		"x --f=/host/variants/${V}/t.ovf /host/a$V-b":      "aqemu-b variants/qemu/t.ovf",
		"cat /host/x/$UNKNOWN/y":                           "x",
		"cat /hostile/x /my/host/y /host-2/z /host.d":      "",
		"# cat /host/comment\n  # and /host/this\ntrue":    "",
		"cd /host && make":                                 "(whole)",
		"ls /host/ && ls /host/a":                          "a (whole)",
		"cat /host/$FILE":                                  "(whole)",
		"for i in /host/../x /host/a/../b; do :; done":     "b x",
		"cat /host/a;cat /host/b)":                         "a b",
		"tar -C /host/src -cf - . | (cd /host/dst; tar x)": "dst src",
	} {
		paths, whole := Mentions(script, "/host", lookup)
		got := strings.Join(paths, " ")
		if whole {
			got = strings.TrimSpace(got + " (whole)")
		}
		if got != want {
			t.Errorf("%q: %q, want %q", script, got, want)
		}
	}
}

// TestBracesThatDouble: forty pairs of braces stand for 2^40 paths.
func TestBracesThatDouble(t *testing.T) {
	none := func(string) (string, bool) { return "", false }
	script := "cat /in/dir/" + strings.Repeat("{a,b}", 40) + " /in/x/{a,b}{c,d}"
	paths, whole := Mentions(script, "/in", none)
	if want := []string{"dir", "x/ac", "x/ad", "x/bc", "x/bd"}; whole || !slices.Equal(paths, want) {
		t.Errorf("got %q, %v; want %q", paths, whole, want)
	}
	long := func(string) (string, bool) { return strings.Repeat("x", maxValue), true }
	paths, whole = Mentions("cat /in/dir/"+strings.Repeat("$A", 2000), "/in", long)
	if whole || !slices.Equal(paths, []string{"dir"}) {
		t.Errorf("got %d paths, %v", len(paths), whole)
	}
	if _, whole = Mentions("cat /in/"+strings.Repeat("$A", 4000), "/in", long); !whole {
		t.Error("a path of 8000 bytes does not stand for everything")
	}
}

func TestIgnore(t *testing.T) {
	i, err := ParseIgnore([]byte("# what docker does not " +
		"see\n/build/*\n!/build/rpms/*.rpm\n/build/rpms/*-debuginfo-*.rpm\n**/target/*\n"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, name := range []string{"build/x", "build/rpms/a.rpm", "build/rpms/a-debuginfo-1.rpm",
		"sources/x/target/y", "sources/x/y", "target"} {
		if i.Matches(name) {
			out = append(out, name)
		}
	}
	if want := []string{"build/x", "build/rpms/a-debuginfo-1.rpm",
		"sources/x/target/y"}; !slices.Equal(out, want) {
		t.Errorf("ignores %q, want %q", out, want)
	}
	if (&Ignore{}).Matches("a") {
		t.Error("nothing ignores something")
	}
	if _, err := ParseIgnore([]byte("[a-\n")); err == nil {
		t.Log("a bad pattern is not noticed by the library before it is used")
	}
}
