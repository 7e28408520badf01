// Documents: people write them, but for the part that a script writes.

package figures

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Output is where the figures of a benchmark go.
type Output struct {
	Script   string // "script/bench"
	Document string // Markdown file with a part of the script; empty: the report is printed
	History  string // file for Append; empty: figures are not kept
}

// Flags adds the flags that set it.
func (o *Output) Flags(f *flag.FlagSet) {
	f.StringVar(&o.Document, "document", "", "Markdown `file` that gets the figures instead of "+
		"standard output, between its lines "+o.marker("begin")+" and "+o.marker("end"))
	f.StringVar(&o.History, "history", "", "`file` that gets a line for each figure")
}

func (o *Output) marker(what string) string {
	return fmt.Sprintf("<!-- %s: %s --write -->", what, o.Script)
}

// Write writes the report of a run, keeps its figures, and says which have become worse. The date
// and the commit, that of the directory that has the history, are its own to find.
func (o *Output) Write(ctx context.Context, w io.Writer, report string, r Run) error {
	err := o.report(w, report)
	if err != nil || o.History == "" {
		return err
	}
	commit, err := exec.CommandContext(ctx, "git", "-C", filepath.Dir(o.History), "rev-parse",
		"--short=8", "HEAD").Output()
	if err != nil {
		return fmt.Errorf("the commit of %s: %w", o.History, err)
	}
	r.Date, r.Commit = time.Now(), strings.TrimSpace(string(commit))
	changes, err := Append(o.History, r)
	if err != nil {
		return err
	}
	for _, c := range changes {
		if c.Worse() {
			_, werr := fmt.Fprintf(w, "WORSE: %v\n", c)
			err = errors.Join(err, werr)
		}
	}
	return err
}

func (o *Output) report(w io.Writer, report string) error {
	if o.Document == "" {
		_, err := io.WriteString(w, report)
		return err
	}
	text, err := os.ReadFile(o.Document)
	if err != nil {
		return err
	}
	begin, end := o.marker("begin")+"\n", o.marker("end")+"\n"
	above, rest, found := strings.Cut(string(text), begin)
	_, below, closed := strings.Cut(rest, end)
	if !found || !closed {
		return fmt.Errorf("%s lacks the lines %s and %s", o.Document, o.marker("begin"), o.marker("end"))
	}
	return os.WriteFile(o.Document,
		[]byte(above+begin+"\n"+strings.TrimSpace(report)+"\n\n"+end+below), 0o644)
}
