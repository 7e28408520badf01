// runs: lists the runs that are kept.

package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"buildsys/internal/errkind"
	"buildsys/internal/history"
	"buildsys/internal/progress"
	"buildsys/internal/safetext"
)

const runsHelp = `Lists the runs of this checkout, the newest first: every build is kept, with what
its steps printed, also when there was nothing to do. The numbers are those that
log and report take. Runs are kept in the cache directory, at most 300 and
512 MiB; cache trim removes more.`

func newRunsCommand(a *app) *cobra.Command {
	var asJSON, all bool
	var limit int
	cmd := &cobra.Command{
		Use:   "runs",
		Short: "List the runs that are kept",
		Long:  runsHelp,
		Args:  usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if limit < 1 {
				return errkind.Usagef("--limit must be positive")
			}
			_, s, err := a.resolve()
			if err != nil {
				return err
			}
			runs, err := s.RunsHere(all)
			if err != nil {
				return err
			}
			runs = runs[:min(len(runs), limit)]
			if asJSON {
				return a.printJSON("runs", runsDocument(runs))
			}
			return writeRuns(a.sys.Stdout, runs, all)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	cmd.Flags().BoolVarP(&all, "all", "a", false, "list those of all checkouts")
	cmd.Flags().IntVarP(&limit, "limit", "L", 20, "list at most this many")
	return cmd
}

// runJSON is a run as --json has it.
type runJSON struct {
	ID      int       `json:"id"`
	Root    string    `json:"root"`
	Command []string  `json:"command"`
	Arch    string    `json:"arch"`
	Variant string    `json:"variant,omitempty"`
	Began   time.Time `json:"began"`
	// Seconds is how long it took; 0 if that is not known.
	Seconds float64         `json:"seconds"`
	Result  string          `json:"result"`
	Error   string          `json:"error,omitempty"`
	Steps   *history.Counts `json:"steps,omitempty"`
}

func runsDocument(runs []history.Run) any {
	list := make([]runJSON, len(runs))
	for i, r := range runs {
		list[i] = runJSON{ID: r.ID, Root: r.Root, Command: r.Command, Arch: r.Arch,
			Variant: r.Variant, Began: r.Began, Result: result(r)}
		if r.End != nil {
			list[i].Seconds = r.End.Ended.Sub(r.Began).Seconds()
			list[i].Error, list[i].Steps = r.End.Error, &r.End.Counts
		}
	}
	return struct {
		Runs []runJSON `json:"runs"`
	}{list}
}

// result returns how a run ended: an outcome, or "running" or "lost".
func result(r history.Run) string {
	switch {
	case r.Running:
		return "running"
	case r.End == nil:
		return "lost" // its process was killed
	}
	return string(r.End.Outcome)
}

func writeRuns(to io.Writer, runs []history.Run, roots bool) error {
	if len(runs) == 0 {
		_, err := fmt.Fprintln(to, "no runs are kept of this checkout; --all lists those of others")
		return err
	}
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RUN\tBEGAN\tTOOK\tRESULT\tSTEPS\tCOMMAND")
	for _, r := range runs {
		took, steps := "", ""
		if r.End != nil {
			took, steps = progress.Took(r.End.Ended.Sub(r.Began)), counted(r.End.Counts)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s", r.ID, r.Began.Local().Format(time.DateTime), took,
			result(r), steps, commandLine(r))
		if roots {
			fmt.Fprintf(w, "\t%s", safetext.Line(r.Root))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

// counted returns numbers of steps in words: "3 built, 1 failed, 12 cached".
func counted(c history.Counts) string {
	var parts []string
	for _, part := range []struct {
		n    int
		word string
	}{{c.Built, "built"}, {c.Failed, "failed"}, {c.Skipped, "skipped"}, {c.Cancelled, "cancelled"},
		{c.Cached, "cached"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.word))
		}
	}
	return strings.Join(parts, ", ")
}

// maxCommand is how much of a command line is shown in a table.
const maxCommand = 60

// commandLine returns the command line of a run.
func commandLine(r history.Run) string {
	text := []rune(safetext.Line(strings.Join(r.Command, " ")))
	if r.Unit != "" {
		text = []rune(safetext.Line("cargo: " + progress.Name(r.Unit)))
	}
	if r.Again {
		text = append(text, []rune(" (second builds)")...)
	}
	if len(text) > maxCommand {
		text = append(text[:maxCommand-1], '…')
	}
	return string(text)
}
