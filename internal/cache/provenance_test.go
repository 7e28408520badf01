// provenance_test: what a step was made from, as its provenance names it.

package cache

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestProvenance has a line with each label that executor writes into a transcript.
func TestProvenance(t *testing.T) {
	tr := newTranscript("variant/img x86_64")
	for _, words := range []string{
		"target variant", "sdk sha256:01", "image sha256:02", "dockerfile 03", "arg NAME x",
		"file package img.toml 644 04", "external sources a.tar 05", "link package latest img.toml",
		"packages 06", "modules app 07 app.tar.gz 0708", "dir  build", "ignore **/*.rpm",
	} {
		label, values, _ := strings.Cut(words, " ")
		tr.Add(label, strings.Split(values, " ")...)
	}
	e := Entry{Action: tr.ID(), Step: "variant/img x86_64", Transcript: tr.String(),
		Files: []File{{Name: "img.lz4", SHA256: [32]byte{9}}, {Name: "latest", Link: "img.lz4"}}}
	data, err := e.Provenance()
	if err != nil {
		t.Fatal(err)
	}
	var s statement
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	def := s.Predicate.BuildDefinition
	if p := def.ExternalParameters; p.Step != e.Step || p.Target != "variant" ||
		len(p.Arguments) != 1 || p.Arguments["NAME"] != "x" {
		t.Errorf("parameters %+v", p)
	}
	if len(s.Subject) != 1 || s.Subject[0].Name != "img.lz4" {
		t.Errorf("subject %+v", s.Subject)
	}
	var got strings.Builder
	for _, d := range def.ResolvedDependencies {
		for algorithm, sum := range d.Digest {
			got.WriteString(d.Name + " " + algorithm + ":" + sum + "\n")
		}
	}
	const want = `sdk buildsysImage:01
image buildsysImage:02
Dockerfile sha256:03
package/img.toml sha256:04
sources/a.tar sha512:05
packages buildsysPackages:06
modules/app buildsysContent:07
`
	if got.String() != want {
		t.Errorf("made from\n%swant\n%s", &got, want)
	}
}
