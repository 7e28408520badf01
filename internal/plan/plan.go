// Package plan turns a workspace and a request into ordered steps with declared inputs. It is pure:
// the same tree and request give the same plan, and it runs and writes nothing. Package build makes
// the requests; executor and scheduler run the steps.
package plan

import (
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"buildsys/internal/confined"
	"buildsys/internal/crates"
	"buildsys/internal/graph"
	"buildsys/internal/image"
	"buildsys/internal/manifest"
)

// Plan is everything that a run does, in an order in which each step comes after those it depends
// on.
type Plan struct {
	Arch    string // "x86_64" or "aarch64"
	Variant string // of the request; may be empty
	Steps   []Step
	// Packages has the names of all packages of the tree, planned or not: no step may leave an RPM
	// in the name of another one.
	Packages map[string]bool
	Own      bool // the tree's own Dockerfile makes the steps
	// Lacks are sentences about what the tree's own Dockerfile needs and the tree does not have; with
	// any, nothing can be built. Warnings are about what else looks wrong in the Dockerfile.
	Lacks, Warnings []string
}

// Kind is the kind of a step.
type Kind string

// The kinds of step.
const (
	Package Kind = "package"
	Variant Kind = "variant"
	Modules Kind = "modules" // has the name of the package that it is for
	Repack  Kind = "repack"  // has the name of the variant
	Kit     Kind = "kit"
	KmodKit Kind = "kmod-kit" // has the name of the variant; also that of its context
	// DevImage has the name of the variant. Its target is that of a Variant.
	DevImage Kind = "dev-image"
)

// Step is one BuildKit build: the RPMs of one package, the Go modules bundled for one package, the
// repository of one kit, the kmod kit of one variant, or its images, from RPMs or from earlier
// images.
type Step struct {
	ID   string // Kind + "/" + Name: "package/bash"
	Kind Kind
	Name string // of the package, variant or kit
	// Uses are the indexes of the earlier steps whose outputs this step sees.
	Uses graph.Set
	// Waits is the smallest part of Uses, ascending, that implies the rest: each other step in Uses is
	// waited for by one of these, directly or indirectly.
	Waits []int
	Fetch []manifest.ExternalFile // files that must be in the source store before the build
	Sums  []GoSums                // Go modules that must be fetched before the build
	// Crates must be fetched before the build.
	Crates []Crates
	Solve  Solve  // without RPMs: see SolveOf
	Out    string // host directory of the outputs; replaced as a whole
	Link   string // symlink to Out to make beside it ("latest"), or empty
	// Private is true if remote caches neither give nor get the outputs.
	Private bool
	// Given is true if another process has built the step: its outputs are used as they are in Out,
	// and there is no Solve.
	Given bool
	// Layout is the partition layout of the images of a Variant or Repack; nil for other kinds, and
	// for images of an own Dockerfile, which alone knows it. DiskFile returns the names of its disks.
	Layout *image.Layout
	// Bill is what bills of materials beside the outputs say of their sources; nil for none.
	Bill *Bill
}

// Fetches reports whether anything must be fetched before the build.
func (s Step) Fetches() bool { return len(s.Fetch)+len(s.Sums)+len(s.Crates) > 0 }

// Crates are the crates that some Cargo.lock names.
type Crates struct {
	Of   string         // the names of the files
	List []crates.Crate // of the public registry
	Git  []crates.GitCrate
}

