// Errors of a build, sorted into classes that determine retries, exit codes and advice.

package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"buildsys/internal/bytesize"
	"buildsys/internal/errkind"
	"buildsys/internal/plan"

	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc/codes"
)

// Class is the kind of failure of a build.
type Class string

// The classes: first those that another attempt does not help, then the transient ones.
const (
	// Cancelled means that our own context ended.
	Cancelled Class = "cancelled"
	// BadInput means that a context has a file that a build must not see, or that changed
	// meanwhile.
	BadInput Class = "bad input"
	// Undeclared means that the recipe wants something that is neither the SDK nor a context.
	Undeclared Class = "undeclared input"
	// OtherImage means that the SDK's registry served bytes that do not match the digest.
	OtherImage Class = "other image"
	// MissingSDK means that the SDK image is not on the engine.
	MissingSDK Class = "missing SDK"
	// MissingImage means that another image of the Dockerfile is not on the engine.
	MissingImage Class = "missing image"
	// OutOfMemory means that the step was killed (exit code 137).
	OutOfMemory Class = "out of memory"
	// DiskFull means that the engine's disk is full; ExitCode is not 0 if the step itself noticed.
	DiskFull Class = "disk full"
	// StepFailed means that the package is broken; it is never worth a retry.
	StepFailed Class = "step failed"

	// EngineSilent is transient: nothing was heard from the engine for too long.
	EngineSilent Class = "engine silent"
	// EngineHung is transient: the engine answers pings, but not what it was asked.
	EngineHung Class = "engine hung"
	// EngineLost is transient: the engine ended, or the connection to it broke.
	EngineLost Class = "engine lost"
	// SessionLost is transient: the engine gave up the connection for inputs and outputs.
	SessionLost Class = "session lost"
	// EngineCache is transient: the engine's own records got in the way of this build.
	EngineCache Class = "engine cache"
	// RegistryBusy is transient: the SDK's registry failed or limits requests.
	RegistryBusy Class = "registry busy"

	Unknown Class = "unknown"
)

// attempts is how often a build is tried in total, by the class of its failure. An engine that ends
// twice in the same step ends because of it; one that did not answer twice will not answer;
// something that its cache lacks the second time will not appear later.
var attempts = map[Class]int{EngineSilent: 3, EngineHung: 2, EngineLost: 2, SessionLost: 3,
	EngineCache: 2, RegistryBusy: 3}

// SolveError is a failed build.
type SolveError struct {
	Name     string // plan.Solve.Name
	Step     string // shortened Dockerfile instruction that failed; empty if none did
	Location string // place of that instruction, "Dockerfile:7"; empty if unknown
	ExitCode int    // of the step's process; 0 if no process failed
	SDK      string // image that the build starts from
	Image    string // the other image of the Dockerfile that is missing
	// Full is the directory on this machine whose disk is full; empty if DiskFull is about the
	// engine's.
	Full string
	// FileLimit is the size that the engine let no file of the step exceed, if the step failed
	// because of it; otherwise 0.
	FileLimit int64
	Jobs      int   // builds that ran on the engine when this one began, including itself
	Err       error // the engine's error, or the cause of a cancellation

	class Class
	begun bool // the engine had started the build
}

// ErrorKind distinguishes a package that does not build from an engine that cannot build it.
func (e *SolveError) ErrorKind() errkind.Kind {
	switch {
	case e.class == Cancelled:
		return errkind.Unexpected // whoever cancelled it knows why
	case e.Transient(), e.class == MissingSDK, e.class == MissingImage:
		return errkind.Environment
	case e.class == DiskFull && e.ExitCode == 0:
		return errkind.Environment // otherwise a step may have filled a file system of its own
	case e.class == OtherImage:
		return errkind.Integrity
	case e.class == BadInput, e.class == Undeclared:
		return errkind.Usage
	}
	return errkind.StepFailed
}

// InOutput reports whether the step's output has the reason, and the exit status of its process.
func (e *SolveError) InOutput() (exit int, ok bool) {
	return e.ExitCode, e.class == StepFailed && e.ExitCode != 0 && e.FileLimit == 0
}

// Reason returns the class as text.
func (e *SolveError) Reason() string { return string(e.class) }

