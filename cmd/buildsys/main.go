// Command buildsys builds bootable Linux images from RPM specs and TOML manifests; see internal/cli.
package main

import (
	"os"
	"runtime"
	"runtime/debug"

	"buildsys/internal/cli"
)

func main() {
	collectLate()
	os.Exit(cli.Main(cli.ThisSystem()))
}

// collectLate puts the first garbage collection off until the heap has 16 MiB: a run in which nothing has to be built ends
// before, and two collections were a sixth of its time. From the first one on everything is as usual.
func collectLate() {
	usual := debug.SetGCPercent(400)
	runtime.SetFinalizer(new([16]byte), func(*[16]byte) { debug.SetGCPercent(usual) })
}
