// Package dev turns the source of a package into commits, one for upstream's and one for each
// patch, and commits on top of them into patches of the package: numbered files, and their lines in
// the spec. Package build makes and uses the trees; package git runs git.
package dev

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

var (
	patchLine   = regexp.MustCompile(`(?i)^Patch(\d*)[ \t]*:`)
	sourceLine  = regexp.MustCompile(`(?i)^Source\d*[ \t]*:`)
	headerLine  = regexp.MustCompile(`(?i)^(Name|Version|Release|Summary|License|URL)[ \t]*:`)
	patchMacro  = regexp.MustCompile(`^%(\{)?patch\d*\b`)
	sectionName = regexp.MustCompile(`^%(prep|build|install|check|clean|files|description|package|` +
		`changelog|conf|generate_buildrequires|pre|post|preun|postun)\b`)
	stripOption = regexp.MustCompile(`(^|\s)-p\s*(\d+)(\s|$)`)
)

// specLines are what a spec says about its patches.
type specLines struct {
	lines   []string // each with its end
	tag     int      // the line after which Patch lines go
	format  string   // of a Patch tag: "Patch%04d: %s"
	number  int      // of the next patch
	strip   int      // how %autosetup or %autopatch strips names; -1 without them
	setup   int      // the line after which %patch lines go, without them
	patches int      // how many Patch lines there are
}

// readSpec reads a spec. The error says why patches cannot be added to it.
func readSpec(spec []byte) (s specLines, err error) {
	for l := range bytes.Lines(spec) {
		s.lines = append(s.lines, string(l))
	}
	s.tag, s.setup, s.strip, s.format = -1, -1, -1, "Patch%d: %s\n"
	depth, section, tagDepth, setupDepth := 0, "", 0, 0
	for i, l := range s.lines {
		text := strings.TrimSpace(l)
		switch {
		case strings.HasPrefix(text, "%if"):
			depth++
		case strings.HasPrefix(text, "%endif"):
			depth--
		case sectionName.MatchString(text):
			section = sectionName.FindStringSubmatch(text)[1]
		case section == "" && patchLine.MatchString(text):
			s.tag, tagDepth = i, depth
			s.patches++
			if err := s.tagged(patchLine.FindStringSubmatch(text)[1]); err != nil {
				return s, err
			}
		case section == "" && s.patches == 0 && (sourceLine.MatchString(text) ||
			s.tag < 0 && headerLine.MatchString(text)):
			s.tag, tagDepth = i, depth
		case section == "prep":
			if err := s.prepLine(text, i); err != nil {
				return s, err
			}
			if s.setup == i || strings.HasPrefix(text, "%auto") {
				setupDepth = depth
			}
		}
	}
	switch {
	case s.tag < 0:
		return s, errors.New("it has no Source line")
	case tagDepth != 0 || setupDepth != 0:
		return s, errors.New("its last Patch or Source line, or what applies patches, is inside %if: " +
			"buildsys does not know which condition a new patch is to have")
	case s.strip < 0 && s.setup < 0:
		return s, errors.New("its %prep has neither %autosetup nor %setup")
	}
	return s, nil
}

// tagged notes a Patch tag with the digits of its number.
func (s *specLines) tagged(digits string) error {
	if digits == "" {
		return errors.New("it has a Patch line without a number: give it one")
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n > 99_999 {
		return fmt.Errorf("the number of Patch%s is too large", digits)
	}
	s.number = max(s.number, n+1)
	if len(digits) > 1 && digits[0] == '0' {
		s.format = "Patch%0" + strconv.Itoa(len(digits)) + "d: %s\n"
	}
	return nil
}

// prepLine notes what a line of %prep does with patches.
func (s *specLines) prepLine(text string, i int) error {
	word, rest, _ := strings.Cut(text, " ")
	switch {
	case word == "%autosetup" && regexp.MustCompile(`(^|\s)-N\b`).MatchString(rest):
		return nil // %autopatch has to follow
	case word == "%autosetup" || word == "%autopatch":
		if s.strip >= 0 {
			return errors.New("its %prep has more than one %autosetup or %autopatch")
		}
		if regexp.MustCompile(`(^|\s)-[mM]`).MatchString(rest) {
			return errors.New("its %autopatch applies a part of the patches")
		}
		p := stripOption.FindStringSubmatch(rest)
		if p == nil || p[2] != "0" && p[2] != "1" {
			return fmt.Errorf("its %s has neither -p1 nor -p0, which says how names in patches begin", word)
		}
		s.strip = int(p[2][0] - '0')
	case word == "%setup":
		if regexp.MustCompile(`(^|\s)-T\b`).MatchString(rest) {
			return errors.New("its %setup -T unpacks no source, and what does cannot be seen")
		}
		if s.setup >= 0 {
			return errors.New("its %prep has more than one %setup")
		}
		s.setup = i
	case patchMacro.MatchString(text):
		s.setup = i
	}
	return nil
}

// Patch is a file to add to a package.
type Patch struct {
	Name string
	Data []byte
}

// AddPatches returns a spec with lines that apply patches of changes after those it has, and the
// patches, with names by their numbers and subjects.
func AddPatches(spec []byte, changes []Change) (added []byte, patches []Patch, err error) {
	s, err := readSpec(spec)
	if err != nil {
		return nil, nil, err
	}
	first := max(s.number, 1)
	var tags, applied strings.Builder
	for i, c := range changes {
		n := first + i
		name := fmt.Sprintf("%04d-%s.patch", n, slug(c.Subject))
		patches = append(patches, Patch{Name: name, Data: format(c, s.strip)})
		fmt.Fprintf(&tags, s.format, n, name)
		fmt.Fprintf(&applied, "%%patch -P %d -p1\n", n)
	}
	var out bytes.Buffer
	for i, l := range s.lines {
		if (i == s.tag || i == s.setup && s.strip < 0) && !strings.HasSuffix(l, "\n") {
			l += "\n"
		}
		out.WriteString(l)
		if i == s.tag {
			out.WriteString(tags.String())
		}
		if s.strip < 0 && i == s.setup {
			out.WriteString(applied.String())
		}
	}
	return out.Bytes(), patches, nil
}

var notSlug = regexp.MustCompile(`[^A-Za-z0-9.]+`)

// slug returns a subject as a part of a file's name.
func slug(subject string) string {
	text := strings.Trim(notSlug.ReplaceAllString(subject, "-"), "-.")
	if len(text) > 52 {
		text = strings.TrimRight(text[:52], "-.")
	}
	if text == "" {
		return "change"
	}
	return text
}
