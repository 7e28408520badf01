// Command buildsys builds bootable Linux images from RPM specs and TOML manifests; see internal/cli.
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

// tuneCollector trades memory for time: a run in which nothing has to be built ends before the first garbage collection,
// and the planning of ten thousand packages is a fifth faster. From 256 MiB on collections come as usual and more often.
func tuneCollector() {
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(256 << 20)
}
