// Tests of the os-release reader: quoting, comments, missing values.

package osrelease

import "testing"

func TestParse(t *testing.T) {
	tests := []struct {
		name, text string
		want       Info
		line       string
	}{
		{
			"complete",
			"NAME=\"Skiff OS\"\nID=skiff\n# a " +
				"comment\nVERSION_ID=0.1.0\nBUILD_ID=abcdef12\nVARIANT_ID=qemu-dev\n",
			Info{"Skiff OS", "0.1.0", "abcdef12", "qemu-dev"},
			"Skiff OS 0.1.0 (abcdef12)",
		},
		{"single quotes", "NAME='a \"b\"'\nVERSION_ID='1'", Info{Name: `a "b"`, Version: "1"}, `a "b" 1`},
		{"escapes", `NAME="a\$b\"c\\d"`, Info{Name: `a$b"c\d`}, `a$b"c\d`},
		{"later line wins", "NAME=a\nNAME=b\n", Info{Name: "b"}, "b"},
		{"comment is no value", "NAME=a\n#NAME=b\n", Info{Name: "a"}, "a"},
		{"lone quote", `NAME="`, Info{Name: `"`}, `"`},
		{"empty", "", Info{}, "unnamed system"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := Parse(test.text)
			if got != test.want {
				t.Errorf("Parse = %+v, want %+v", got, test.want)
			}
			if got.String() != test.line {
				t.Errorf("String = %q, want %q", got.String(), test.line)
			}
		})
	}
}
