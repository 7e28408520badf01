// Package plan turns a workspace and a request into ordered steps with declared inputs.
// It is pure: the same tree and request give the same plan, and nothing is run or written.
package plan

import (
	"io/fs"
	"maps"
	"slices"
	"strings"

	"buildsys/internal/graph"
	"buildsys/internal/image"
	"buildsys/internal/manifest"
)

// Plan is everything a run does, in an order in which every step comes after the steps it depends
// on.
type Plan struct {
	Arch  string // "x86_64" or "aarch64"
	Steps []Step
	// Lacks are sentences on what the tree's own Dockerfile needs and the tree does not have: nothing
	// can be built while there are any. Warnings are about the rest that looks wrong in it.
	Lacks, Warnings []string
}

// Kind is the sort of a step.
type Kind string

// The kinds of step.
const (
	Package Kind = "package"
	Variant Kind = "variant"
	Modules Kind = "modules" // of the same name as the package it is for
	Repack  Kind = "repack"  // of the same name as the variant
	Kit     Kind = "kit"
)

// Step is one BuildKit build: the RPMs of one package, the Go modules bundled for one package, the
// repository of one kit, or the images of one variant, from RPMs or from earlier images.
type Step struct {
	ID   string // Kind + "/" + Name: "package/bash"
	Kind Kind
	Name string // package or variant name
	// Uses are the earlier steps whose outputs this one sees, by their indexes.
	Uses graph.Set
	// Waits are the fewest of them, ascending, that lead to all: each other one is waited for by one
	// of these, directly or not.
	Waits []int
	Fetch []manifest.ExternalFile // files that must be in the source store before the build
	Solve Solve                   // without its RPMs: see SolveOf
	Out   string                  // host directory that receives the outputs; replaced whole
	Link  string                  // a symlink beside Out that shall point to it ("latest"), or empty
	// Given says that another process has built the step: its outputs are taken as they are in Out,
	// and there is no Solve.
	Given bool
	// Layout is what the images of a Variant or Repack shall be like; nil for other kinds. See
	// DiskFile for their names.
	Layout *image.Layout
}

// Solve is all that a builder needs for one build. It holds nothing of the workspace's types.
type Solve struct {
	Name       string // for people: "bash x86_64"
	Dockerfile []byte
	Target     string            // stage to build: the Kind of the step
	Args       map[string]string // build arguments
	// Contexts are the only files the build sees. The Dockerfile mounts them by the name
	// ContextPrefix + key, a name that can never be pulled from a registry.
	Contexts map[string]Context
	// Secrets are files on this machine that the recipe's secret mounts show to the build, by their
	// names. They reach no layer, log or output, and are no part of what determines the outputs: the
	// public halves among the Contexts are.
	Secrets map[string]string
	// Fresh runs every part of the build again, on a host with another name, whatever the engine has
	// kept.
	Fresh bool
	// Images are those that the Dockerfile starts or copies from besides the SDK, by their references.
	Images []string
	// KeyArg is a build argument that gets the action ID, when there is one: NOCACHE, whose purpose it
	// is to keep the engine from taking a part of one build for another's.
	KeyArg string
}

// TreeContext is the name of the context that a Dockerfile has without a name, where it is not
// ours: the tree.
const TreeContext = "tree"

// TreeRPMs is where in the TreeContext the RPMs of all packages are, side by side.
const TreeRPMs = "build/rpms"

// ContextPrefix begins the name of every named context. The .invalid top-level domain (RFC 2606)
// never resolves, so a missing context fails instead of being looked up as an image on Docker Hub.
const ContextPrefix = "buildsys.invalid/"

// Context is a tree of files composed for one build.
type Context struct {
	Files []File // sorted by Name
	// RPMs are the steps of the plan whose outputs the build sees, by their indexes. What the plan
	// has is only this; SolveOf makes Dirs of it.
	RPMs graph.Set
	// Dirs are host directories, sorted by Name, which are read when the build starts.
	// A directory that does not exist then is an error.
	Dirs []*Dir
	// Top are directories as in Dirs, but what they hold is at the top of the context.
	Top []*Dir
	// Derived are directories as in Dirs that no step makes and that are no inputs of their own: what
	// they hold follows from other inputs.
	Derived []*Dir
	// Shared says that many steps see just these files, so that it pays to send and keep them once.
	Shared bool
	// Made are directories that are there even if nothing is in them; only of a TreeContext, as the
	// rest.
	Made []string
	// Ignore are patterns as in a .dockerignore: what they match of the Dirs is not shown.
	Ignore []string
}

// Dir is a host directory inside a context.
type Dir struct {
	Name string // slash path inside the context
	Host string // directory on this machine
	Step int    // in a plan: the step whose outputs these are
}

// SolveOf returns the build of a step of p as a builder needs it: with the RPMs of its contexts
// among their Dirs, each in a directory with the name of its package, or in the TreeContext all in
// TreeRPMs. They are sorted by package: what a build sees must not depend on the order of a plan.
//
// The list is made for a step that is built, and not for each that is planned: of a deep tree with
// ten thousand packages all lists together have fifty million members.
func (p Plan) SolveOf(s Step) Solve {
	solve := s.Solve
	solve.Contexts = maps.Clone(solve.Contexts)
	for name, c := range solve.Contexts {
		if c.RPMs.Empty() {
			continue
		}
		dirs := make([]*Dir, 0, c.RPMs.Len()+len(c.Dirs))
		for i := range c.RPMs.All() {
			dirs = append(dirs, &Dir{Name: p.Steps[i].Name, Host: p.Steps[i].Out, Step: i})
		}
		slices.SortFunc(dirs, func(a, b *Dir) int { return strings.Compare(a.Name, b.Name) })
		if name == TreeContext {
			for _, d := range dirs {
				d.Name = TreeRPMs
			}
		}
		c.RPMs, c.Dirs = graph.Set{}, append(dirs, c.Dirs...)
		solve.Contexts[name] = c
	}
	return solve
}

// Images returns the images that the steps of a plan start from besides the SDK, sorted.
func (p Plan) Images() []string {
	all := map[string]bool{}
	for _, s := range p.Steps {
		for _, ref := range s.Solve.Images {
			all[ref] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// File is one regular file of a context.
type File struct {
	Name string      // slash path inside the context
	Host string      // file on this machine; empty when Data or Link is used
	Data []byte      // contents when Host is empty
	Mode fs.FileMode // permission bits as the build sees them: 0o644 or 0o755
	// SHA512 is set for an external file: its contents are known by this hash, also while it is not
	// fetched yet.
	SHA512 string
	// Link is where a symlink leads; Host and Data are then empty.
	Link string
}
