// sarif: findings in the format that services for code read (OASIS SARIF 2.1.0).

package lint

import (
	"encoding/json"
	"io"
	"net/url"
	"slices"

	"buildsys/internal/manifest"
)

// checkHelp has for each check what it holds, in a sentence for people.
var checkHelp = map[Check]string{
	CheckReadable:      "rpmbuild can read the spec.",
	CheckLineEnds:      "Files of a package have the line ends of Unix.",
	CheckSources:       "Each Source and Patch of a spec is there.",
	CheckPatches:       "Patches that are applied have a number in the spec.",
	CheckBuildNeeds:    "BuildRequires are met by build-dependencies.",
	CheckRunNeeds:      "Requires are met wherever an RPM is installed.",
	CheckIncluded:      "RPMs that an image includes are made by a package.",
	CheckTwice:         "An image has each RPM from one package only.",
	CheckNames:         "Names of RPMs begin with the prefix of the OS.",
	CheckInstalled:     "Files are installed into the sysroot and have owners that are known.",
	CheckArchives:      "The SDK can unpack the sources.",
	CheckUnusedFiles:   "The spec names each file of its package.",
	CheckUnusedNeeds:   "Dependencies are used.",
	CheckIgnoredInTree: "A manifest says nothing that the tree's own program ignores.",
	CheckInvalidInTree: "Manifests can be read.",
	CheckAdvisories:    "Advisories have their form, and name what the tree makes.",
}

type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool struct {
		Driver sarifDriver `json:"driver"`
	} `json:"tool"`
	Results []sarifResult `json:"results"`
}

type sarifDriver struct {
	Name    string      `json:"name"`
	Version string      `json:"version,omitempty"`
	Rules   []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID    Check     `json:"id"`
	Short sarifText `json:"shortDescription"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifResult struct {
	Rule      Check           `json:"ruleId"`
	Index     int             `json:"ruleIndex"`
	Level     Level           `json:"level"`
	Message   sarifText       `json:"message"`
	Locations []sarifLocation `json:"locations"`
}

type sarifLocation struct {
	Physical struct {
		Artifact struct {
			URI  string `json:"uri"`
			Base string `json:"uriBaseId"`
		} `json:"artifactLocation"`
		Region *sarifRegion `json:"region,omitempty"`
	} `json:"physicalLocation"`
}

type sarifRegion struct {
	StartLine int `json:"startLine"`
}

// WriteSARIF writes findings. below is the directory of the tree in its checkout, a slash path that
// ends with a slash, or empty; version is that of this program.
func WriteSARIF(w io.Writer, findings []Finding, below, version string) error {
	return WriteSARIFOf(w, "buildsys lint", checkHelp, findings, below, version)
}

// WriteSARIFOf is WriteSARIF for the findings of a tool, with a sentence for each of its checks.
func WriteSARIFOf(w io.Writer, tool string, help map[Check]string, findings []Finding,
	below, version string) error {
	var run sarifRun
	run.Tool.Driver = sarifDriver{Name: tool, Version: version, Rules: []sarifRule{}}
	run.Results = []sarifResult{}
	var checks []Check
	for _, f := range findings {
		if !slices.Contains(checks, f.Check) {
			checks = append(checks, f.Check)
		}
	}
	slices.Sort(checks)
	for _, c := range checks {
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{c, sarifText{help[c]}})
	}
	for _, f := range findings {
		run.Results = append(run.Results, sarifResult{Rule: f.Check,
			Index: slices.Index(checks, f.Check), Level: f.Level,
			Message: sarifText{message(f.Problem)}, Locations: []sarifLocation{location(f, below)}})
	}
	text, err := json.MarshalIndent(sarifLog{
		Schema:  "https://json.schemastore.org/sarif-2.1.0.json",
		Version: "2.1.0", Runs: []sarifRun{run},
	}, "", "  ")
	if err == nil {
		_, err = w.Write(append(text, '\n'))
	}
	return err
}

func message(p manifest.Problem) string {
	if p.Hint == "" {
		return p.Msg
	}
	return p.Msg + "; " + p.Hint
}

func location(f Finding, below string) (l sarifLocation) {
	l.Physical.Artifact.URI = (&url.URL{Path: below + f.File}).EscapedPath()
	l.Physical.Artifact.Base = "%SRCROOT%"
	if f.Line > 0 {
		l.Physical.Region = &sarifRegion{f.Line}
	}
	return l
}
