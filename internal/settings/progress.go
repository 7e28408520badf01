// progress: how a run is shown. That is the caller's to say, and no tree's.

package settings

import (
	"cmp"
	"slices"

	"buildsys/internal/errkind"
)

// Progress is how a run is shown.
type Progress string

// The ways to show a run.
const (
	Auto  Progress = "auto"  // live where that is possible, else plain
	Live  Progress = "live"  // a few rows that change, on a terminal
	Plain Progress = "plain" // lines
	JSON  Progress = "json"  // lines of JSON
)

// Progress returns how the caller wants a run to be shown.
func (c Caller) Progress() (Progress, error) {
	const env = "BUILDSYS_PROGRESS"
	value := c.told(env)
	if value == "" {
		user, err := c.userConfig()
		if err != nil {
			return "", err
		}
		value = user.Env[env]
	}
	p := Progress(cmp.Or(value, string(Auto)))
	if !slices.Contains([]Progress{Auto, Live, Plain, JSON}, p) {
		return "", errkind.Usagef("BUILDSYS_PROGRESS %q is not known: use auto, live, plain or json",
			value)
	}
	return p, nil
}
