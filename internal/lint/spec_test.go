// spec_test: what the spec reader reads and leaves alone, and that no input makes it panic or hang.

package lint

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func baseMacros() macros {
	m := macros{}
	m.read("%_cross_os skiff-\n%_cross_lib %{_cross_arch}/lib\n%long a \\\n b\n%f(x) no\n")
	m.define("_cross_arch", "x86_64", false)
	m.define("_cross_arch", "aarch64", true)
	return m
}

func TestExpand(t *testing.T) {
	m := baseMacros()
	m.define("self", "%{self}x", false)
	m.define("twice", "%twice%twice%twice%twice%twice%twice%twice%twice", false)
	m.define("cond", "c", true)
	tests := []struct {
		text string
		want []string
	}{
		{"", []string{""}},
		{"plain", []string{"plain"}},
		{"%{_cross_os}musl", []string{"skiff-musl"}},
		{"a%_cross_os-b", []string{"askiff--b"}},
		{"100%% %", []string{"100% %"}},
		{"%{_cross_lib}", []string{"x86_64/lib", "aarch64/lib"}},
		{"%{nil}x%nil", []string{"x"}},
		{"%{?none}x", []string{"x"}},
		{"%{?_cross_os:is }x", []string{"is x"}},
		{"%{!?_cross_os:not }x", []string{"x"}},
		{"%{!?none:not }x", []string{"not x"}},
		{"%{?cond}x", []string{"cx", "x"}},
		{"%{none}", []string{unknown}},
		{"%{cond}", []string{"c"}},
		{"%(date)-%{lua: x}-%[1+1]", []string{unknown + "-" + unknown + "-" + unknown}},
		{"%{?_cross_variant}", []string{unknown}},
		{"%{unclosed", []string{unknown}},
		{"%{f}", []string{unknown}},
	}
	for _, test := range tests {
		if got := m.expand(test.text); !slices.Equal(got, test.want) {
			t.Errorf("%q expands to %q, want %q", test.text, got, test.want)
		}
	}
	for _, endless := range []string{"%{self}", "%twice"} {
		if got := m.expand(endless); !strings.Contains(got[0], unknown) {
			t.Errorf("%q expands to %.40q, want something unknown", endless, got)
		}
	}
}

func TestDependencyNames(t *testing.T) {
	tests := []struct{ text, want string }{
		{"a", "[a] true"},
		{"a, b c", "[a b c] true"},
		{"a >= 1.2-3, b = 4 c<d", "[a b c<d] true"},
		{"(a if (b or c)) d", "[d] true"},
		{"pkgconfig(zlib) >= 1", "[pkgconfig(zlib)] true"},
		{"a-" + unknown + " b", "[b] false"},
		{"", "[] true"},
		{">=", "[] true"},
		{"(((", "[] true"},
	}
	for _, test := range tests {
		names, whole := dependencyNames(test.text)
		if got := fmt.Sprint(names, whole); got != test.want {
			t.Errorf("dependencyNames(%q) = %s, want %s", test.text, got, test.want)
		}
	}
}

const sampleSpec = `# Name: comment
%global base foo
%define with %{base}-with
%if "%{_cross_arch}" == "x86_64"
%global flavour fast
%else
%global flavour small
%endif
Name: %{_cross_os}%{base}
Version: 1.2
Source0: https://example.com/%{base}-%{version}.tar.gz#/%{base}.tgz
Source1 : config-%{flavour}
Patch0001: 0001-x.patch
Source9: %{unheard-of}.tar
BuildRequires: %{_cross_os}libc-devel >= 1, (%{_cross_os}x if y)
Requires(post): %{_cross_os}libc
%ifarch x86_64
Requires: %{_cross_os}only-here
%endif
Provides: %{name}(thing) = %{version}, %{_cross_os}alias

%description
Requires: not a tag here

%package devel
Summary: s
Requires: %{name}

%package -n %{_cross_os}tools
Requires: %{_cross_os}foo-devel

%build
make used-file "%{with}"

%files
%files devel
%files -f list -n %{_cross_os}tools

%changelog
- mention of old-file
`

