// Command skiffd is Skiff's own part of the running system. Init starts the first of these, which
// starts the other:
//
//	skiffd boot    mounts what the system needs, proves the root intact, prints the ready line
//	skiffd power   waits for the power button and asks init to shut down
package main

import (
	"fmt"
	"os"
)

const usage = "usage: skiffd boot|power"

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	var err error
	switch os.Args[1] {
	case "boot":
		err = boot()
	case "power":
		err = waitForPowerButton()
	default:
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "skiffd: %v\n", err)
		os.Exit(1)
	}
}
