// Specs of a megabyte that are made to take hours: reading them has an end, which the signal that
// ends a run brings nearer.

package lint

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"buildsys/internal/buildtest/bound"
	"buildsys/internal/workspace"
)

// lines returns n lines.
func lines(n int, line func(i int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(line(i) + "\n")
	}
	return b.String()
}

// numbered returns a line with its number wherever the format has %[1]d.
func numbered(format string) func(int) string {
	return func(i int) string { return fmt.Sprintf(format, i) }
}

const (
	bombHead = "Name: %{_cross_os}a\nVersion: 1\nRelease: 1\n"
	bombEnd  = "%files\n"
)

// values makes a macro with 14 values.
var manyValues = "%if 1\n" + lines(14, numbered("%%define a %[1]d")) + "%endif\n"

var bombs = map[string]string{
	"patches, each applied": lines(60_000, numbered("Patch%[1]d: a")) + "%prep\n%patch " +
		strings.Repeat("99999 ", 90_000) + "\n",
	"packages":             lines(70_000, numbered("%%package a%[1]d")),
	"packages with files":  lines(30_000, numbered("%%package a%[1]d\n%%files a%[1]d")),
	"owners":               bombEnd + lines(25_000, numbered("%%attr(-,a%[1]d,b%[1]d) /a")),
	"archives":             lines(50_000, numbered("Source%[1]d: %[1]d.zip")) + "%prep\n%setup\n",
	"sources":              lines(50_000, numbered("Source%[1]d: abcd%[1]d.gz")),
	"patterns of sources":  lines(20_000, numbered("Source%[1]d: a%%{x}%[1]d")),
	"needs and provisions": lines(20_000, numbered("Requires: %%{_cross_os}x%[1]d\nProvides: y%[1]d")),
	"values of a macro":    "%if 1\n" + lines(70_000, numbered("%%define a %[1]d")) + "%endif\n",
	"values × values":      manyValues + strings.Repeat("%{a}%{a}%{a}\n", 60_000),
	"macros in a macro": "%define a " + strings.Repeat("%{b}", 2000) + "\n%define b \n" +
		strings.Repeat("%a\n", 250_000),
	"packages × values": manyValues +
		lines(5000, numbered("%%package a%[1]d%%{a}\nProvides: x%[1]d\nRequires: x%[1]d")),
}

// bombTree returns a tree whose one package has a spec and 200 files.
func bombTree(t *testing.T, spec string) *workspace.Workspace {
	t.Helper()
	tree := fstest.MapFS{
		"Release.toml":          {Data: []byte("version = \"1.0.0\"\n")},
		"packages/a/Cargo.toml": {Data: []byte("[package]\nname = \"a\"\n")},
		"packages/a/a.spec":     {Data: []byte(bombHead + spec + bombEnd)},
		"macros/shared":         {Data: []byte("%_cross_os skiff-\n%_cross_sysroot /r\n")},
	}
	for i := range 200 {
		tree[fmt.Sprintf("packages/a/f%d", i)] = &fstest.MapFile{
			Data: []byte(strings.Repeat("u x\n", 100))}
	}
	ws, err := workspace.LoadFS("/nowhere", tree)
	if err != nil {
		t.Fatal(err)
	}
	return ws
}

func TestSpecsWithoutEnd(t *testing.T) {
	for name, spec := range bombs {
		t.Run(name, func(t *testing.T) {
			ws := bombTree(t, spec)
			bound.Work(t, 1<<30, func() {
				findings, err := Tree(t.Context(), ws, nil, "x86_64")
				if err != nil || len(findings) == 0 || len(findings) > 2*maxFindings {
					t.Errorf("%d findings, %v", len(findings), err)
				}
			})
		})
	}
}

func TestTooLargeIsUncertain(t *testing.T) {
	spec := ParseSpec(t.Context(), bombHead+bombs["macros in a macro"]+bombEnd, nil)
	if !spec.TooLarge || !spec.Uncertain || !spec.Included {
		t.Errorf("%t, %t, %t: more may be in it than was read", spec.TooLarge, spec.Uncertain,
			spec.Included)
	}
}

func TestTreeEnds(t *testing.T) {
	ws := bombTree(t, "Source: a.gz\n")
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	cancel(stop)
	if findings, err := Tree(ctx, ws, nil, "x86_64"); !errors.Is(err, stop) {
		t.Errorf("%v, %v after the end", findings, err)
	}
}