// Transient reports whether the same build may well succeed when tried again.
func (e *SolveError) Transient() bool { return attempts[e.class] > 0 }

// Attempts returns how often a build that fails like this may be tried in total.
func (e *SolveError) Attempts() int {
	// The step had not started, so it cannot have killed the engine, which was about to end.
	if e.class == EngineLost && !e.begun {
		return attempts[EngineSilent]
	}
	return max(1, attempts[e.class])
}

// Unwrap returns the cause; for a cancelled build it is context.Canceled or
// context.DeadlineExceeded.
func (e *SolveError) Unwrap() error { return e.Err }

func (e *SolveError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "building %s: ", e.Name)
	switch e.class {
	case Cancelled:
		fmt.Fprintf(&b, "stopped: %v", e.Err)
	case MissingSDK:
		fmt.Fprintf(&b, "the SDK image %q is not on the engine; buildsys sdk build makes it, "+
			"BUILDSYS_SDK_IMAGE selects another", e.SDK)
	case MissingImage:
		fmt.Fprintf(&b, "the image %[1]s, which its Dockerfile starts or copies from, is not on the "+
			"engine: pull it first (docker pull %[1]s)", e.Image)
	case OutOfMemory:
		fmt.Fprintf(&b, "%s was killed (exit code %d), most likely because memory ran out (jobs at "+
			"once: %d); run fewer (--jobs) or give the engine more memory", e.step(), e.ExitCode, e.Jobs)
	case DiskFull:
		if e.ExitCode != 0 {
			fmt.Fprintf(&b, "%s failed with exit code %d, and its log says that no space is left on the "+
				"engine's disk; free some space and build again", e.step(), e.ExitCode)
		} else if e.Full != "" {
			fmt.Fprintf(&b, "no space is left on this machine's disk for its outputs (%s); free some space "+
				"and build again: %v", e.Full, e.Err)
		} else {
			fmt.Fprintf(&b, "no space is left on the disk of the engine or of this machine; free some "+
				"space (docker builder prune drops the engine's build cache) and build again: %v", e.Err)
		}
	case StepFailed:
		fmt.Fprintf(&b, "%s failed with exit code %d", e.step(), e.ExitCode)
		if e.FileLimit > 0 {
			fmt.Fprintf(&b, ", because it made a file of more than %s (--step-output)",
				bytesize.Format(e.FileLimit))
		}
	case EngineSilent, EngineHung:
		fmt.Fprintf(&b, "%v", e.Err)
	case EngineLost:
		fmt.Fprintf(&b, "the engine ended or the connection to it broke: %v; if this happens again, "+
			"read the engine's log (journalctl -u docker, or the output of dockerd or buildkitd): "+
			"it may have run out of memory", e.Err)
	case SessionLost:
		fmt.Fprintf(&b, "the engine dropped the connection for inputs and outputs, as it does when "+
			"this machine is too busy to answer: %v", e.Err)
	case EngineCache:
		fmt.Fprintf(&b, "the engine's cache is damaged or locked: %v; docker builder prune or buildctl "+
			"prune empties it", e.Err)
	case OtherImage:
		fmt.Fprintf(&b, "the registry of the SDK image %s serves other bytes than its digest says; "+
			"nothing of it was used; an engine may keep what it got: if the error persists after "+
			"the registry is repaired, empty the engine's cache (buildctl prune): %v", e.SDK, e.Err)
	case RegistryBusy:
		fmt.Fprintf(&b, "the registry of the SDK image failed or limits requests: %v", e.Err)
	default:
		fmt.Fprintf(&b, "%v", e.Err)
	}
	return b.String()
}

// step returns the instruction and its place.
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

// UndeclaredError reports that a recipe wants something from outside: an image, a URL, a network.
type UndeclaredError struct {
	What string // "image docker.io/library/busybox:latest"
	SDK  string
}

func (e *UndeclaredError) Error() string {
	return fmt.Sprintf("the Dockerfile wants %s; a build may use only its contexts (%s…) and the "+
		"SDK image %s, so that every input is declared", e.What, plan.ContextPrefix, e.SDK)
}

