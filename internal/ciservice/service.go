// service: what the log of a CI service understands besides lines.

package ciservice

import (
	"fmt"
	"io"
	"strings"
	"time"

	"buildsys/internal/progress"
)

// Service is a CI service.
type Service string

// The services. None of CodeBuild's features needs a command: it reads files in JUnit's form.
const (
	None      Service = "none"
	GitHub    Service = "github"
	GitLab    Service = "gitlab"
	CodeBuild Service = "codebuild"
)

// Services are all of them, in the order of the help.
var Services = []Service{GitHub, GitLab, CodeBuild, None}

// Detect returns the service whose job this process runs in, from the environment.
func Detect(getenv func(string) string) Service {
	switch {
	case getenv("GITHUB_ACTIONS") == "true":
		return GitHub
	case getenv("GITLAB_CI") == "true":
		return GitLab
	case getenv("CODEBUILD_BUILD_ID") != "":
		return CodeBuild
	}
	return None
}

// Note is something that a service can show beside a line of a file.
type Note struct {
	Error bool   // or a warning
	File  string // relative to the checkout, with slashes; empty if it is about no file
	Line  int    // 0 for the file as a whole
	Title string
	Text  string
}

// Annotate writes a command that makes the service show a note. Services that know no such command
// get nothing: the log has said it.
func (s Service) Annotate(w io.Writer, n Note) error {
	if s != GitHub {
		return nil
	}
	level := "warning"
	if n.Error {
		level = "error"
	}
	var properties []string
	if n.File != "" {
		properties = append(properties, "file="+property(n.File))
		if n.Line > 0 {
			properties = append(properties, fmt.Sprintf("line=%d", n.Line))
		}
	}
	if n.Title != "" {
		properties = append(properties, "title="+property(n.Title))
	}
	_, err := fmt.Fprintf(w, "%s\n", strings.TrimSuffix("::"+level+" "+strings.Join(properties, ","),
		" ")+"::"+data(n.Text))
	return err
}

// data and property escape as GitHub's own toolkit does (@actions/core, command.ts).
func data(text string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(progress.Clean(text))
}

func property(text string) string {
	return strings.NewReplacer(":", "%3A", ",", "%2C").Replace(data(text))
}

// Fold writes lines that the service shows folded below a title.
func (s Service) Fold(w io.Writer, id, title string, lines []string, at time.Time) error {
	var begin, end string
	title = progress.Clean(title)
	switch s {
	case GitHub:
		begin, end = "::group::"+data(title), "::endgroup::"
	case GitLab:
		// https://docs.gitlab.com/ci/jobs/job_logs/#custom-collapsible-sections
		id = strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' || r == '.' || r == '-' {
				return r
			}
			return '_'
		}, id)
		begin = fmt.Sprintf("\x1b[0Ksection_start:%d:%s[collapsed=true]\r\x1b[0K%s", at.Unix(), id, title)
		end = fmt.Sprintf("\x1b[0Ksection_end:%d:%s\r\x1b[0K", at.Unix(), id)
	default:
		return nil
	}
	var b strings.Builder
	b.WriteString(begin + "\n")
	for _, line := range cleanLines(lines) {
		b.WriteString("  " + line + "\n")
	}
	b.WriteString(end + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}
