// junit: results in the form that most CI services read.

package ciservice

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"buildsys/internal/progress"
)

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Skipped  int          `xml:"skipped,attr"`
	Time     string       `xml:"time,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name      string      `xml:"name,attr"`
	Tests     int         `xml:"tests,attr"`
	Failures  int         `xml:"failures,attr"`
	Skipped   int         `xml:"skipped,attr"`
	Time      string      `xml:"time,attr"`
	Timestamp string      `xml:"timestamp,attr,omitempty"`
	Cases     []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitFailure `xml:"failure"`
	Skipped *junitSkipped `xml:"skipped"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

type junitSkipped struct {
	Message string `xml:"message,attr,omitempty"`
}

// WriteJUnit writes runs as suites, with a case for each step. A step whose outputs were in a cache
// is a case of no time.
func WriteJUnit(w io.Writer, runs []Run) error {
	var all junitSuites
	var total time.Duration
	for _, r := range runs {
		suite := junitSuite{Name: r.Name(), Time: junitTime(r.Took)}
		if !r.Begin.IsZero() {
			suite.Timestamp = r.Begin.UTC().Format("2006-01-02T15:04:05")
		}
		for _, s := range r.Steps {
			suite.add(r, s)
		}
		all.Tests, all.Failures = all.Tests+suite.Tests, all.Failures+suite.Failures
		all.Skipped, total = all.Skipped+suite.Skipped, total+r.Took
		all.Suites = append(all.Suites, suite)
	}
	all.Time = junitTime(total)
	text, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, text)
	return err
}

func (suite *junitSuite) add(r Run, s Step) {
	c := junitCase{Class: "buildsys." + r.Arch, Name: progress.Name(s.ID), Time: junitTime(s.Took)}
	switch s.Outcome {
	case Failed:
		suite.Failures++
		text := s.Why
		if s.Hint != "" {
			text += "\n" + s.Hint
		}
		c.Failure = &junitFailure{Message: s.Why,
			Text: strings.Join(append([]string{text}, cleanLines(s.Lines)...), "\n")}
	case Skipped, Cancelled, Pending:
		suite.Skipped++
		c.Skipped = &junitSkipped{Message: strings.TrimSuffix(string(s.Outcome)+": "+s.Why, ": ")}
	case Built, Cached:
	}
	suite.Tests++
	suite.Cases = append(suite.Cases, c)
}

func cleanLines(lines []string) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = progress.Clean(line)
	}
	return out
}

func junitTime(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
