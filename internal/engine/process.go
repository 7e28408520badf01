// process: a program that runs in a container made of what a build has left.

package engine

import (
	"context"
	"io"

	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// Opener is an engine that runs programs in containers made of what a build has left.
type Opener interface {
	// Open does a build, and runs a program where its last RUN stood: on the files that it left, with
	// its mounts, user and environment, and without network. It returns the program's exit status.
	// Nothing that the program writes outlives it.
	Open(ctx context.Context, s plan.Solve, p Process, report func(progress.Event)) (status int,
		err error)
}

// Process is a program to run and what it is connected to.
type Process struct {
	Args []string
	Env  []string // besides that of the build: "TERM=xterm"
	// Terminal gives the program a terminal; everything it writes goes to Stdout.
	Terminal       bool
	Stdin          io.Reader // not nil
	Stdout, Stderr io.Writer
	// Sizes has the sizes of the terminal, the first one at once; nil without a terminal.
	Sizes <-chan Size
	// Started is called when the program is about to start: the build is over.
	Started func()
}

// Size is the size of a terminal in characters.
type Size struct{ Rows, Columns int }