// Solve is everything that a builder needs for one build. It has no types of the workspace.
type Solve struct {
	Name       string // for people: "bash x86_64"
	Dockerfile []byte
	Target     string            // stage to build: the Kind of the step, or goTarget
	Args       map[string]string // build arguments
	// Contexts are the only files that the build sees. The Dockerfile mounts them by the name
	// ContextPrefix + key, which can never be pulled from a registry.
	Contexts map[string]Context
	// Secrets maps names to files on this machine that the recipe's secret mounts show to the build.
	// They reach no layer, log or output, and do not determine the outputs: the public halves among
	// the Contexts do.
	Secrets map[string]confined.Path
	// Sockets maps names to what serves the connections that programs in the build open to the
	// recipe's ssh mounts of those names. In a plan there are none: a run adds them, and they do not
	// determine the outputs.
	Sockets map[string]func(io.ReadWriteCloser)
	// Fresh runs every part of the build again, on a host with another name, even if the engine has it
	// cached.
	Fresh bool
	// Images are the references of the images that the Dockerfile starts or copies from, without the
	// SDK.
	Images []string
	// Inside is the name of a directory among the outputs whose contents lie beside it afterwards, or
	// empty: some recipes put images into a directory with the name of their version.
	Inside string
	// KeyArg is the build argument that gets the action ID, or empty: NOCACHE, which keeps the
	// engine from taking a part of one build for another's.
	KeyArg string
}

// TreeContext is the name that Contexts has for the unnamed context of an own Dockerfile: the tree.
const TreeContext = "tree"

// treeRPMs are the directories that an own Dockerfile may look for the RPMs of all packages in,
// side by side. The first is that of nearly all.
var treeRPMs = []string{"build/rpms", "build/packages"}

// ContextPrefix begins the name of every named context. The .invalid top-level domain (RFC 2606)
// never resolves, so a missing context fails instead of being pulled as an image from Docker Hub.
const ContextPrefix = "buildsys.invalid/"

// Context is a tree of files composed for one build.
type Context struct {
	Files []File // sorted by Name
	// RPMs are the indexes of the steps of the plan whose outputs the build sees. SolveOf replaces
	// them by Dirs.
	RPMs   graph.Set
	RPMsAt string // the directory for them; TreeContext only
	// Dirs are host directories, sorted by Name, that are read when the build starts. One that does
	// not exist then is an error.
	Dirs []*Dir
	// Top are directories as in Dirs, but their contents are at the top of the context.
	Top []*Dir
	// Derived are directories as in Dirs that no step makes and that are no inputs of their own: other
	// inputs determine their contents.
	Derived []*Dir
	// Shared is true if many steps see exactly these files, so it pays to send and keep them once.
	Shared bool
	// Made are directories that exist even if empty; TreeContext only.
	Made []string
	// Ignore are patterns as in a .dockerignore that exclude files of Dirs; TreeContext only.
	Ignore []string
}

// Dir is a host directory inside a context.
type Dir struct {
	Name string // slash path inside the context
	Host string // directory on this machine
	Step int    // in a plan: the step whose outputs these are
}

// SolveOf returns the build of a step of p for a builder, with the RPMs of its contexts among their
// Dirs: each in a directory with the name of its package, or in the TreeContext all in its RPMsAt.
// They are sorted by package, as what a build sees must not depend on the order of a plan.
//
// The list is made only for a step that is built, not for each that is planned: in a deep tree with
// ten thousand packages, all lists together have fifty million members.
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
				d.Name = c.RPMsAt
			}
		}
		c.RPMs, c.Dirs = graph.Set{}, append(dirs, c.Dirs...)
		solve.Contexts[name] = c
	}
	return solve
}

// Images returns the references of the images that the steps of a plan start from, without the SDK,
// sorted.
func (p Plan) Images() []string {
	all := map[string]bool{}
	for _, s := range p.Steps {
		for _, ref := range s.Solve.Images {
			all[ref] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// File is one regular file or symlink of a context.
type File struct {
	Name string      // slash path inside the context
	Host string      // file on this machine; empty when Data or Link is used
	Data []byte      // contents when Host is empty
	Mode fs.FileMode // permission bits as the build sees them: 0o644 or 0o755
	// SHA512 is set for an external file. It identifies the contents, even before the file is fetched.
	SHA512 string
	// Link is the target of a symlink; Host and Data are then empty.
	Link string
}
