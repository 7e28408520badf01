// provenance: describes what an entry was made from, in the form that supply-chain tools read.

package cache

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// Identifiers in provenance. The first two are defined by https://in-toto.io/Statement/v1 and
// https://slsa.dev/spec/v1.0/provenance.
const (
	statementType = "https://in-toto.io/Statement/v1"
	predicateType = "https://slsa.dev/provenance/v1"
	buildType     = "urn:buildsys:step:v1"
	builderID     = "urn:buildsys:local:v1" // the signer of the statement identifies the machine
)

type statement struct {
	Type          string     `json:"_type"`
	Subject       []resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     predicate  `json:"predicate"`
}

type predicate struct {
	BuildDefinition struct {
		BuildType            string             `json:"buildType"`
		ExternalParameters   externalParameters `json:"externalParameters"`
		ResolvedDependencies []resource         `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
		Metadata struct {
			InvocationID string `json:"invocationId"`
		} `json:"metadata"`
	} `json:"runDetails"`
}

type externalParameters struct {
	Step      string            `json:"step"`
	Target    string            `json:"target"`
	Arguments map[string]string `json:"arguments"`
}

// resource is a ResourceDescriptor of in-toto. Digests that are not plain hashes of one file have
// our own names: buildsysImage (of the SDK and of base images), buildsysContent (of what the step
// of a package made; see ContentOf) and buildsysPackages (of all packages that the step saw, if
// they are unknown; see packages.go).
type resource struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// Provenance returns an unsigned in-toto statement with a SLSA provenance predicate: the outputs of
// e, and from its transcript all that they were made from. Equal inputs and outputs give equal
// bytes, because it contains no time, machine or user.
func (e Entry) Provenance() ([]byte, error) {
	s := statement{Type: statementType, PredicateType: predicateType, Subject: []resource{}}
	for _, f := range e.Files {
		if f.Link == "" {
			s.Subject = append(s.Subject,
				resource{f.Name, map[string]string{"sha256": hex.EncodeToString(f.SHA256[:])}})
		}
	}
	def := &s.Predicate.BuildDefinition
	def.BuildType = buildType
	def.ExternalParameters = externalParameters{Step: e.Step, Arguments: map[string]string{}}
	def.ResolvedDependencies = []resource{}
	s.Predicate.RunDetails.Builder.ID = builderID
	s.Predicate.RunDetails.Metadata.InvocationID = e.Action.String()
	for line := range strings.Lines(e.Transcript) {
		line = strings.TrimSuffix(line, "\n")
		if line == salt {
			continue
		}
		words, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("the transcript of %s: %w", e.Step, err)
		}
		if words[0] == packagesLabel && e.Packages != nil {
			for _, p := range e.Packages() {
				def.ResolvedDependencies = append(def.ResolvedDependencies, p.resource())
			}
		} else if dep, ok := def.ExternalParameters.read(words); ok {
			def.ResolvedDependencies = append(def.ResolvedDependencies, dep)
		}
	}
	return json.MarshalIndent(s, "", "  ")
}

// read reads one line of a transcript, as a parameter or as a dependency of the step.
func (p *externalParameters) read(words []string) (dep resource, ok bool) {
	word := func(n int) string {
		if n < len(words) {
			return words[n]
		}
		return ""
	}
	on := func(name, algorithm, digest string) (resource, bool) {
		return resource{name, map[string]string{algorithm: strings.TrimPrefix(digest, "sha256:")}}, true
	}
	switch words[0] {
	case "step":
	case "target":
		p.Target = word(1)
	case "arg":
		p.Arguments[word(1)] = word(2)
	case "sdk":
		return on("sdk", "buildsysImage", word(1))
	case "image":
		return on("image", "buildsysImage", word(1))
	case "dockerfile":
		return on("Dockerfile", "sha256", word(1))
	case "file":
		return on(word(1)+"/"+word(2), "sha256", word(4))
	case "external":
		return on(word(1)+"/"+word(2), "sha512", word(3))
	case packagesLabel:
		return on(packagesLabel, "buildsysPackages", word(1))
	case "modules", kmodKitLabel:
		return on(words[0]+"/"+word(1), "buildsysContent", word(2))
	case "link", "dir", "ignore": // names in a context, without bytes: the action ID covers them
	}
	return resource{}, false
}

// resource returns the package as a dependency.
func (p Package) resource() resource {
	digest := map[string]string{"buildsysContent": p.content.String()}
	return resource{packageLabel + "/" + p.name, digest}
}
