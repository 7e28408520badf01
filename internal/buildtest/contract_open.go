// Contract: programs in what a build has left.

package buildtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"buildsys/internal/engine"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// opened runs the tool's commands in what a build leaves.
func (c contract) opened(t *testing.T, s plan.Solve, p engine.Process, words ...string) (
	status int, output string, err error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p.Args, p.Stdout, p.Stderr = append([]string{"/tool"}, words...), &stdout, &stderr
	if p.Stdin == nil {
		p.Stdin = strings.NewReader("")
	}
	status, err = c.b.(engine.Opener).Open(t.Context(), s, p, func(progress.Event) {})
	return status, strings.ReplaceAll(stdout.String(), "\r\n", "\n") + stderr.String(), err
}

func (c contract) open(t *testing.T) {
	if _, ok := c.b.(engine.Opener); !ok {
		t.Skip("it opens no containers")
	}
	s := c.request(t)
	s.Target = "build"
	started := 0
	count := func() { started++ }
	status, output, err := c.opened(t, s, engine.Process{Started: count,
		Stdin: strings.NewReader("typed\n")}, "cat", "/output/"+OutputName(s), ",", "cat",
		"/host/package/rpms/musl.rpm", ",", "repeat", ",", "dial", "127.0.0.1:2375", ",", "exit", "7")
	for _, want := range []string{"bash.spec", "libc\n", "typed\n", "no way to 127.0.0.1:2375\n",
		"interface lo\n"} {
		if !strings.Contains(output, want) {
			t.Errorf("the output %q has no %q", output, want)
		}
	}
	if status != 7 || err != nil || started != 1 {
		t.Errorf("status %d, %v, started %d times", status, err, started)
	}

	sizes := make(chan engine.Size, 1)
	sizes <- engine.Size{Rows: 20, Columns: 77}
	status, output, err = c.opened(t, s, engine.Process{Terminal: true, Sizes: sizes,
		Env: []string{"PACKAGE=of the caller"}}, "terminal", "77", ",", "write", "/host/new", "x")
	if status != 0 || err != nil || output != "terminal true\n" {
		t.Errorf("on a terminal: status %d, output %q, %v", status, output, err)
	}
	status, output, err = c.opened(t, s, engine.Process{}, "size", "/host/new", "/host/package/new",
		",", "write", "/host/package/new", "x")
	if want := "no /host/new\nno /host/package/new\n"; status == 0 || err != nil ||
		!strings.HasPrefix(output, want) {
		t.Errorf("a second container: status %d, output %q, %v", status, output, err)
	}

	failing := c.with(t, "FAIL", "it fails\n")
	failing.Target = "build"
	status, _, err = c.opened(t, failing, engine.Process{}, "exit", "3")
	if err == nil || status != 0 || transient(err) {
		t.Errorf("a build that fails: status %d, %v", status, err)
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	_, err = c.b.(engine.Opener).Open(ctx, s, engine.Process{Args: []string{"/tool", "hang"},
		Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard,
		Started: func() { cancel(why) }}, nil)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, why) {
		t.Errorf("cancelled: %v", err)
	}
}
