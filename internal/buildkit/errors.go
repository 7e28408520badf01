// Errors of a build, sorted into classes that decide about retries, exit codes and advice.

package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"buildsys/internal/errkind"

	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc/codes"
)

// Class is the sort of a failed build.
type Class string

// The classes, in the order in which a failure is tested for them.
const (
	// Our own context ended.
	Cancelled Class = "cancelled"
	// A context holds what a build may not see, or changed meanwhile.
	BadInput Class = "bad input"
	// The recipe wants something that is neither the SDK nor a context.
	Undeclared Class = "undeclared input"
	// The registry of the SDK served other bytes than its digest says.
	OtherImage Class = "other image"
	// The SDK image is not on the engine.
	MissingSDK Class = "missing SDK"
	// The step was killed (exit code 137).
	OutOfMemory Class = "out of memory"
	// No space on the engine's disk; ExitCode is not 0 when the step itself met it.
	DiskFull Class = "disk full"
	// The package is broken; never worth a retry.
	StepFailed Class = "step failed"

	// Transient: nothing was heard of the engine for too long.
	EngineSilent Class = "engine silent"
	// Transient: the engine ended, or the connection to it broke.
	EngineLost Class = "engine lost"
	// Transient: the engine gave up the connection that inputs and outputs go through.
	SessionLost Class = "session lost"
	// Transient: the engine's own bookkeeping was in the way of this build.
	EngineCache Class = "engine cache"
	// Transient: the registry that the SDK comes from failed or asked for patience.
	RegistryBusy Class = "registry busy"

	Unknown Class = "unknown"
)

// attempts is how often a build is tried in all, by the class of its failure. An engine that dies
// twice in the same step dies of it; what its cache does not know the second time is not going to
// appear.
var attempts = map[Class]int{EngineSilent: 3, EngineLost: 2, SessionLost: 3, EngineCache: 2,
	RegistryBusy: 3}

// SolveError is a failed build.
type SolveError struct {
	Name     string // plan.Solve.Name
	Step     string // Dockerfile instruction that failed, shortened; empty when none did
	Location string // where that instruction is, "Dockerfile:7"; empty when unknown
	ExitCode int    // of the step's process; 0 when no process failed
	SDK      string // image the build starts from
	// directory on this machine whose disk is full; empty when DiskFull is about the engine's
	Full string
	Jobs int   // builds that ran on the engine when this one began, itself included
	Err  error // what the engine said, or the reason of a cancel

	class Class
	begun bool // the engine was at work on it
}

// Class says what sort of failure it is.
func (e *SolveError) Class() Class { return e.class }

// ErrorKind tells a package that does not build from an engine that cannot build it.
func (e *SolveError) ErrorKind() errkind.Kind {
	switch {
	case e.Transient(), e.class == MissingSDK:
		return errkind.Environment
	case e.class == DiskFull && e.ExitCode == 0:
		return errkind.Environment // else a step may have filled a file system of its own
	case e.class == OtherImage:
		return errkind.Integrity
	case e.class == BadInput, e.class == Undeclared:
		return errkind.Usage
	}
	return errkind.StepFailed
}

// Reason is the class as a word.
func (e *SolveError) Reason() string { return string(e.class) }

// Transient reports whether the same build may well succeed when tried again.
func (e *SolveError) Transient() bool { return attempts[e.class] > 0 }

// Attempts is how often a build that fails like this may be tried in all.
func (e *SolveError) Attempts() int {
	// nobody dies of a step that did not begin: it was about to end, and still answered
	if e.class == EngineLost && !e.begun {
		return attempts[EngineSilent]
	}
	return max(1, attempts[e.class])
}

// Unwrap gives the cause; for a cancelled build that is context.Canceled or
// context.DeadlineExceeded.
func (e *SolveError) Unwrap() error { return e.Err }

