// Package doctor checks the surroundings of a build and reports, before an hour is wasted, what
// cannot work, what will be slow or fail late, and what to do about it. It learns about the engine
// from its caller, and checks everything else itself: file systems, control groups, servers, the
// clock.
package doctor

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"buildsys/internal/network"
)

// Status is how a check ended.
type Status string

// The ways in which a check ends.
const (
	OK      Status = "ok"
	Note    Status = "note"    // worth knowing; a healthy machine may have it
	Warning Status = "warning" // builds work, but slowly, or may fail later
	Failure Status = "failure" // a build cannot succeed
	Skipped Status = "skipped" // cannot be checked from here
)

// Check is one finding.
type Check struct {
	Name   string `json:"name"` // "engine", "disk: cache"
	Status Status `json:"status"`
	Detail string `json:"detail"`        // the finding
	Fix    string `json:"fix,omitempty"` // what to do; set for notes, warnings and failures
}

// Report has all findings, in a fixed order.
type Report struct{ Checks []Check }

// Worst returns the worst status of a report.
func (r Report) Worst() Status {
	for _, s := range []Status{Failure, Warning} {
		if slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Status == s }) {
			return s
		}
	}
	return OK
}

// Engine is what the caller knows about the engine.
type Engine struct {
	Err     error  // why it cannot be used; then only Fix and SDK count
	Fix     string // what to do about Err
	Kind    string // "Docker engine" or "buildkitd"
	Host    string
	Local   bool // it runs on this machine
	Version string
	API     string
	CPUs    int
	Memory  int64 // bytes; 0 if it does not report it
	Driver  string
	RootDir string // on the engine's machine; "" if it does not report it
	SDK     string // name of the SDK image
	SDKErr  error  // why the SDK image cannot be used
	SDKMay  bool   // a build looks for it elsewhere if it is missing
}

// Place is a directory that a build writes to.
type Place struct {
	Name string // "checkout"
	Path string // need not exist; its parent counts then
	Need int64  // bytes that a build is expected to write there; less is a warning
	Min  int64  // bytes without which no build is possible
	// Locks is true if a build takes locks on files there.
	Locks bool

	byEngine bool // the engine writes to it, not this process
}

// Server is a network service that a build may use.
type Server struct {
	Name  string        // "lookaside https://…"
	URL   string        // a HEAD request to it gives the clock; "" if Probe does everything
	Reach network.Reach // of URL
	Probe func(ctx context.Context) error
	Fix   string
}

// Request is what to check.
type Request struct {
	Engine  Engine
	Nodes   []Engine // the engines that Engine sums up, if there are several
	Places  []Place
	Jobs    int // steps at once; 0 means the engine's CPUs
	Servers []Server
	Timeout time.Duration // for each server; 0 means 5 s

	Root string           // directory that has proc and sys; "" means /
	Now  func() time.Time // nil means time.Now
	// Getenv is the environment of this process; nil means os.Getenv.
	Getenv func(string) string
	flock  func(f *os.File) error // nil: a real lock
}

// Run makes every check. It asks all servers at once.
func Run(ctx context.Context, r Request) Report {
	checks := append(r.locks(), Fast(r).Checks...)
	checks = append(checks, r.sdk())
	checks = append(checks, r.servers(ctx)...)
	return Report{append(checks, r.surroundings()...)}
}

// Fast makes the checks that take no time and no network, except for the engine's.
func Fast(r Request) Report {
	checks := r.engines()
	for _, p := range r.places() {
		checks = append(checks, disk(p))
	}
	checks = append(checks, r.memory(), r.cpu())
	if c, ok := r.weight(); ok {
		checks = append(checks, c)
	}
	return Report{checks}
}

// engines checks the engine, or each of several: one that is gone is a warning while others answer.
func (r Request) engines() []Check {
	if len(r.Nodes) > 1 && r.Engine.Err == nil {
		var checks []Check
		for _, e := range r.Nodes {
			of := Request{Engine: e, Root: r.Root}
			for _, c := range of.engines() {
				if c.Status == Failure {
					c.Status, c.Fix = Warning, "the others are used until it answers"
				}
				checks = append(checks, c)
			}
		}
		return checks
	}
	checks := []Check{r.engine()}
	if r.Engine.Err == nil {
		checks = append(checks, r.driver())
		for _, of := range []func() (Check, bool){r.dataRoot, r.database} {
			if c, ok := of(); ok {
				checks = append(checks, c)
			}
		}
	}
	return checks
}

func (r Request) jobs() int {
	if r.Jobs > 0 {
		return r.Jobs
	}
	return max(1, r.Engine.CPUs)
}

func (r Request) engine() Check {
	e := r.Engine
	if e.Err != nil {
		return Check{Name: "engine", Status: Failure, Detail: e.Err.Error(), Fix: e.Fix}
	}
	text := fmt.Sprintf("%s %s at %s", e.Kind, e.Version, e.Host)
	if e.API != "" {
		text += ", API " + e.API
	}
	if e.Kind == "buildkitd" && olderThan(e.Version, safeBuildKit) {
		return Check{Name: "engine", Status: Warning, Detail: text +
			": it lacks fixes of CVE-2026-33747, CVE-2026-33748 and GHSA-7236-3392-c5c6",
			Fix: "install BuildKit " + safeBuildKit + " or newer"}
	}
	return Check{Name: "engine", Status: OK, Detail: text}
}

// safeBuildKit has the fixes for its advisories of 2026.
const safeBuildKit = "v0.31.1"

func (r Request) sdk() Check {
	switch {
	case r.Engine.Err != nil:
		return Check{Name: "SDK image", Status: Skipped, Detail: r.Engine.SDK +
			": there is no engine to ask"}
	case r.Engine.SDKErr != nil && r.Engine.SDKMay:
		return Check{Name: "SDK image", Status: Warning, Detail: r.Engine.SDKErr.Error(),
			Fix: "a build looks for it in the remote caches first"}
	case r.Engine.SDKErr != nil:
		return Check{Name: "SDK image", Status: Failure, Detail: r.Engine.SDKErr.Error(),
			Fix: "buildsys sdk build makes it; buildsys sdk import takes a finished root file system"}
	}
	return Check{Name: "SDK image", Status: OK, Detail: r.Engine.SDK}
}

func (r Request) root() string {
	if r.Root == "" {
		return "/"
	}
	return r.Root
}
