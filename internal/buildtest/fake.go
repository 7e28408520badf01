// Package buildtest supports tests: a builder without an engine and the contract that every builder
// meets, daemons and registries for one test, a sink that records, and trees from txtar.
package buildtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// RPMMagic begins every RPM file, and so every RPM of the Fake, which would be rejected otherwise.
const RPMMagic = "\xed\xab\xee\xdb"

// Fake builds without an engine. Its one output file, see OutputName, is RPMMagic plus the hash of
// everything the build was given, so two outputs are equal if and only if nothing a build could see
// has changed, comments apart. Files in the package's own context make it do other things: with
// FAIL it reports the lines of that file as its log and fails; with HANG it builds until it is
// cancelled; with LEAVE it refuses that as outputs. In varied surroundings it builds something else
// if there is a VARY, or if an image's kernel parameters have that word, and fails if there is a
// FAIL-WHEN-VARIED. It meets Contract, is safe for concurrent use, and its zero value is ready.
type Fake struct {
	// Hook, if not nil, runs in every build before anything is written. out is the directory for
	// outputs. An error fails the build.
	Hook func(ctx context.Context, s plan.Solve, out string) error

	mu      sync.Mutex
	running int
	most    int
	calls   []string
}

// ErrFail is the error of a build whose package context has a file named FAIL.
var ErrFail = errors.New("process did not complete successfully: exit code: 1")

// Build implements the executor's Builder.
func (f *Fake) Build(
	ctx context.Context, s plan.Solve, out string, report func(progress.Event),
) error {
	f.enter(Name(s))
	defer f.leave()
	report(progress.Event{Kind: progress.StepLog, Text: "building " + s.Name})
	if f.Hook != nil {
		if err := f.Hook(ctx, s, out); err != nil {
			return err
		}
	}
	if err := obey(ctx, s, report); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(s.Secrets)) {
		secret, err := s.Secrets[name].Read(1 << 20)
		if err != nil {
			return fmt.Errorf("secret %s: %w", name, err)
		}
		report(progress.Event{Kind: progress.StepLog, Text: secretLine(name, len(secret))})
	}
	for _, name := range slices.Sorted(maps.Keys(s.Sockets)) {
		line, err := talk(name, s.Sockets[name])
		if err != nil {
			return fmt.Errorf("socket %s: %w", name, err)
		}
		report(progress.Event{Kind: progress.StepLog, Text: line})
	}
	text, err := result(s)
	if err != nil {
		return err
	}
	files := map[string]string{OutputName(s): RPMMagic + text + "\n"}
	if s.Target == "kit" {
		files["repodata/repomd.xml"] = "<repomd/>\n"
	}
	return writeOutputs(out, files)
}

// talk says hello to what serves a socket, and returns what the tool would print.
func talk(name string, serve func(io.ReadWriteCloser)) (string, error) {
	ours, theirs := net.Pipe()
	go serve(theirs)
	defer ours.Close()
	if _, err := fmt.Fprintln(ours, "hello", name); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(ours)
	first, _, _ := strings.Cut(string(answer), "\n")
	return socketLine(name, len(answer), first), err
}

// obey does what the files FAIL, HANG and LEAVE in the package's own context ask for.
func obey(ctx context.Context, s plan.Solve, report func(progress.Event)) error {
	if text, leaves, err := read(s.Contexts["package"], "LEAVE"); err != nil {
		return err
	} else if leaves {
		for _, bad := range forbiddenOutputs {
			if bad.leave == text {
				return bad
			}
		}
	}
	if _, hangs, err := read(s.Contexts["package"], "HANG"); err != nil {
		return err
	} else if hangs {
		<-ctx.Done()
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", err, context.Cause(ctx))
	}
	text, fails, err := read(s.Contexts["package"], "FAIL")
	if err != nil || !fails {
		return err
	}
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		report(progress.Event{Kind: progress.StepLog, Text: line})
	}
	return ErrFail
}

