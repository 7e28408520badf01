// go: runs the go command of the SDK on first-party code, as the ancestor's docker-go.

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"buildsys"
	"buildsys/internal/errkind"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/workspace"
)

func newGoCommand(sys *System, s *settings) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "go [--module-path DIR] ARGUMENT...",
		Short: "Run the go command of the SDK on a Go module of the tree",
		Long: `Runs "go ARGUMENT..." inside the SDK, on a Go module of the tree: unit tests of first-party code with the compiler and
the libraries that it is built with.

  buildsys go --module-path sources/skiff test ./...

The command sees a copy of the module and nothing else, and has no network: what the module's go.sum names is
fetched first, from GOPROXY, and checked. Files that it writes are gone when it ends. Its output goes to standard
output as it comes, and its exit status is the program's, so 1 is a failed test and 2 a command line that go refuses.

` + exitStatusHelp,
		Args: usage(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			c, err := s.resolve(sys)
			if err != nil {
				return err
			}
			if dir == "" {
				dir = nearestModule(sys.Dir, c.root)
			}
			return goRun(cmd.Context(), sys, c, dir, argv)
		},
	}
	cmd.Flags().StringVar(&dir, "module-path", "", "directory of the Go module (default: found upwards from the working directory)")
	cmd.Flags().SetInterspersed(false) // what follows the first argument is the go command's
	return cmd
}

// nearestModule is the first directory from dir up to root that has a go.mod, or else dir.
func nearestModule(dir, root string) string {
	for at := dir; strings.HasPrefix(at, root); at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at
		}
		if at == root {
			break
		}
	}
	return dir
}

// goRun runs the go command on the module in dir, and returns its exit status as a commandError.
func goRun(ctx context.Context, sys *System, c config, dir string, argv []string) error {
	solve, err := goSolve(ctx, sys, c, dir, argv)
	if err != nil {
		return err
	}
	conn := &connection{sys: sys, c: c}
	defer conn.Close()
	if err := conn.dial(ctx); err != nil {
		return err
	}
	if _, err := conn.sdkDigest(ctx); err != nil {
		return err
	}
	out, err := os.MkdirTemp("", "buildsys-go-")
	if err != nil {
		return errkind.BadEnvironment(err)
	}
	defer os.RemoveAll(out)
	err = conn.Build(ctx, solve, out, func(e progress.Event) {
		switch e.Kind {
		case progress.StepLog:
			fmt.Fprintln(sys.Stdout, progress.Clean(e.Text))
		case progress.Warning:
			fmt.Fprintln(sys.Stderr, "warning:", progress.Clean(e.Text))
		}
	})
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(out, plan.GoStatus))
	if err != nil {
		return fmt.Errorf("go left no exit status: %w", err)
	}
	status, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || status < 0 || status > 255 {
		return fmt.Errorf("go left %q as its exit status", text)
	}
	if status != 0 {
		return commandError{status}
	}
	return nil
}

// goSolve gathers what the go command will see: the module, and the modules that it needs.
func goSolve(ctx context.Context, sys *System, c config, dir string, argv []string) (plan.Solve, error) {
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(sys.Dir, dir)
	}
	rel, err := filepath.Rel(c.root, dir)
	if err != nil || !filepath.IsLocal(rel) {
		return plan.Solve{}, errkind.Usagef("module path %s is not inside the tree %s", dir, c.root)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		return plan.Solve{}, errkind.Usagef("%s has no go.mod: name the directory of a Go module with --module-path", dir)
	}
	ws, err := workspace.Load(c.root, c.strictness)
	if err != nil {
		return plan.Solve{}, err
	}
	recipe, err := ws.Recipe(buildsys.Recipe)
	if err != nil {
		return plan.Solve{}, err
	}
	name := path.Clean(filepath.ToSlash(rel))
	files, err := ws.ModuleFiles(name)
	if err != nil {
		return plan.Solve{}, err
	}
	sums, err := os.ReadFile(filepath.Join(dir, "go.sum"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return plan.Solve{}, errkind.BadEnvironment(err)
	}
	log := logrus.New()
	log.SetOutput(sys.Stderr)
	proxy, err := c.store(progress.NewText(log, false)).FetchSums(ctx, name, sums)
	if err != nil {
		return plan.Solve{}, err
	}
	return plan.GoRun(recipe, c.sdkImage, c.arch, name, files, proxy, argv), nil
}
