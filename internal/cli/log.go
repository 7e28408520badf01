// log: shows what a step printed when it was last built.

package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"buildsys/internal/build"
	"buildsys/internal/errkind"
	"buildsys/internal/history"
	"buildsys/internal/progress"
	"buildsys/internal/safetext"
	"buildsys/internal/workspace"
)

const logHelp = `Shows what a package printed the last time it was really built, and on standard
error when and where that was: by which run of this checkout or of another one,
or on another machine, from whose remote cache the result came. A name that
several have is written package/NAME, kit/NAME or variant/NAME. Without a name
it is about the package, kit or variant of the directory, elsewhere about the
step that failed in the last run.

With -f, if it is being built in this checkout, also by another process, the
lines follow as they come.`

func newLogCommand(a *app) *cobra.Command {
	var run int
	var follow bool
	cmd := &cobra.Command{
		Use:   "log [NAME]",
		Short: "Show what something printed when it was last built",
		Long:  logHelp,
		Args:  usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, names []string) error {
			c, s, err := a.resolve()
			if err != nil {
				return err
			}
			step, err := a.stepToLog(c, s, names, run)
			if err != nil {
				return err
			}
			if follow {
				done, err := s.FollowLog(cmd.Context(), step, run, a.sys.Stdout, a.tellFollowed(step))
				if done || err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
			}
			log, err := s.Log(cmd.Context(), step, run)
			if err != nil {
				return err
			}
			return a.showLog(log)
		},
	}
	cmd.Flags().IntVar(&run, "run", 0, "show that of the run with this number (see runs)")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "follow a build that goes on")
	return cmd
}

// stepToLog returns the ID of the step whose log is asked for.
func (a *app) stepToLog(c build.Config, s *build.Session, names []string, run int) (string, error) {
	here, ok := workspace.Here(c.Root, a.sys.Dir)
	switch {
	case len(names) > 0:
		return namedStep(s, names[0])
	case ok:
		return here.String(), nil
	}
	r, err := pickRun(s, run)
	if err != nil {
		return "", err
	}
	failed, err := build.FailedIn(r)
	if err != nil {
		return "", errkind.BadEnvironment(err)
	}
	if len(failed) == 0 {
		return "", errkind.Usagef("nothing failed in run %d: name a package", r.ID)
	}
	for _, other := range failed[1:] {
		fmt.Fprintf(a.sys.Stderr, "%s failed as well\n", safetext.Line(progress.Name(other)))
	}
	return failed[0], nil
}

// namedStep returns the ID of a step that is named. One with its kind may be of a package that the
// tree has no more, or "modules/NAME".
func namedStep(s *build.Session, name string) (string, error) {
	t := workspace.ParseTarget(name)
	if t.Kind != "" || strings.Contains(t.Name, "/") {
		if id := t.String(); path.Clean(id) != id || !filepath.IsLocal(id) { // a part of paths
			return "", errkind.Usagef("%q is not the name of a step", name)
		}
		return t.String(), nil
	}
	ws, err := s.Load()
	if err != nil {
		return "", err
	}
	if t, err = ws.Find(name); err != nil {
		return "", err
	}
	return t.String(), nil
}

// pickRun returns the run with a number, or with 0 the newest of this checkout.
func pickRun(s *build.Session, id int) (history.Run, error) {
	if id != 0 {
		return s.Runs().Open(id)
	}
	runs, err := s.RunsHere(false)
	if err == nil && len(runs) == 0 {
		err = errkind.Usagef("no runs are kept of this checkout; " +
			"'buildsys runs --all' lists those of others")
	}
	if err != nil {
		return history.Run{}, err
	}
	return runs[0], nil
}

func (a *app) tellFollowed(step string) func(history.Run, bool) {
	return func(r history.Run, begun bool) {
		text := "%s is being built by run %d\n"
		if !begun {
			text = "waiting until run %[2]d begins to build %[1]s\n"
		}
		fmt.Fprintf(a.sys.Stderr, text, safetext.Line(progress.Name(step)), r.ID)
	}
}

func (a *app) showLog(log build.StepLog) error {
	fmt.Fprintln(a.sys.Stderr, describeLog(log))
	n, err := io.Copy(a.sys.Stdout, log)
	if n == 0 && err == nil {
		fmt.Fprintln(a.sys.Stderr, "it printed nothing: the engine had the result in its own cache")
	}
	return errors.Join(err, log.Close())
}

// describeLog returns when, where and by whom a step was built.
func describeLog(l build.StepLog) string {
	verb := map[progress.Kind]string{progress.StepFailed: "failed", progress.StepDone: "built",
		progress.StepCancelled: "stopped", 0: "begun"}[l.End]
	text := progress.Name(l.Step) + ": " + verb
	if !l.Built.IsZero() {
		text += " on " + l.Built.Local().Format(time.DateTime)
	}
	if l.Took > 0 {
		text += " after " + progress.Took(l.Took)
	}
	switch {
	case l.Origin != "":
		text += " on another machine; the result is from " + l.Origin
	case l.Run == nil:
		text += " by a run that is not kept"
	default:
		text += fmt.Sprintf(" by run %d (%s)", l.Run.ID, commandLine(*l.Run))
		if !l.Ours {
			text += " in " + l.Run.Root
		}
		if l.End == 0 && l.Run.Lost() {
			text += ", which was killed"
		}
	}
	return safetext.Line(text)
}