func (e *SolveError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "building %s: ", e.Name)
	switch e.class {
	case Cancelled:
		fmt.Fprintf(&b, "stopped: %v", e.Err)
	case MissingSDK:
		fmt.Fprintf(&b, "the SDK image %q is not on the engine; script/setup makes and imports it, "+
			"BUILDSYS_SDK_IMAGE names another one", e.SDK)
	case OutOfMemory:
		fmt.Fprintf(&b, "%s was killed (exit code %d), most likely because memory ran out (jobs at "+
			"once: %d); run fewer (--jobs) or give the engine more memory", e.step(), e.ExitCode, e.Jobs)
	case DiskFull:
		if e.ExitCode != 0 {
			fmt.Fprintf(&b, "%s failed with exit code %d, its log says that no space is left on the "+
				"engine's disk; free some and build again", e.step(), e.ExitCode)
		} else if e.Full != "" {
			fmt.Fprintf(&b, "no space is left on this machine's disk for its outputs (%s); free some and "+
				"build again: %v", e.Full, e.Err)
		} else {
			fmt.Fprintf(&b, "no space is left on the disk of the engine or of this machine; free some "+
				"(docker builder prune drops the engine's build cache) and build again: %v", e.Err)
		}
	case StepFailed:
		fmt.Fprintf(&b, "%s failed with exit code %d", e.step(), e.ExitCode)
	case EngineSilent:
		fmt.Fprintf(&b, "%v", e.Err)
	case EngineLost:
		fmt.Fprintf(&b, "the engine ended or the connection to it broke: %v; if this comes back, look "+
			"at what the engine logged "+
			"(journalctl -u docker, or the output of dockerd or buildkitd): it may have run out of memory", e.Err)
	case SessionLost:
		fmt.Fprintf(&b, "the engine dropped the connection for inputs and outputs, as it does when "+
			"this machine is too busy to answer: %v", e.Err)
	case EngineCache:
		fmt.Fprintf(&b, "the engine's cache is damaged or locked: %v; docker builder prune or buildctl "+
			"prune empties it", e.Err)
	case OtherImage:
		fmt.Fprintf(&b, "the registry of the SDK image %s serves other bytes than its digest says; "+
			"nothing of it was used; "+
			"an engine may keep what it got: if this stays when the registry is right again, empty its "+
			"cache (buildctl prune): %v", e.SDK, e.Err)
	case RegistryBusy:
		fmt.Fprintf(&b, "the registry of the SDK image failed or limits requests: %v", e.Err)
	default:
		fmt.Fprintf(&b, "%v", e.Err)
	}
	return b.String()
}

// step names the instruction and where it is.
func (e *SolveError) step() string {
	s := "a step"
	if e.Step != "" {
		s = e.Step
	}
	if e.Location != "" {
		s += " (" + e.Location + ")"
	}
	return s
}

// UndeclaredError says that a recipe wants something from outside: an image, a URL, a network.
type UndeclaredError struct {
	What string // "image docker.io/library/busybox:latest"
	SDK  string
}

func (e *UndeclaredError) Error() string {
	return fmt.Sprintf("the Dockerfile wants %s; a build may use only its contexts (%s…) and the "+
		"SDK image %s, so that nothing is fetched behind its back", e.What, contextHint, e.SDK)
}

// failure is what is known about a build that did not succeed.
type failure struct {
	ctx  error    // cause of our own context's end, or nil
	err  error    // from the client
	own  error    // found by us: *ContextError, *UndeclaredError
	step string   // name of the vertex that failed, if any
	line string   // its place in the Dockerfile
	text string   // its error
	tail []string // last lines of the log
	jobs int      // builds at once
	full string   // directory of the outputs, when nothing more can be written there

	begun bool // the engine was at work
}

// solveError makes the typed error of a failed build.
func (f failure) solveError(name, sdk string) *SolveError {
	e := &SolveError{Name: name, SDK: sdk, Err: f.err, Step: shorten(f.step), Location: f.line,
		Jobs: f.jobs, begun: f.begun}
	e.ExitCode = f.exitCode()
	e.class = f.classify(e.ExitCode)
	switch {
	case e.class == Cancelled:
		e.Err = f.ctx
		e.ExitCode = 0
	case f.own != nil:
		e.Err = f.own
	}
	if e.class == DiskFull && e.ExitCode == 0 {
		e.Full = f.full
	}
	return e
}

