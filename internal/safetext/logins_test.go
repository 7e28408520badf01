package safetext

import "testing"

func TestWithoutLogins(t *testing.T) {
	for in, want := range map[string]string{
		"x oci://u:p@h/x y":              "x oci://…@h/x y",
		"https://token@h":                "https://…@h",
		"https://u:p@ss@h/a@b":           "https://…@h/a@b",
		"https:/u:p@h/x":                 "https:/…@h/x",
		"ssh://ci@h, ssh://ci:p@h":       "ssh://ci@h, ssh://…@h",
		"http://a/?x=1&X-Amz-Token=t&y":  "http://a/?x=1&X-Amz-Token=…&y",
		`{"a":"http://h","b":"c@d"}`:     `{"a":"http://h","b":"c@d"}`,
		`"http://h/?a=b\u0026api_key=c"`: `"http://h/?a=b\u0026api_key=…"`,
		"http://a and b@c":               "http://a and b@c",
		"file:/home/a@b":                 "file:/home/a@b",
	} {
		if got := WithoutLogins(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// TestPlace has texts that are no URLs, which is when they are shown.
func TestPlace(t *testing.T) {
	for in, want := range map[string]string{
		"oci://u:p/w@h/x?token=t#f": "oci://…@h/x?…",
		"https://u@[bad/x?s3cr":     "https://…@[bad/x?…",
		"https:/u:p@h":              "https:/…@h",
		"ssh://ci@h/x":              "ssh://ci@h/x",
		"ssh://ci:p@h/x":            "ssh://…@h/x",
		"dir:/a/b@c":                "dir:/…@c",
		"a/b":                       "a/b",
	} {
		if got := Place(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
