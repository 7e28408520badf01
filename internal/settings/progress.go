// progress: how a run is shown. That is the caller's to say, and no tree's.

package settings

import (
	"cmp"
	"slices"

	"buildsys/internal/ciservice"
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
	value, err := c.own(env)
	if err != nil {
		return "", err
	}
	p := Progress(cmp.Or(value, string(Auto)))
	if !slices.Contains([]Progress{Auto, Live, Plain, JSON}, p) {
		return "", errkind.Usagef("%s %q is not known: use auto, live, plain or json", c.origin(env),
			value)
	}
	return p, nil
}

// CI returns the CI service that the caller says it runs in, or the one that the environment tells.
func (c Caller) CI() (ciservice.Service, error) {
	const env = "BUILDSYS_CI"
	value, err := c.own(env)
	if err != nil || value == "" || value == "auto" {
		return ciservice.Detect(c.Getenv), err
	}
	if s := ciservice.Service(value); slices.Contains(ciservice.Services, s) {
		return s, nil
	}
	return "", errkind.Usagef("%s %q is not known: use auto, github, gitlab, codebuild or none",
		c.origin(env), value)
}

// own returns the value of a setting that no tree may have: that of the caller, or of the user's
// configuration.
func (c Caller) own(env string) (string, error) {
	if value := c.told(env); value != "" {
		return value, nil
	}
	user, err := c.userConfig()
	return user.Env[env], err
}
