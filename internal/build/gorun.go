// gorun: runs the go command of the SDK on first-party code.

package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"buildsys"
	"buildsys/internal/confined"
	"buildsys/internal/errkind"
	"buildsys/internal/gomod"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
	"buildsys/internal/sdk"
	"buildsys/internal/workspace"
)

// maxGoStatus is more than an exit status has, with a line end.
const maxGoStatus = 16

// RunGo runs the go command of the SDK with arguments argv on the Go module in dir, a directory of
// the tree, and returns its exit status. report gets its output and warnings.
func (s *Session) RunGo(ctx context.Context, dir string, argv []string,
	report func(progress.Event)) (status int, err error) {
	solve, err := s.goSolve(ctx, dir, argv)
	if err != nil {
		return 0, err
	}
	out, err := os.MkdirTemp("", "buildsys-go-")
	if err != nil {
		return 0, errkind.BadEnvironment(err)
	}
	defer os.RemoveAll(out)
	err = s.withSDK(ctx, nil, func(e *engineLink, images sdk.Images) error {
		if _, err := images.Find(ctx, e.eng); err != nil {
			return err
		}
		return e.Build(ctx, solve, out, report)
	})
	if err != nil {
		return 0, err
	}
	return goStatus(out)
}

// goStatus returns the exit status that a build left in out.
func goStatus(out string) (status int, err error) {
	text, err := confined.Path{Root: out, Name: plan.GoStatus}.Read(maxGoStatus)
	if err != nil {
		return 0, fmt.Errorf("the go command left no exit status: %w", err)
	}
	status, err = strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || status < 0 || status > 255 {
		return 0, fmt.Errorf("the go command left the invalid exit status %q", text)
	}
	return status, nil
}

// goSolve returns the build for RunGo, with the module and the modules that it needs.
func (s *Session) goSolve(ctx context.Context, dir string, argv []string) (plan.Solve, error) {
	rel, err := filepath.Rel(s.c.Root, dir)
	if err != nil || !filepath.IsLocal(rel) {
		return plan.Solve{}, errkind.Usagef("module path %s is not inside the tree %s", dir, s.c.Root)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		return plan.Solve{}, errkind.Usagef("%s has no go.mod: "+
			"name the directory of a Go module with --module-path", dir)
	}
	ws, err := workspace.Load(s.c.Root, s.c.Strictness)
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
	sums, err := confined.Path{Root: s.c.Root, Name: filepath.Join(rel, "go.sum")}.Read(gomod.MaxText)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return plan.Solve{}, errkind.BadEnvironment(err)
	}
	proxy, err := s.sources(s.out).FetchSums(ctx, name, sums)
	if err != nil {
		return plan.Solve{}, err
	}
	return plan.GoRun(recipe, s.c.SDK.Image, s.c.Arch, name, files, proxy, argv), nil
}