// failure is everything that is known about a build that failed.
type failure struct {
	ctx  error    // why our own context ended, or nil
	err  error    // from the client
	own  error    // found by this process: *ContextError, *UndeclaredError
	step string   // name of the vertex that failed, if one did
	line string   // its place in the Dockerfile
	text string   // its error
	tail []string // last lines of the log
	jobs int      // builds at once
	full string   // directory of the outputs, if its disk is full

	fileLimit int64 // that the engine enforced, or 0

	begun bool // the engine was at work
}

// ended records why the contexts of a build ended: that of its caller, and its own below that.
func (f *failure) ended(caller, own context.Context) {
	if caller.Err() != nil {
		f.ctx = cancelCause(caller)
	} else if cause := context.Cause(own); cause != nil {
		f.own = cause
	}
}

// solveError returns the typed error of a failed build.
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
	if e.class == StepFailed && (e.ExitCode == fileSizeExit || saysTooLarge(f.tail...)) {
		e.FileLimit = f.fileLimit
	}
	return e
}

// classify goes by trust: first what this process knows, then what the step's process reported,
// then gRPC's code, and only then the text of the error chain. The log of a step never makes a
// failure look transient.
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
		return SessionLost // killed by an engine that thinks nobody waits for the step any more
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

// classifyEngine classifies a failure that no step's process caused.
func classifyEngine(err error) Class {
	if errkind.Is[*HungError](err) {
		return EngineHung
	}
	text := err.Error()
	code := grpcerrors.Code(err)
	switch {
	// gRPC's own message limit is excluded
	case code == codes.ResourceExhausted && !strings.Contains(text, "larger than max"),
		errors.Is(err, syscall.ENOSPC), saysNoSpace(text): // even if the error says Unavailable
		return DiskFull
	}
	// Failures with only the code Unknown or Unavailable: moby/buildkit#2740, #6977, #1468, #1491,
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
	// The engine has part of a layer from a client that is gone, and cannot continue from there.
	{"failed to copy: unsupported offset", EngineCache},
	{"no active session for", SessionLost},
	{"session healthcheck failed", SessionLost},
	// That is the engine's connection to our session.
	{"grpc: the client connection is closing", SessionLost},
	// What gRPC says of a stream that was cut in the middle of a message.
	{"code = Internal desc = unexpected EOF", SessionLost},
	{"error reading server preface", EngineLost},
	{"transport is closing", EngineLost},
}

// registryTrouble matches what containerd's resolver reports about statuses that pass.
var registryTrouble = regexp.MustCompile(
	`unexpected status from (GET|HEAD) request to \S+: (429|5\d\d)|toomanyrequests`)

// otherBytes matches what containerd reports about content that does not match its digest.
var otherBytes = regexp.MustCompile(`failed commit on ref .*: unexpected commit (digest|size)`)

var exitCodeAtEnd = regexp.MustCompile(`exit code: (\d+)$`)

// exitCode returns the exit code of the step's process: newer engines send it typed, Docker 20.10
// only at the end of the failed vertex's error.
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

// fileSizeExit is a shell's exit code for a program that made too large a file (SIGXFSZ).
const fileSizeExit = 128 + int(syscall.SIGXFSZ)

// saysTooLarge reports whether a log has what the C library and shells say of such a file.
func saysTooLarge(lines ...string) bool {
	return slices.ContainsFunc(lines, func(l string) bool {
		l = strings.ToLower(l)
		return strings.Contains(l, "file too large") || strings.Contains(l, "file size limit exceeded")
	})
}

func saysNoSpace(lines ...string) bool {
	for _, l := range lines {
		if strings.Contains(strings.ToLower(l), "no space left on device") {
			return true
		}
	}
	return false
}

// shorten turns a vertex name, "[stage 2/2] RUN …", into an instruction that fits on a line.
func shorten(s string) string {
	const limit = 100
	if _, instruction, ok := strings.Cut(s, "] "); ok && strings.HasPrefix(s, "[") {
		s = instruction
	}
	words := strings.Fields(s)
	for len(words) > 1 && words[0] == "RUN" && strings.HasPrefix(words[1], "--") {
		words = slices.Delete(words, 1, 2) // its mounts say nothing about the failure
	}
	s = cleanLine([]byte(strings.Join(words, " ")))
	if r := []rune(s); len(r) > limit {
		return string(r[:limit-1]) + "…"
	}
	return s
}
