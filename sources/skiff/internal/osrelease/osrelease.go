// Package osrelease reads os-release(5): the file in which an operating system says what it is.
package osrelease

import "strings"

// Info is the part of os-release that Skiff shows. A field that the file does not set is empty.
type Info struct {
	Name      string // NAME: "Skiff OS"
	Version   string // VERSION_ID: "0.1.0"
	BuildID   string // BUILD_ID: "abcdef12"
	VariantID string // VARIANT_ID: "qemu-dev"
}

// Parse reads the text of an os-release file. Lines that are not KEY=VALUE are passed over and a
// later line wins, as in the shell that the format comes from.
func Parse(text string) Info {
	values := make(map[string]string)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		key, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		values[key] = unquote(value)
	}
	return Info{
		Name:      values["NAME"],
		Version:   values["VERSION_ID"],
		BuildID:   values["BUILD_ID"],
		VariantID: values["VARIANT_ID"],
	}
}

// unquote removes one pair of quotes and, inside double quotes, the backslashes that the format
// asks for.
func unquote(s string) string {
	if len(s) < 2 || s[0] != s[len(s)-1] {
		return s
	}
	switch s[0] {
	case '\'':
		return s[1 : len(s)-1]
	case '"':
		return strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\$`, `$`, "\\`", "`").Replace(s[1 : len(s)-1])
	}
	return s
}

// String is "Skiff OS 0.1.0 (abcdef12)", without the parts that are not known.
func (i Info) String() string {
	s := i.Name
	if s == "" {
		s = "unnamed system"
	}
	if i.Version != "" {
		s += " " + i.Version
	}
	if i.BuildID != "" {
		s += " (" + i.BuildID + ")"
	}
	return s
}
