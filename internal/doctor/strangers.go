// Strangers: whether this machine is fit to build what somebody unknown has sent.

package doctor

import (
	"fmt"
	"strconv"
	"strings"
)

// Strangers is what the caller knows about a machine for strangers' trees. A build runs programs of
// the tree as root in containers, so the question is what is at hand for one that gets out, and
// what of its work others would use.
type Strangers struct {
	Root      bool     // this process is root
	Trusted   bool     // the tree may set everything
	Keys      []string // private keys that this process can read
	Uploads   []string // caches that results or layers are sent to
	Insecure  bool     // an engine on another machine may be used without TLS
	Shared    bool     // other users may write to the cache directory
	Objects   bool     // what compilers make in a step is kept for later ones
	Logins    string   // file with logins to registries; "" if there are none
	Secrets   []string // variables whose names are those of passwords
	Unlimited []string // settings that allow a step whatever it wants
	Cgroup    string   // control group that steps run below; "" for the engine's own
	Engines   []Engine
}

// Checks returns a finding for each question.
func (s Strangers) Checks() []Check {
	some := func(names []string) string { return strings.Join(names, ", ") }
	return []Check{
		finding("tree", s.Trusted, Failure, "its Makefile.toml may set everything",
			"remove --trust-tree, and the tree from trusted-trees in the user's configuration"),
		finding("signing keys", len(s.Keys) > 0, Failure, "this process can read "+some(s.Keys),
			"sign on another machine, from results that were reviewed"),
		finding("uploads", len(s.Uploads) > 0, Failure, "results go to "+some(s.Uploads)+
			", from where others take them", "set --cache-to and --layer-cache-to for reviewed trees only"),
		finding("engine", s.Insecure, Failure, "an engine may be used over a network without TLS",
			"unset --engine-insecure"),
		finding("cache directory", s.Shared, Failure, "other users may write to it",
			"use one for strangers' trees alone (--cache-dir)"),
		finding("compiler cache", s.Objects, Failure, "what one build leaves, the next in the same "+
			"directory reads", "unset --compile-cache, or use read or off"),
		finding("limits", len(s.Unlimited) > 0, Warning, "a step has no limit: "+some(s.Unlimited),
			"set them: a build that never ends keeps the machine busy"),
		s.processes(),
		finding("size of files", s.old() != "", Warning, s.old()+" does not limit it for steps",
			"use Docker 23 or newer, or a buildkitd"),
		finding("logins", s.Logins != "", Warning, s.Logins+" has logins to registries",
			"give this machine logins that can only read, or none"),
		finding("environment", len(s.Secrets) > 0, Warning, "it has "+some(s.Secrets),
			"no step sees it, but a program that gets out of its container does: start builds without"),
		finding("user", s.Root, Warning, "this process is root",
			"run as another user, on a machine that is thrown away afterwards"),
	}
}

// processes returns whether there is a limit of processes and memory.
func (s Strangers) processes() Check {
	const name = "processes and memory"
	switch old := s.old(); {
	case s.Cgroup == "":
		return finding(name, true, Warning, "a step may take all that the engine has",
			"make a control group with limits on the engine's machine and name it (--cgroup-parent; "+
				"docs/trust.md says how)")
	case old != "":
		return finding(name, true, Warning, fmt.Sprintf("%s ignores the control group %s", old, s.Cgroup),
			"use Docker 23 or newer, or a buildkitd")
	}
	return Check{Name: "strangers: " + name, Status: OK,
		Detail: "steps have the limits of the control group " + s.Cgroup}
}

// old returns an engine whose BuildKit is too old to limit steps, such as "Docker engine 20.10.24",
// or "".
func (s Strangers) old() string {
	for _, e := range s.Engines {
		major, _, _ := strings.Cut(e.Version, ".")
		if n, err := strconv.Atoi(major); err == nil && n < 23 && e.Kind == "Docker engine" {
			return e.Kind + " " + e.Version
		}
	}
	return ""
}

// finding returns a check with one of two results.
func finding(name string, bad bool, status Status, detail, fix string) Check {
	if !bad {
		return Check{Name: "strangers: " + name, Status: OK, Detail: "nothing found"}
	}
	return Check{Name: "strangers: " + name, Status: status, Detail: detail, Fix: fix}
}
