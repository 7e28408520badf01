// Command buildsys builds bootable Linux images from RPM specs and TOML manifests; see
// internal/cli.
package main

import (
	"os"
	"runtime/debug"

	"buildsys/internal/buildkit"
	"buildsys/internal/cli"
)

func main() {
	tuneCollector()
	os.Exit(cli.Main(cli.ThisSystem(buildkit.Connect)))
}

// tuneCollector trades memory for time: the heap may grow to five times its live size before it is
// collected. So a run of a usual tree with nothing to build hardly collects at all, and planning a
// deep tree of ten thousand packages takes a sixth less processor time, for 250 MiB instead of 150.
// There is no memory limit: near one, a program does little but collect.
func tuneCollector() { debug.SetGCPercent(400) }