// classify follows the order of trust: what we know ourselves, what the process said, what gRPC
// says, and only then the text of the error chain. The log of a step never makes a failure look
// transient.
func (f failure) classify(exit int) Class {
	var undeclared *UndeclaredError
	var input *ContextError
	switch {
	case f.ctx != nil:
		return Cancelled
	case errors.As(f.own, &undeclared):
		return Undeclared
	case errors.As(f.own, &input):
		return BadInput
	case errkind.Is[*SilentError](f.own):
		return EngineSilent
	case exit == 137 && strings.Contains(errorText(f.err)+f.text, context.Canceled.Error()):
		return SessionLost // killed by the engine, which thinks that nobody waits for it any more
	case exit == 137:
		return OutOfMemory
	case exit != 0 && saysNoSpace(f.tail...):
		return DiskFull
	case exit != 0:
		return StepFailed
	case f.full != "":
		return DiskFull
	}
	return classifyEngine(f.err)
}

// classifyEngine sorts a failure that no step's process is to blame for.
func classifyEngine(err error) Class {
	text := err.Error()
	code := grpcerrors.Code(err)
	switch {
	// gRPC's own message limit
	case code == codes.ResourceExhausted && !strings.Contains(text, "larger than max"),
		errors.Is(err, syscall.ENOSPC), saysNoSpace(text): // also inside an error that says Unavailable
		return DiskFull
	}
	// What is typed only as Unknown or Unavailable. moby/buildkit#2740, #6977, #1468, #1491,
	// moby/moby#52431, buildkit#2367.
	for _, t := range textClasses {
		if strings.Contains(text, t.text) {
			return t.class
		}
	}
	if otherBytes.MatchString(text) {
		return OtherImage
	}
	if registryTrouble.MatchString(text) {
		return RegistryBusy
	}
	switch code {
	case codes.Unavailable:
		return EngineLost
	case codes.Canceled, codes.DeadlineExceeded:
		return SessionLost
	}
	for _, lost := range []error{errNobody, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET,
		syscall.ECONNREFUSED, syscall.EPIPE, net.ErrClosed} {
		if errors.Is(err, lost) {
			return EngineLost
		}
	}
	if errors.Is(err, context.Canceled) {
		return SessionLost
	}
	return Unknown
}

var textClasses = []struct {
	text  string
	class Class
}{
	{"failed to get dead record", EngineCache},
	{"does not exist: not found", EngineCache}, // "snapshot X does not exist: not found"
	{"failed to stat lower snapshot", EngineCache},
	{": locked: unavailable", EngineCache},
	{"failed to copy: unsupported offset", EngineCache}, // it has a part of a layer from a client that is gone, and cannot go on from there
	{"no active session for", SessionLost},
	{"session healthcheck failed", SessionLost},
	{"error reading server preface", EngineLost},
	{"transport is closing", EngineLost},
}

// registryTrouble is what containerd's resolver says of statuses that pass.
var registryTrouble = regexp.MustCompile(`unexpected status from (GET|HEAD) request to \S+: (429|5\d\d)|toomanyrequests`)

// otherBytes is what containerd says of content that does not have the digest it was asked for by.
var otherBytes = regexp.MustCompile(`failed commit on ref .*: unexpected commit (digest|size)`)

var exitCodeAtEnd = regexp.MustCompile(`exit code: (\d+)$`)

// exitCode finds the exit code of the step's process: typed on newer engines, in Docker 20.10 only
// at the end of the failed vertex's error.
func (f failure) exitCode() int {
	var exit *gatewaypb.ExitError
	if errors.As(f.err, &exit) {
		return int(exit.ExitCode)
	}
	for _, text := range []string{f.text, errorText(f.err)} {
		if m := exitCodeAtEnd.FindStringSubmatch(strings.TrimSpace(text)); m != nil {
			if n, err := strconv.Atoi(m[1]); err == nil {
				return n
			}
		}
	}
	return 0
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func saysNoSpace(lines ...string) bool {
	for _, l := range lines {
		if strings.Contains(strings.ToLower(l), "no space left on device") {
			return true
		}
	}
	return false
}

// shorten makes an instruction of a vertex name, "[stage 2/2] RUN …", that fits on a line.
func shorten(s string) string {
	const limit = 100
	if _, instruction, ok := strings.Cut(s, "] "); ok && strings.HasPrefix(s, "[") {
		s = instruction
	}
	s = cleanLine([]byte(strings.Join(strings.Fields(s), " ")))
	if r := []rune(s); len(r) > limit {
		return string(r[:limit-1]) + "…"
	}
	return s
}
