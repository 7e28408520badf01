// ciconsole: what a CI service gets besides the lines of a run.

package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"buildsys/internal/ciservice"
	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
	"buildsys/internal/progress"
)

// ciConsole collects the results of runs and tells them to a CI service. All runs of a command
// share one.
type ciConsole struct {
	results ciservice.Results
	service ciservice.Service
	raw     io.Writer // the log as it came: commands to a service pass no filter
	junit   string
	write   func(name string, data []byte, mode fs.FileMode) error
	summary string // file to which a page about each run is appended; may be empty
	shown   int    // runs in the page
}

// newCIConsole returns the one of this command.
func (a *app) newCIConsole() *ciConsole {
	if a.ciConsole == nil {
		a.ciConsole = &ciConsole{service: a.ci, raw: a.sys.terminal.stderr}
		if a.junit != "" {
			a.ciConsole.junit, a.ciConsole.write = a.path(a.junit), a.writeFile
		}
		if a.ci == ciservice.GitHub {
			a.ciConsole.summary = a.sys.Getenv("GITHUB_STEP_SUMMARY")
		}
	}
	return a.ciConsole
}

// report tells how a run ended. The page is written over no other program's, and the results of all
// runs so far are in the file for JUnit's readers.
func (c *ciConsole) report(s progress.Summary) error {
	c.results.Ended(s)
	runs := c.results.Runs()
	var errs []error
	if len(runs) > c.shown {
		errs = append(errs, c.tell(runs[len(runs)-1]))
	}
	if c.summary != "" {
		errs = append(errs, c.addSummary(runs[c.shown:]))
	}
	c.shown = len(runs)
	if c.junit != "" {
		var text bytes.Buffer
		err := ciservice.WriteJUnit(&text, runs)
		if err == nil {
			err = c.write(c.junit, text.Bytes(), 0o644)
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return errkind.Environmentf("report to the CI service: %w", err)
	}
	return nil
}

// tell writes folds and annotations for the failures of a run.
func (c *ciConsole) tell(r ciservice.Run) error {
	for _, s := range r.Steps {
		if s.Outcome != ciservice.Failed {
			continue
		}
		name := progress.Name(s.ID)
		if err := c.service.Fold(c.raw, "buildsys_"+s.ID, name+": what its output says", s.Lines,
			time.Now()); err != nil {
			return err
		}
		note := ciservice.Note{Error: true, Title: name + " failed", Text: s.Why}
		if s.Hint != "" {
			note.Text += "; " + s.Hint
		}
		if err := c.service.Annotate(c.raw, note); err != nil {
			return err
		}
	}
	return nil
}

func (c *ciConsole) addSummary(runs []ciservice.Run) error {
	f, err := os.OpenFile(c.summary, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(ciservice.WriteSummary(f, runs), f.Close())
}

// annotate tells the CI service about mistakes in files of the tree.
func (a *app) annotate(problems manifest.Problems) {
	service, err := a.caller().CI()
	root, err2 := a.caller().Root()
	if err != nil || err2 != nil {
		return // the command has failed for that reason
	}
	below := ""
	if rel, err := filepath.Rel(a.sys.Getenv("GITHUB_WORKSPACE"), root); err == nil &&
		filepath.IsLocal(rel) {
		below = filepath.ToSlash(rel) + "/"
	}
	for _, p := range problems {
		text := p.Msg
		if p.Hint != "" {
			text += "; " + p.Hint
		}
		note := ciservice.Note{Error: !p.Warning, File: strings.TrimPrefix(below+p.File, "./"),
			Line: p.Line, Text: text}
		if err := service.Annotate(a.sys.terminal.stderr, note); err != nil {
			fmt.Fprintf(a.sys.Stderr, "buildsys: warning: annotations: %v\n", err)
			return
		}
	}
}
