// imageid: what an image is to the steps that run in it.

package engine

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
)

// ImageConfig is the part of an image's configuration that reaches a step.
type ImageConfig struct {
	Layers  []string // digests of the layers' uncompressed tars
	Env     []string
	User    string
	WorkDir string
	Shell   []string
	OnBuild []string
}

// ParseImageConfig reads the configuration of an image in a registry.
func ParseImageConfig(data []byte) (ImageConfig, error) {
	var x struct {
		Config struct {
			Env, Shell, OnBuild []string
			User, WorkingDir    string
		} `json:"config"`
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	err := json.Unmarshal(data, &x)
	return ImageConfig{Layers: x.RootFS.DiffIDs, Env: x.Config.Env, User: x.Config.User,
		WorkDir: x.Config.WorkingDir, Shell: x.Config.Shell, OnBuild: x.Config.OnBuild}, err
}

// ID names an image by everything that a step can see of it, and by nothing else: not by when and
// where it was imported, nor by how an engine or a registry stores it. So equal SDKs have equal
// names on every engine, and results can be shared.
func (c ImageConfig) ID() string {
	h := sha256.New()
	part := func(what string, values ...string) {
		for _, v := range values {
			if v != "" {
				fmt.Fprintf(h, "%s %q\n", what, v)
			}
		}
	}
	part("layer", c.Layers...)
	env := slices.Clone(c.Env)
	slices.Sort(env)
	part("env", env...)
	part("user", c.User)
	part("workdir", c.WorkDir)
	part("shell", c.Shell...)
	part("onbuild", c.OnBuild...)
	return fmt.Sprintf("sha256:%x", h.Sum(nil))
}
