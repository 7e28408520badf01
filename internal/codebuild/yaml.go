// yaml: writes a batch as a buildspec file.

package codebuild

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Settings are common to all builds of a batch.
type Settings struct {
	Buildspec   string // path in the source of the buildspec that each build runs
	ComputeType string // BUILD_GENERAL1_LARGE and others; empty for the project's
	Image       string // build image; empty for the project's
	Command     string // command that made the file, for its first line
}

// Variables that tell a build of a batch what to do, read by ci/codebuild/buildspec.yml.
const (
	VarArches   = "BUILDSYS_CI_ARCHES"
	VarVariants = "BUILDSYS_CI_VARIANTS"
	VarPackages = "BUILDSYS_CI_PACKAGES"
)

type batchFile struct {
	Version float64 `yaml:"version"`
	Batch   struct {
		FastFail bool        `yaml:"fast-fail"`
		Graph    []batchTask `yaml:"build-graph"`
	} `yaml:"batch"`
}

type batchTask struct {
	Identifier string   `yaml:"identifier"`
	Buildspec  string   `yaml:"buildspec"`
	Env        batchEnv `yaml:"env"`
	DependOn   []string `yaml:"depend-on,omitempty"`
}

type batchEnv struct {
	ComputeType string            `yaml:"compute-type,omitempty"`
	Image       string            `yaml:"image,omitempty"`
	Privileged  bool              `yaml:"privileged-mode"`
	Variables   map[string]string `yaml:"variables"` // the encoder sorts them
}

// WriteBatch writes the buildspec of a batch. fast-fail is off, so that builds that do not need a
// failed one still run.
func WriteBatch(w io.Writer, nodes []Node, s Settings) error {
	file := batchFile{Version: 0.2}
	for _, n := range nodes {
		variables := map[string]string{VarArches: n.Arch, VarVariants: n.Variant}
		if !n.Image {
			variables[VarPackages] = strings.Join(n.Packages, " ")
		}
		file.Batch.Graph = append(file.Batch.Graph, batchTask{
			Identifier: n.ID,
			Buildspec:  s.Buildspec,
			Env: batchEnv{ComputeType: s.ComputeType, Image: s.Image, Privileged: true,
				Variables: variables},
			DependOn: n.DependsOn,
		})
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "# Made by %q; make it again when packages or their dependencies change.\n",
		s.Command)
	fmt.Fprintf(&text, "# Builds hand their RPMs over through the remote cache: the project must "+
		"set BUILDSYS_CACHE_FROM and BUILDSYS_CACHE_TO.\n")
	enc := yaml.NewEncoder(&text)
	enc.SetIndent(2)
	if err := enc.Encode(file); err != nil {
		return err
	}
	if err := enc.Close(); err != nil {
		return err
	}
	_, err := w.Write(text.Bytes())
	return err
}
