// Command migrate_v0.1.0_settings-directory moves the host name that somebody has set on the
// machine from STORE/hostname to STORE/settings/hostname, where 0.1.0 looks for it.
package main

import (
	"errors"
	"os"

	"migrations/migrate"
)

const (
	oldName = "hostname"
	newDir  = "settings"
	newName = "settings/hostname"
)

func main() {
	os.Exit(migrate.Main(os.Args, os.Stderr, run))
}

func run(store *os.Root, d migrate.Direction) error {
	if d == migrate.Backward {
		return migrate.Move(store, newName, oldName)
	}
	if err := store.Mkdir(newDir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return migrate.Move(store, oldName, newName)
}
