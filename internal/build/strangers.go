// strangers: what the doctor is told about a machine that builds strangers' trees.

package build

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"buildsys/internal/doctor"
	"buildsys/internal/engine"
	"buildsys/internal/remote"
	"buildsys/internal/sbkeys"
)

// Strangers returns what the doctor is told. environ has the variables as "NAME=VALUE".
func (s *Session) Strangers(environ []string) doctor.Strangers {
	c := s.c
	facts := doctor.Strangers{
		Root: os.Geteuid() == 0, Trusted: c.Trusted, Insecure: c.Engine.Insecure, Shared: c.Shared,
		Logins: loginsIn(environ), Secrets: secretNames(environ),
		Cgroup:  c.Engine.Limits.Cgroup,
		Objects: c.Objects.Use && !c.Objects.ReadOnly,
	}
	for _, name := range sbkeys.Private() {
		if key := c.Image.KeysDir.Join(name); key.Check() == nil {
			facts.Keys = append(facts.Keys, key.String())
		}
	}
	if c.Remote.To != (remote.Location{}) {
		facts.Uploads = append(facts.Uploads, c.Remote.To.String())
	}
	if to := c.Engine.Layers.To.Repository; to != "" {
		facts.Uploads = append(facts.Uploads, to)
	}
	if c.StepTime == 0 {
		facts.Unlimited = append(facts.Unlimited, "--step-timeout")
	}
	if c.Engine.Limits.Bytes == 0 {
		facts.Unlimited = append(facts.Unlimited, "--step-output")
	}
	return facts
}

// passwordName matches the names that CI services and clouds give to variables with passwords.
var passwordName = regexp.MustCompile(`(?i)(secret|token|passw|api_?key|private_?key|credential)`)

func secretNames(environ []string) (names []string) {
	for _, kv := range environ {
		if name, value, _ := strings.Cut(kv, "="); value != "" && passwordName.MatchString(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// loginsIn returns the Docker config if it has logins, or programs that have them.
func loginsIn(environ []string) string {
	vars := map[string]string{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		vars[name] = value
	}
	dir := engine.DockerConfigIn(func(name string) string { return vars[name] })
	if dir == "" {
		return ""
	}
	file := filepath.Join(dir, "config.json")
	if !remote.HasLogins(file) {
		return ""
	}
	return file
}
