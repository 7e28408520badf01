// Package buildtest is support for tests only: a builder that needs no engine, a sink that records, and project trees from txtar.
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
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// RPMMagic begins every RPM file, and so every RPM of the Fake, which would be refused otherwise.
const RPMMagic = "\xed\xab\xee\xdb"

// Fake builds without an engine: its one output file is RPMMagic plus the hash of everything the build was given, so two
// outputs are equal when, and only when, nothing a build could see has changed. It fails when the package's own context
// holds a file named FAIL, whose lines it reports as its log, and in
// varied surroundings it builds something else or fails when there is a file named VARY or FAIL-WHEN-VARIED; an image is
// something else when its kernel parameters have VARY. It is safe for concurrent use; the zero value is ready.
type Fake struct {
	// Hook, when set, runs in every build before anything is written. out is the directory for outputs.
	// What it returns fails the build.
	Hook func(ctx context.Context, s plan.Solve, out string) error

	mu      sync.Mutex
	running int
	most    int
	calls   []string
}

// ErrFail is the error of a build whose package context holds a file named FAIL.
var ErrFail = errors.New("process did not complete successfully: exit code: 1")

// Build implements executor.Builder.
func (f *Fake) Build(ctx context.Context, s plan.Solve, out string, report func(progress.Event)) error {
	f.enter(Name(s))
	defer f.leave()
	report(progress.Event{Kind: progress.StepLog, Text: "building " + s.Name})
	if f.Hook != nil {
		if err := f.Hook(ctx, s, out); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if text, found, err := read(s.Contexts["package"], "FAIL"); err != nil {
		return err
	} else if found {
		for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
			report(progress.Event{Kind: progress.StepLog, Text: line})
		}
		return ErrFail
	}
	sum, err := Hash(s)
	if err != nil {
		return err
	}
	if _, varies, err := read(s.Contexts["package"], "VARY"); err != nil {
		return err
	} else if varies = varies || strings.Contains(s.Args["KERNEL_PARAMETERS"], "VARY"); varies && s.Args["VARY"] != "" {
		sum += " varied"
	}
	if _, fails, err := read(s.Contexts["package"], "FAIL-WHEN-VARIED"); err != nil {
		return err
	} else if fails && s.Args["VARY"] != "" {
		return ErrFail
	}
	name := OutputName(s)
	if s.Target == "kit" {
		if err := errors.Join(os.MkdirAll(filepath.Join(out, filepath.Dir(name)), 0o755), os.Mkdir(filepath.Join(out, "repodata"), 0o755),
			os.WriteFile(filepath.Join(out, "repodata/repomd.xml"), []byte("<repomd/>\n"), 0o644)); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(out, name), []byte(RPMMagic+sum+"\n"), 0o644)
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

// Calls returns the names of all builds so far, in the order in which they were started.
func (f *Fake) Calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// Running returns how many builds are going on.
func (f *Fake) Running() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running
}

// MaxRunning returns how many builds were going on at once at most.
func (f *Fake) MaxRunning() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.most
}

// Name returns the package's or variant's name: the first word of the solve's name.
func Name(s plan.Solve) string {
	name, _, _ := strings.Cut(s.Name, " ")
	return name
}

// OutputName returns the name of the file that a Fake makes: an RPM, or for a variant an image. Beside that of a kit there is
// repodata/repomd.xml.
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

// Hash returns the hash, in hex, of all that a build of s can see: recipe, target, arguments and the contents of its
// contexts, but not the places on this machine they come from. Lines that begin with "#" do not count: as in life, a
// comment makes an input different and the output the same, and so do varied surroundings.
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
	for _, f := range c.Files {
		data, err := contents(f)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "file %q %o %q\n", f.Name, f.Mode, withoutComments(data))
	}
	for _, dir := range slices.Concat(c.Dirs, c.Top, c.Derived) {
		fmt.Fprintf(h, "dir %q\n", dir.Name)
		if err := hashDir(h, dir.Host); err != nil {
			return err
		}
	}
	return nil
}

func hashDir(h io.Writer, dir string) error {
	return fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, path))
		fmt.Fprintf(h, "file %q %q\n", path, data)
		return err
	})
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

// read returns the contents of one file of a context, wherever the context has it from.
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
