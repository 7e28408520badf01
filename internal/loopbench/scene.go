// Commands and edits in the clone.

package loopbench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// edit is a change of one file of the tree: its only place with the text old gets new. "NUMBER" in
// new is another number each time.
type edit struct{ file, old, new string }

// none is no change.
var none = edit{}

// change undoes all edits, and makes one.
func (s *scene) change(ctx context.Context, e edit) error {
	if err := s.run(ctx, s.tree, "git", "checkout", "--quiet", "--", "."); err != nil {
		return err
	}
	if e == none {
		return nil
	}
	path := filepath.Join(s.tree, filepath.FromSlash(e.file))
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if n := bytes.Count(text, []byte(e.old)); n != 1 {
		return fmt.Errorf("%s has %q %d times, not once", e.file, e.old, n)
	}
	s.edits++
	number := fmt.Sprintf("%d%d", time.Now().UnixNano(), s.edits)
	changed := strings.ReplaceAll(e.new, "NUMBER", number)
	return os.WriteFile(path, bytes.Replace(text, []byte(e.old), []byte(changed), 1), 0o644)
}

// again makes the package another one without any other effect: a comment in its spec.
func (s *scene) again(pkg string) error {
	s.edits++
	path := filepath.Join(s.tree, "packages", pkg, pkg+".spec")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	comment := fmt.Sprintf("# %d %d\n", time.Now().UnixNano(), s.edits)
	return os.WriteFile(path, append([]byte(comment), text...), 0o644)
}

func (s *scene) run(ctx context.Context, dir, name string, args ...string) error {
	return s.runWith(ctx, dir, nil, name, args...)
}

// runWith runs a command to its end. If it fails, the error has the end of its output.
func (s *scene) runWith(ctx context.Context, dir string, env []string, name string,
	args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.WaitDelay = 10 * time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s (in %s): %w; the end of its output:\n%s", filepath.Base(name),
			strings.Join(args, " "), dir, err, out[max(0, len(out)-2000):])
	}
	return nil
}
