// What the comparison needs from the machine: programs, engines, the base image. Peers whose
// programs are missing are left out, with the reason.

package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"buildsys/internal/buildtest"
)

// Options is what to compare, and with which programs.
type Options struct {
	Buildsys string // the program
	// Self is the program that calls OneSolve for the argument -one-solve, and MakeSized for
	// -make-sized.
	Self    string
	Tools   string // directory with the peers' programs buildx, buildctl and buildkitd
	Work    string // directory for trees and caches; emptied at the start
	Busybox string // a static busybox
	Rounds  int    // repetitions of every case
	Jobs    int    // packages that buildsys, make and ninja build at once
	// Cases and Peers, if not nil, select cases by title and peers by name. Sizes are timed only if
	// all cases are.
	Cases, Peers *regexp.Regexp
	Quick        bool // leave out the slow cases and the large sizes
	Log          io.Writer
	// BakeOnEngine makes bake run on the Docker engine too. Its many solves at once, which all end
	// together if one fails, have crashed Docker 20.10 with everything else on it: only for an
	// engine that nobody else needs.
	BakeOnEngine bool

	BuildKitVersion, BuildxVersion string // of the programs in Tools; empty if there are none
}

// machine has everything that the peers' command lines consist of.
type machine struct {
	Options
	base     base
	docker   string // a docker command that builds without plugins
	buildx   string
	buildctl string
	cacheDir string // of buildsys
	bakes    []peerEngine
	solves   []peerEngine
	missing  []string // the peers that are left out, and why
}

// peerEngine is a BuildKit for bake and the one solve.
type peerEngine struct {
	name    string // of the column
	address string // of buildkitd; empty is the Docker engine
	builder string // buildx's name for it
}

var dockerEngine = peerEngine{name: "Docker engine", builder: "default"}

func (e peerEngine) buildxEnv(m machine) []string {
	return []string{
		"BUILDX_BUILDER=" + e.builder, "BUILDX_CONFIG=" + filepath.Join(m.Work, "buildx"),
		"BUILDX_NO_DEFAULT_ATTESTATIONS=1",
		"BUILDX_METADATA_PROVENANCE=disabled", "BUILDX_BAKE_ENTITLEMENTS_FS=0",
	}
}

// buildsysEnv returns the environment that makes buildsys build on the engine, with a separate
// cache for each engine.
func (m machine) buildsysEnv(e peerEngine) []string {
	return []string{
		"BUILDSYS_CACHE_DIR=" + filepath.Join(m.cacheDir, dirName(e.name)),
		"BUILDSYS_SDK_IMAGE=" + m.base.image, "BUILDSYS_ARCH=x86_64",
		"BUILDSYS_VERSION_BUILD=00000000", "BUILDSYS_VARIANT=", "BUILDSYS_BUILDKIT_HOST=" + e.address,
	}
}

// importBase imports the base image into the engine through buildsys.
func (m machine) importBase(ctx context.Context, e peerEngine) error {
	in := command{dir: filepath.Join(m.Work, "empty"), env: m.buildsysEnv(e)}
	in.args = []string{m.Buildsys, "sdk", "check"}
	// A second import would make another image with the same name.
	if _, err := in.run(ctx, false); err == nil {
		return nil
	}
	in.args = []string{m.Buildsys, "sdk", "import", filepath.Join(m.Work, "base.tar")}
	_, err := in.run(ctx, false)
	return err
}

// prepare gets the machine ready. stop ends what prepare started.
func prepare(ctx context.Context, o Options) (m machine, stop func(), err error) {
	m = machine{Options: o, cacheDir: filepath.Join(o.Work, "cache")}
	stop = func() {}
	if err := os.RemoveAll(o.Work); err != nil {
		return m, stop, err
	}
	if err := os.MkdirAll(o.Work, 0o755); err != nil {
		return m, stop, err
	}
	if m.base, err = makeBase(o.Busybox, o.Work); err != nil {
		return m, stop, err
	}
	rootfs := filepath.Join(o.Work, "base.tar")
	if err := os.WriteFile(rootfs, m.base.tar, 0o644); err != nil {
		return m, stop, err
	}
	if err := write(o.Work, map[string]string{"empty/Release.toml": "version = \"1.0.0\"\n",
		"empty/packages/.keep": ""}); err != nil {
		return m, stop, err
	}
	if err := m.importBase(ctx, dockerEngine); err != nil {
		return m, stop, err
	}
	m.findDocker(ctx)
	if stop, err = m.findBuildKit(ctx); err != nil {
		return m, stop, err
	}
	for _, e := range m.solves[1:] {
		if err := m.importBase(ctx, e); err != nil {
			return m, stop, err
		}
	}
	return m, stop, nil
}

// findDocker looks for a docker command that can build: from Docker 23 on it needs a plugin that
// may be missing.
func (m *machine) findDocker(ctx context.Context) {
	dir := filepath.Join(m.Work, "try")
	if err := write(dir, map[string]string{"Dockerfile": "FROM " + m.base.image + "\n"}); err != nil {
		return
	}
	for _, place := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/bin") {
		try := command{dir: dir, args: []string{filepath.Join(place, "docker"), "build", "."},
			env: []string{"DOCKER_BUILDKIT=1"}}
		if _, err := try.run(ctx, false); err == nil {
			m.docker = try.args[0]
			return
		}
	}
	m.missing = append(m.missing, "Bottlerocket's flow: no docker command can build here")
}

