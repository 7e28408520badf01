// Words that the sinks for people share: step names, durations, and text that cannot harm a
// terminal.

package progress

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"buildsys/internal/safetext"
)

// maxLine is the longest line, in bytes, that is shown or kept in memory. Log files have whole
// lines.
const maxLine = 4096

// Name returns the name of a step for people: "bash" for "package/bash", "variant qemu-dev" for
// "variant/qemu-dev".
func Name(step string) string {
	kind, name, ok := strings.Cut(step, "/")
	switch {
	case !ok:
		return step
	case kind == "package":
		return name
	}
	return kind + " " + name
}

// Took formats a duration for people: "0.4s", "12.3s", "1m05s", "2h03m".
func Took(d time.Duration) string {
	if d < time.Minute {
		if tenths := d.Round(100 * time.Millisecond); tenths < time.Minute {
			return fmt.Sprintf("%.1fs", tenths.Seconds())
		}
	}
	s := int(d.Round(time.Second).Seconds())
	if s < 3600 {
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	}
	return fmt.Sprintf("%dh%02dm", s/3600, s%3600/60)
}

// About formats a duration that is only estimated: "9m", "1h05m", "20s".
func About(d time.Duration) string {
	switch {
	case d >= time.Hour:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%dm", int(d.Round(time.Minute).Minutes()))
	case d >= time.Minute:
		d = d.Round(10 * time.Second)
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%ds", max(int(d.Round(time.Second).Seconds()), 1))
}

// Clean makes a line of a program's output safe to show: without escape sequences and control
// characters, in valid UTF-8, with only the last state of a line that was overwritten with carriage
// returns, at most 4096 bytes, and no command to a CI service.
func Clean(line string) string {
	line = strings.TrimRight(line, "\r\n")
	if i := strings.LastIndexByte(line, '\r'); i >= 0 {
		line = line[i+1:]
	}
	cut := len(line) > maxLine
	if cut {
		end := maxLine
		for end > maxLine-utf8.UTFMax && !utf8.RuneStart(line[end]) {
			end--
		}
		line = line[:end]
	}
	line = safetext.Line(line)
	if cut {
		line += "…"
	}
	return line
}

// OneLine returns the first line of an error's text.
func OneLine(err error) string {
	if err == nil {
		return "unknown error"
	}
	first, _, more := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	if more {
		first += " …"
	}
	return Clean(first)
}

// Phase returns the phase that rpmbuild begins with a line of its output: "%prep" for
// "Executing(%prep): /bin/sh -e /var/tmp/rpm-tmp.f3kGDc".
func Phase(line string) (phase string, ok bool) {
	rest, ok := strings.CutPrefix(line, "Executing(%")
	if !ok {
		return "", false
	}
	name, _, ok := strings.Cut(rest, "):")
	if !ok || name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return "", false
	}
	return "%" + name, true
}
