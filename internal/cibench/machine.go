// A machine that has nothing: an engine with empty storage, an empty cache directory, a clone in
// its own directory.

package cibench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"buildsys/internal/buildtest"
)

// machine is one such machine. remove deletes everything it has.
type machine struct {
	dir    string
	tree   string // the clone, changed and committed for the row
	socket string
	scene  *scene
	engine *exec.Cmd
	ended  chan struct{}
}

// cgroup is the control group of the containers of every engine, and of this process if it has a
// weight.
const cgroup = "buildsys-bench-ci"

// weigh moves this process, and with it everything it starts, into a control group of the given
// weight: on a busy machine, what is measured then waits little for other processes.
func weigh(weight int) error {
	group := filepath.Join("/sys/fs/cgroup/cpu", cgroup)
	if err := os.MkdirAll(group, 0o755); err != nil {
		return fmt.Errorf("a weight needs control groups v1: %w", err)
	}
	if err := os.WriteFile(filepath.Join(group, "cpu.shares"), []byte(strconv.Itoa(weight)),
		0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0o644)
}

// newMachine starts a machine with the tree for the row.
func (s *scene) newMachine(ctx context.Context, row Row) (*machine, error) {
	s.counter++
	dir := filepath.Join(s.dir, fmt.Sprintf("m%d", s.counter))
	m := &machine{dir: dir, tree: filepath.Join(dir, fmt.Sprintf("checkout-%d", s.counter)),
		socket: filepath.Join(dir, "d.sock"), scene: s}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := m.clone(ctx, row); err != nil {
		return nil, err
	}
	if err := m.startEngine(ctx); err != nil {
		m.remove()
		return nil, err
	}
	return m, nil
}

// clone makes the tree.
func (m *machine) clone(ctx context.Context, row Row) error {
	if _, err := run(ctx, m.dir, nil, "git", "clone", "--quiet", "--no-local", "--depth", "1",
		"file://"+m.scene.Checkout, m.tree); err != nil {
		return err
	}
	var c Change
	switch row {
	case Halfway:
		c = m.scene.Middle
	case FirstHand:
		c = m.scene.FirstHand
	default:
		return nil
	}
	path := filepath.Join(m.tree, filepath.FromSlash(c.File))
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Contains(text, []byte(c.Old)) {
		return fmt.Errorf("%s has no %q", c.File, c.Old)
	}
	if err := os.WriteFile(path, bytes.Replace(text, []byte(c.Old), []byte(c.New), 1),
		0o644); err != nil {
		return err
	}
	_, err = run(ctx, m.tree, nil, "git", "-c", "user.name=bench", "-c",
		"user.email=bench@buildsys.invalid", "commit", "--quiet", "--all", "--message", "a change")
	return err
}

// startEngine starts a dockerd whose containers are in the control group of this process.
func (m *machine) startEngine(ctx context.Context) error {
	none := filepath.Join(m.dir, "none.json")
	if err := os.WriteFile(none, []byte("{}"), 0o644); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(m.dir, "dockerd.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	m.engine = exec.Command("dockerd", "--host", "unix://"+m.socket, "--data-root",
		filepath.Join(m.dir, "root"),
		"--exec-root", filepath.Join(m.dir, "exec"), "--pidfile", filepath.Join(m.dir, "pid"),
		"--bridge=none", "--iptables=false",
		"--config-file", none, "--cgroup-parent", "/"+cgroup)
	m.engine.Stdout, m.engine.Stderr = log, log
	// Docker 20.10 takes -1 for "drop everything" and has no other way to set no limit.
	m.engine.Env = append(os.Environ(), "BUILDKIT_STEP_LOG_MAX_SIZE=1073741824",
		"BUILDKIT_STEP_LOG_MAX_SPEED=1073741824")
	if err := m.engine.Start(); err != nil {
		return err
	}
	m.ended = make(chan struct{})
	go func() {
		_ = m.engine.Wait()
		close(m.ended)
	}()
	err = await(ctx, time.Minute, func() error {
		_, err := run(ctx, m.dir, m.env(), m.scene.Docker, "version")
		return err
	})
	if err != nil {
		return fmt.Errorf("the engine does not answer: %w\n%s", err,
			tail(filepath.Join(m.dir, "dockerd.log")))
	}
	return nil
}

// env returns what commands on this machine have in their environment besides that of this process.
func (m *machine) env() []string {
	return []string{
		"DOCKER_HOST=unix://" + m.socket, "DOCKER_BUILDKIT=1", "BUILDSYS_CACHE_DIR=" +
			filepath.Join(m.dir, "cache"),
		"BUILDSYS_LOOKASIDE_CACHE=" + m.scene.Lookaside, "BUILDSYS_ARCH=" + m.scene.Arch,
		"BUILDSYS_VARIANT=" + m.scene.Variant,
		"BUILDSYS_BUILDKIT_HOST=", "BUILDSYS_SDK_IMAGE=", "BUILDSYS_JOBS=", "BUILDSYS_CACHE_FROM=",
		"BUILDSYS_CACHE_TO=",
	}
}

// remove ends the engine and removes everything of the machine.
func (m *machine) remove() {
	if m.ended != nil {
		_ = m.engine.Process.Signal(syscall.SIGTERM)
		select {
		case <-m.ended:
		case <-time.After(time.Minute):
			_ = m.engine.Process.Kill()
			<-m.ended
		}
	}
	if err := buildtest.RemoveBusy(m.dir); err != nil {
		m.scene.logf("left behind: %v", err)
	}
}

// run runs a command to its end and returns its output. If the command fails, the error has the end
// of the output.
func run(ctx context.Context, dir string, env []string, name string, args ...string) (string,
	error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		end := out[max(0, len(out)-2000):]
		return string(out), fmt.Errorf("%s %s (in %s): %w; the end of its output:\n%s",
			filepath.Base(name), strings.Join(args, " "), dir, err, end)
	}
	return string(out), nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return strings.TrimSpace(line)
}

func tail(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-2000):])
}

// size adds up the files below directories; the target of a link counts.
func size(dirs ...string) (total int64, err error) {
	for _, dir := range dirs {
		if dir, err = filepath.EvalSymlinks(dir); err != nil {
			return 0, err
		}
		err = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			info, err := d.Info()
			if err == nil {
				total += info.Size()
			}
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	if total == 0 {
		return 0, errors.New("there are no outputs")
	}
	return total, nil
}