// findBuildKit starts a separate buildkitd and makes it and the Docker engine known to buildx, if
// the programs exist.
func (m *machine) findBuildKit(ctx context.Context) (stop func(), err error) {
	own := peerEngine{name: "buildkitd", builder: "bench"}
	m.solves = []peerEngine{dockerEngine}
	stop = func() {}
	m.buildx, m.buildctl = filepath.Join(m.Tools, "buildx"), filepath.Join(m.Tools, "buildctl")
	running := false
	if _, err := os.Stat(filepath.Join(m.Tools, "buildkitd")); err != nil {
		m.missing = append(m.missing, "buildkitd: it was not compiled")
	} else {
		own.address = "unix://" + filepath.Join(m.Work, "buildkitd.sock")
		if stop, err = m.startBuildkitd(ctx, own.address); err != nil {
			return stop, err
		}
		running = true
		m.solves = append(m.solves, own)
	}
	if _, err := os.Stat(m.buildx); err != nil {
		m.missing = append(m.missing, "bake: buildx was not compiled")
		return stop, nil
	}
	if m.BakeOnEngine {
		m.bakes = append(m.bakes, dockerEngine)
	} else {
		m.missing = append(m.missing,
			"bake on the Docker engine, because its 60 solves at once crash Docker 20.10; "+
				"--bake-on-engine runs it")
	}
	if running {
		create := command{dir: m.Work, env: own.buildxEnv(*m),
			args: []string{m.buildx, "create", "--name", own.builder, "--driver", "remote", own.address}}
		if _, err := create.run(ctx, false); err != nil {
			return stop, err
		}
		m.bakes = append(m.bakes, own)
	}
	return stop, nil
}

// startBuildkitd starts a daemon that keeps everything below the working directory, and waits until
// it answers.
func (m *machine) startBuildkitd(ctx context.Context, address string) (stop func(), err error) {
	log, err := os.Create(filepath.Join(m.Work, "buildkitd.log"))
	if err != nil {
		return func() {}, err
	}
	daemon := exec.Command(filepath.Join(m.Tools, "buildkitd"), "--root",
		filepath.Join(m.Work, "buildkitd"), "--addr", address,
		"--oci-worker-net=host", "--containerd-worker=false", "--otel-socket-path", filepath.Join(m.Work,
			"otel.sock"))
	daemon.Stdout, daemon.Stderr = log, log
	if err := daemon.Start(); err != nil {
		return func() {}, err
	}
	ended := make(chan struct{})
	go func() {
		_ = daemon.Wait()
		close(ended)
	}()
	stop = func() {
		_ = daemon.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = daemon.Process.Kill()
			<-ended
		}
		_ = log.Close()
	}
	ask := command{dir: m.Work, args: []string{m.buildctl, "--addr", address, "debug", "workers"}}
	for begin := time.Now(); time.Since(begin) < 30*time.Second; {
		if _, err := ask.run(ctx, false); err == nil {
			return stop, nil
		}
		select {
		case <-ended:
			return func() {}, fmt.Errorf("buildkitd ended; see %s", log.Name())
		case <-time.After(200 * time.Millisecond):
		}
	}
	stop()
	return func() {}, fmt.Errorf("buildkitd does not answer; see %s", log.Name())
}

// peers returns the columns of the comparison.
func (m machine) peers() []peer {
	var all []peer
	for _, e := range m.solves {
		all = append(all, buildsysPeer(m, e))
	}
	if len(m.solves) > 0 {
		all = append(all, watchedPeer(m, m.solves[0]))
	}
	if m.docker != "" {
		all = append(all, bottlerocketPeer(m))
	}
	for _, e := range m.bakes {
		all = append(all, bakePeer(m, e))
	}
	for _, e := range m.solves {
		all = append(all, solvePeer(m, e))
	}
	if _, err := exec.LookPath("ninja"); err == nil {
		all = append(all, ninjaPeer(m))
	}
	return slices.DeleteFunc(all, func(p peer) bool {
		return m.Peers != nil && !m.Peers.MatchString(p.name)
	})
}

// facts describes the machine in one line.
func (m machine) facts(ctx context.Context) string {
	output := func(args ...string) string {
		out, err := exec.CommandContext(ctx, args[0], args[1:]...).Output()
		if err != nil {
			return "unknown"
		}
		return strings.TrimSpace(string(out))
	}
	text := fmt.Sprintf("%s, load %s at the start", buildtest.Hardware(), buildtest.LoadAverage())
	if m.docker != "" {
		text += fmt.Sprintf("; Docker engine %s (%s), client %s",
			output(m.docker, "version", "--format", "{{.Server.Version}}"),
			output(m.docker, "info", "--format", "{{.Driver}}"),
			output(m.docker, "version", "--format", "{{.Client.Version}}"))
	}
	return text + "; ninja " + output("ninja", "--version")
}