func TestParseSpec(t *testing.T) {
	got := ParseSpec(t.Context(), sampleSpec, baseMacros())
	want := &Spec{
		RPMs: []RPM{
			{"skiff-foo", 9, []string{"skiff-foo(thing)", "skiff-alias"},
				[]Need{{"skiff-libc", 16, false}, {"skiff-only-here", 18, true}}, true},
			{"skiff-foo-devel", 25, nil, []Need{{"skiff-foo", 27, false}}, true},
			{"skiff-tools", 29, nil, []Need{{"skiff-foo-devel", 30, false}}, true},
		},
		BuildRequires: []Need{{"skiff-libc-devel", 15, false}},
		Installed:     []Installed{{Line: 37, unknown: true}},
		Sources: []Source{
			{"Source0", "foo.tgz", 11, false}, {"Source1", "config-fast", 12, true}, {"Source1",
				"config-small", 12, true},
			{"Patch0001", "0001-x.patch", 13, false},
		},
		BuildBoolean: []Need{{"skiff-x", 15, true}, {"if", 15, true}, {"y", 15, true}},
		Patterns:     []string{unknown + ".tar"},
		Version:      SpecVersion{versions: []string{"1.2"}, Line: 10},
	}
	for _, text := range []string{"used-file", "foo-with", "config-small"} {
		if !got.mentions(text) {
			t.Errorf("the spec does not mention %q", text)
		}
	}
	for _, text := range []string{"old-file", "comment"} {
		if got.mentions(text) {
			t.Errorf("the spec mentions %q in a line that does nothing", text)
		}
	}
	got.text.Reset()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestUncertainSpecs(t *testing.T) {
	tests := map[string]bool{
		"Name: a\n": false,
		"Name: a\n%global x %(date)\n%bcond x 1\n":  false,
		"Name: a\nRequires: %{never}\n":             false,
		"Name: %{never}\n":                          true,
		"Name: a\n%package -n %{never}\n":           true,
		"Name: a\nProvides: %{never}\n":             true,
		"Name: a\n%{lua: print('Requires: b')}\n":   true,
		"Name: a\n%files -n %{never}\n":             true,
		"Name: a\n%kernel_packages\n":               true,
		"Name: a\n%description\n%kernel_packages\n": false,
	}
	for text, want := range tests {
		if got := ParseSpec(t.Context(), text, nil).Uncertain; got != want {
			t.Errorf("%q: uncertain %v, want %v", text, got, want)
		}
	}
}

func FuzzParseSpec(f *testing.F) {
	f.Add(sampleSpec)
	f.Add("%global a %a%a\nName: %a\n%files -n\n%package -n\n%if\n%endif\n%endif\nRequires: " +
		"((\nSource: \n%sourcelist\nx\n")
	f.Add("Requires: (a if (b or c)) d)e ((\nVersion: %{version}%{?x:%{!?y:z}}\nRequires: )a(b) " +
		"(c)d\nSource0: %{u}%{u}a/%{u}\n\xff\\\n\x00\r\n%{")
	specs, _ := filepath.Glob("../../packages/*/*.spec")
	for _, file := range specs {
		if data, err := os.ReadFile(file); err == nil {
			f.Add(string(data))
		}
	}
	base := baseMacros()
	f.Fuzz(func(t *testing.T, data string) {
		spec := ParseSpec(t.Context(), data, base)
		lines := strings.Count(data, "\n") + 1
		for _, rpm := range spec.RPMs {
			if rpm.Line < 1 || rpm.Line > lines || strings.Contains(rpm.Name,
				unknown) != strings.Contains(data, unknown) && strings.Contains(rpm.Name, unknown) {
				t.Errorf("RPM %+v of %d lines", rpm, lines)
			}
		}
		for _, s := range spec.Sources {
			if s.Name == "" || strings.ContainsAny(s.Name, "/ \t") || s.Line < 1 || s.Line > lines {
				t.Errorf("source %+v of %d lines", s, lines)
			}
		}
		for _, need := range slices.Concat(spec.BuildRequires, spec.Boolean) {
			if need.Line < 1 || need.Line > lines {
				t.Errorf("%+v of %d lines", need, lines)
			}
		}
		spec.mayName("any-1.0.tar.gz")
		if len(base) != 4 {
			t.Fatal("the base macros changed")
		}
	})
}

// TestOddSpecs: specs written by generators or editors of other systems mean what the same lines
// mean otherwise.
func TestOddSpecs(t *testing.T) {
	plain := ParseSpec(t.Context(), sampleSpec, baseMacros())
	var long strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&long, "# line %d\n%%global filler_%d %%{_cross_os}%d\n", i, i, i)
	}
	for name, text := range map[string]string{
		"BOM":            "\ufeff" + sampleSpec,
		"CRLF":           strings.ReplaceAll(sampleSpec, "\n", "\r\n"),
		"not UTF-8":      sampleSpec + "- caf\xe9\n",
		"NUL":            sampleSpec + "\x00\n",
		"10,000 macros":  sampleSpec + "%changelog\n" + long.String(),
		"10,000 changes": sampleSpec + strings.Repeat("* Mon Jan 01 2024 x - 1\n- y\n", 10_000),
		"one long line":  sampleSpec + "- " + strings.Repeat("x", 1<<20) + "\n",
		"no last line":   strings.TrimSuffix(sampleSpec, "\n"),
	} {
		got := ParseSpec(t.Context(), text, baseMacros())
		got.text.Reset()
		want := *plain
		want.text = strings.Builder{}
		if !reflect.DeepEqual(got, &want) {
			t.Errorf("%s: got %+v, want %+v", name, got, &want)
		}
	}
	front := ParseSpec(t.Context(), long.String()+sampleSpec, baseMacros())
	if len(front.RPMs) != len(plain.RPMs) || front.RPMs[0].Line != plain.RPMs[0].Line+20_000 {
		t.Errorf("behind 20,000 lines: got %+v", front.RPMs)
	}
	if _, problem := readable([]byte{0xff, 0xfe, 'N',
		0}); problem != "the spec is UTF-16, which rpmbuild cannot read" {
		t.Errorf("UTF-16: %q", problem)
	}
	if text, problem := readable([]byte("Name: caf\xe9\n")); problem != "" ||
		len(ParseSpec(t.Context(), text, nil).RPMs) != 0 {
		t.Errorf("a name that is not UTF-8 was taken: %q, %q", text, problem)
	}
}
