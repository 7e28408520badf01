// Command buildsys builds bootable Linux images from RPM specs and TOML manifests; see internal/cli.
package main

import (
	"os"

	"buildsys/internal/cli"
)

func main() {
	os.Exit(cli.Main(cli.ThisSystem()))
}
