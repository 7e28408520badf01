// rootfs: root file systems that an engine makes, from which images come.

package engine

import (
	"context"
	"io"

	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// Rootfs is a root file system that a program makes of one that it finds, without a network and
// without any image.
type Rootfs struct {
	Name   string                  // for messages
	Arch   string                  // of the machine that it is for, by Go's name
	Base   string                  // path of the tar of the one that the program finds
	Mounts map[string]plan.Context // what it can read, by the path of a directory
	Args   []string                // the program and its arguments
	Env    []string
}

// RootfsMaker is an engine that makes root file systems.
type RootfsMaker interface {
	// MakeRootfs writes the tar of a root file system. What comes is what the engine has: its order,
	// times and owners are not the same on all engines. Errors of to are returned as they are.
	MakeRootfs(ctx context.Context, r Rootfs, to io.Writer, report func(progress.Event)) error
}
