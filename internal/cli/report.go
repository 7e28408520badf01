// report: makes a page or a trace of a run that is kept.

package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"buildsys/internal/build"
	"buildsys/internal/builddir"
	"buildsys/internal/errkind"
	"buildsys/internal/history"
	"buildsys/internal/report"
)

const reportHelp = `Makes a page about a run, of this checkout the last one unless a number is
named: when what ran where, the critical path, the graph, why each step was
built, what failed with its log, what caches saved, how large everything is.
With --compare it shows what differs from an earlier run as well. The page is
one file, asks nothing of any network, and can be printed.

With --format trace it is a trace for ui.perfetto.dev or chrome://tracing. With
--format durations it is how long each step took, in seconds: as the file
durations.json in the root of a tree it lets first builds elsewhere begin with
what takes longest.

The file is build/reports/run-NUMBER.html, or .json for others, or that of -o;
"-" is standard output.`

// reportRequest holds the flags of report.
type reportRequest struct {
	compare      int
	out, format  string
	run          int
	c            build.Config
	s            *build.Session
	model, other *report.Model
}

func newReportCommand(a *app) *cobra.Command {
	var r reportRequest
	cmd := &cobra.Command{
		Use:   "report [RUN]",
		Short: "Make a page about a run, or a trace of it",
		Long:  reportHelp,
		Args:  usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if len(args) > 0 {
				if r.run, err = strconv.Atoi(args[0]); err != nil || r.run < 1 {
					return errkind.Usagef("%q is not the number of a run: 'buildsys runs' lists them", args[0])
				}
			}
			if r.c, r.s, err = a.resolve(); err != nil {
				return err
			}
			return a.report(cmd.Context(), &r)
		},
	}
	cmd.Flags().IntVar(&r.compare, "compare", 0, "show what differs from the run with this number")
	cmd.Flags().StringVarP(&r.out, "output", "o", "", "file to write; - for standard output")
	cmd.Flags().StringVar(&r.format, "format", "html", "html, trace or durations")
	return cmd
}

// report makes the document.
func (a *app) report(ctx context.Context, r *reportRequest) error {
	run, err := pickRun(r.s, r.run)
	if err != nil {
		return err
	}
	if r.model, err = r.read(run); err != nil {
		return err
	}
	if r.compare != 0 {
		earlier, err := r.s.Runs().Open(r.compare)
		if err != nil {
			return err
		}
		if r.other, err = r.read(earlier); err != nil {
			return err
		}
		report.Keys(r.model, r.other, func(step, before, after string) {
			if lines := r.s.ChangedParts(ctx, step, before, after); len(lines) > 0 {
				r.model.AddParts(step, lines)
			}
		})
	}
	var text bytes.Buffer
	if err := r.write(&text); err != nil {
		return err
	}
	if r.out == "-" {
		_, err := a.sys.terminal.stdout.Write(text.Bytes())
		return err
	}
	name, err := a.reportFile(r, run.ID)
	if err != nil {
		return err
	}
	// Others may read the tree, but not what their neighbour builds.
	if err := a.writeFile(name, text.Bytes(), 0o600); err != nil {
		return errkind.BadEnvironment(err)
	}
	fmt.Fprintln(a.sys.Stdout, name)
	return nil
}

// read reads a run.
func (r *reportRequest) read(run history.Run) (*report.Model, error) {
	results, err := r.s.Results()
	if err != nil {
		return nil, err
	}
	m, err := report.New(run, report.Sources{Files: func(step, key string) (files []report.File) {
		if e, ok := results(step, key); ok {
			for _, f := range e.Files {
				files = append(files, report.File{Name: f.Name, Size: f.Size})
			}
		}
		return files
	}})
	if err != nil {
		return nil, errkind.Environmentf("the events of run %d cannot be read: %w", run.ID, err)
	}
	return m, nil
}

func (r *reportRequest) write(w io.Writer) error {
	formats := map[string]func(io.Writer, *report.Model) error{"trace": report.Trace,
		"durations": report.Durations}
	switch format := formats[r.format]; {
	case r.format == "html":
		return report.HTML(w, r.model, r.other)
	case format == nil:
		return errkind.Usagef("--format is html, trace or durations, not %q", r.format)
	case r.other != nil:
		return errkind.Usagef("--compare is for pages: --format %s has one run", r.format)
	default:
		return format(w, r.model)
	}
}

// reportFile returns the absolute name of the file to write.
func (a *app) reportFile(r *reportRequest, id int) (string, error) {
	if r.out != "" {
		return a.path(r.out), nil
	}
	dir, err := builddir.In(r.c.Root, r.c.Arch).MakeReports()
	if err != nil {
		return "", errkind.BadEnvironment(err)
	}
	name := fmt.Sprintf("run-%d.html", id)
	switch r.format {
	case "trace":
		name = fmt.Sprintf("run-%d.json", id)
	case "durations":
		name = fmt.Sprintf("run-%d-durations.json", id)
	}
	return filepath.Join(dir, name), nil
}
