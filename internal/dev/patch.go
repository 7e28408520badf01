// patch: a change as the text of a patch, and the subject and author of a patch's text.

package dev

import (
	"bytes"
	"fmt"
	"mime"
	"net/mail"
	"regexp"
	"strings"

	"buildsys/internal/git"
	"buildsys/internal/safetext"
)

// Change is a commit on top of the patches.
type Change = git.Change

// looksLikePatch are lines of a message that patch would take for the beginning of a difference.
var looksLikePatch = regexp.MustCompile(
	`(?m)^(--- |\+\+\+ |\*\*\* |diff |Index:|@@ |Prereq:|\d+(,\d+)?[acd]\d)`)

// format returns a change as a mail, as git format-patch does, without what changes from one
// version of git or one machine to another. Names lose as many leading parts as strip says; -1 is
// 1.
func format(c Change, strip int) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "From: %s <%s>\nDate: %s\nSubject: [PATCH] %s\n\n", c.By.Name, c.By.Mail,
		c.By.Time.UTC().Format("Mon, 2 Jan 2006 15:04:05 -0700"), c.Subject)
	if c.Body != "" {
		fmt.Fprintf(&out, "%s\n", looksLikePatch.ReplaceAllString(c.Body, " $0"))
	}
	out.WriteString("---\n\n")
	diff := c.Diff
	if strip == 0 {
		diff = withoutPrefix(diff)
	}
	out.WriteString(diff)
	return out.Bytes()
}

// withoutPrefix returns a difference whose names do not begin with a/ and b/.
func withoutPrefix(diff string) string {
	var out strings.Builder
	header := false
	for l := range strings.Lines(diff) {
		switch {
		case strings.HasPrefix(l, "diff --git "):
			header = true
			l = strings.Replace(strings.Replace(l, " a/", " ", 1), " b/", " ", 1)
		case strings.HasPrefix(l, "@@ "):
			header = false
		case header && (strings.HasPrefix(l, "--- a/") || strings.HasPrefix(l, "+++ b/")):
			l = l[:4] + l[6:]
		}
		out.WriteString(l)
	}
	return out.String()
}

// described returns who made a patch and its message, as far as it has the headers of a mail.
func described(text []byte, name string, fallback git.Person) (by git.Person, message string) {
	by, message = fallback, name
	_, rest, found := bytes.Cut(text, []byte("From: "))
	if !found || bytes.Contains(text[:len(text)-len(rest)], []byte("\n--- ")) {
		return by, message
	}
	m, err := mail.ReadMessage(bytes.NewReader(append([]byte("From: "), rest...)))
	if err != nil {
		return by, message
	}
	if from, err := mail.ParseAddress(m.Header.Get("From")); err == nil {
		by.Name, by.Mail = safetext.Line(from.Name), safetext.Line(from.Address)
		if by.Name == "" {
			by.Name = by.Mail
		}
	}
	if at, err := m.Header.Date(); err == nil && at.Unix() > 0 {
		by.Time = at
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		subject = m.Header.Get("Subject")
	}
	subject = regexp.MustCompile(`^\[[^\]]*\]\s*`).ReplaceAllString(subject, "")
	if subject = safetext.Line(strings.TrimSpace(subject)); subject != "" {
		message = subject
	}
	var body bytes.Buffer
	if _, err := body.ReadFrom(m.Body); err == nil {
		text, _, _ := strings.Cut("\n"+body.String(), "\n---")
		text, _, _ = strings.Cut(text, "\ndiff ")
		if text = safetext.Lines(strings.TrimSpace(text)); text != "" {
			message += "\n\n" + text
		}
	}
	return by, message
}