// result returns the hash of what the build sees, changed by the file VARY in varied surroundings.
func result(s plan.Solve) (string, error) {
	sum, err := Hash(s)
	if err != nil || s.Args["VARY"] == "" {
		return sum, err
	}
	if _, fails, err := read(s.Contexts["package"], "FAIL-WHEN-VARIED"); err != nil {
		return "", err
	} else if fails {
		return "", ErrFail
	}
	_, varies, err := read(s.Contexts["package"], "VARY")
	if varies || strings.Contains(s.Args["KERNEL_PARAMETERS"], "VARY") {
		sum += " varied"
	}
	return sum, err
}

// writeOutputs writes files with the modes of outputs, whatever the umask is.
func writeOutputs(out string, files map[string]string) error {
	for name, text := range files {
		for dir := filepath.Dir(name); dir != "."; dir = filepath.Dir(dir) {
			if err := os.MkdirAll(filepath.Join(out, dir), 0o755); err != nil {
				return err
			}
			if err := os.Chmod(filepath.Join(out, dir), 0o755); err != nil {
				return err
			}
		}
		path := filepath.Join(out, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
		if err := os.Chmod(path, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fake) enter(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, name)
	f.running++
	f.most = max(f.most, f.running)
}

func (f *Fake) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running--
}

// Calls returns the names of all builds so far, in the order of their start.
func (f *Fake) Calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// Running returns how many builds are running.
func (f *Fake) Running() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running
}

// MaxRunning returns the largest number of builds that ran at once.
func (f *Fake) MaxRunning() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.most
}

// Name returns the name of the package or variant: the first word of the solve's name.
func Name(s plan.Solve) string {
	name, _, _ := strings.Cut(s.Name, " ")
	return name
}

// OutputName returns the name of the file that a Fake makes: an RPM, or for a variant an image. For
// a kit there is also repodata/repomd.xml.
func OutputName(s plan.Solve) string {
	switch s.Target {
	case "variant", "repack":
	case "kit":
		return "Packages/" + Name(s) + "/" + Name(s) + "." + s.Args["ARCH"] + ".rpm"
	case "modules":
		return "bundled-" + Name(s) + ".tar.gz"
	default:
		return Name(s) + ".rpm"
	}
	if name := s.Args["IMAGE_NAME"]; name != "" {
		return name + ".img"
	}
	return Name(s) + ".img"
}

// Hash returns the hash, in hex, of everything that a build of s can see: recipe, target, arguments
// and the contents of its contexts, but not their places on this machine. Lines that begin with "#"
// do not count, and neither do varied surroundings: as in real builds, a comment makes the input
// different and the output the same.
func Hash(s plan.Solve) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "dockerfile %q\ntarget %q\n", withoutComments(s.Dockerfile), s.Target)
	for _, k := range slices.Sorted(maps.Keys(s.Args)) {
		if k == "VARY" {
			continue
		}
		fmt.Fprintf(h, "arg %q %q\n", k, s.Args[k])
	}
	for _, k := range slices.Sorted(maps.Keys(s.Contexts)) {
		fmt.Fprintf(h, "context %q\n", k)
		if err := hashContext(h, s.Contexts[k]); err != nil {
			return "", fmt.Errorf("context %s: %w", k, err)
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

func hashContext(h hash.Hash, c plan.Context) error {
	v, err := look(c)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(v)) {
		fmt.Fprintf(h, "%q %v %q\n", name, v[name].mode, v[name].data)
	}
	return nil
}

func withoutComments(text []byte) []byte {
	var kept []byte
	for line := range bytes.Lines(text) {
		if !bytes.HasPrefix(line, []byte("#")) {
			kept = append(kept, line...)
		}
	}
	return kept
}

func contents(f plan.File) ([]byte, error) {
	if f.Host == "" {
		return f.Data, nil
	}
	return os.ReadFile(f.Host)
}

// read returns the contents of one file of a context, wherever it comes from.
func read(c plan.Context, name string) (text string, found bool, err error) {
	for _, f := range c.Files {
		if f.Name == name {
			data, err := contents(f)
			return string(data), true, err
		}
	}
	for _, dir := range c.Dirs {
		if dir.Name != "." && dir.Name != "" && dir.Name != "/" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir.Host, name))
		if err == nil {
			return string(data), true, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", false, err
		}
	}
	return "", false, nil
}
