// Package osv reads databases of advisories in the format of osv.dev, and says which of some
// packages their entries affect. A database is data of strangers: what it holds is bounded, and
// what cannot be compared is counted and named.
package osv

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Entry is what matters here of one entry. Other keys are read over, as the format wants it.
type Entry struct {
	SchemaVersion    string      `json:"schema_version"`
	ID               string      `json:"id"`
	Withdrawn        string      `json:"withdrawn"`
	Aliases          []string    `json:"aliases"`
	Summary          string      `json:"summary"`
	Affected         []*Affected `json:"affected"`
	Severity         []*Score    `json:"severity"`
	DatabaseSpecific *specific   `json:"database_specific"`
}

// Score is how bad the fault is, in a form that Type names: "CVSS_V3".
type Score struct {
	Type  string `json:"type"`
	Score string `json:"score"`
}

// Affected is a package and the versions of it that have the fault.
type Affected struct {
	Package struct {
		Ecosystem string `json:"ecosystem"`
		Name      string `json:"name"`
	} `json:"package"`
	Ranges            []*Range  `json:"ranges"`
	Versions          []string  `json:"versions"`
	EcosystemSpecific *imports  `json:"ecosystem_specific"`
	DatabaseSpecific  *specific `json:"database_specific"`
}

// Range are versions between events.
type Range struct {
	Type   string   `json:"type"` // "SEMVER", "ECOSYSTEM" or "GIT"
	Repo   string   `json:"repo"` // of GIT
	Events []*Event `json:"events"`
}

// Event is where a fault begins or ends; one of the fields is given.
type Event struct {
	Introduced   string `json:"introduced"`
	Fixed        string `json:"fixed"`
	LastAffected string `json:"last_affected"`
	Limit        string `json:"limit"`
}

// specific is what databases add of their own. Each may be anything, so a value of another kind is
// none.
type specific struct {
	Severity      word `json:"severity"`      // of GitHub
	Informational word `json:"informational"` // of RustSec: "unmaintained"
}

// word is a string, or nothing if it is something else.
type word string

func (w *word) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		*w = word(text)
	}
	return nil
}

func (s *specific) UnmarshalJSON(data []byte) error {
	type plain specific
	var p plain
	if json.Unmarshal(data, &p) == nil {
		*s = specific(p)
	}
	return nil
}

// imports are the parts of a Go module that have the fault, in the Go project's database.
type imports struct {
	Systems [][]string // of each part; none for all
}

func (i *imports) UnmarshalJSON(data []byte) error {
	var v struct {
		Imports []*struct {
			GOOS []string `json:"goos"`
		} `json:"imports"`
	}
	if json.Unmarshal(data, &v) != nil {
		return nil
	}
	for _, one := range v.Imports {
		if one != nil {
			i.Systems = append(i.Systems, one.GOOS)
		}
	}
	return nil
}

// elsewhere reports whether only parts for other systems than Linux have the fault.
func (a *Affected) elsewhere() bool {
	i := a.EcosystemSpecific
	return i != nil && len(i.Systems) > 0 && !slices.ContainsFunc(i.Systems, func(goos []string) bool {
		return len(goos) == 0 || slices.Contains(goos, "linux")
	})
}

// maxObjects bounds the objects and lists of an entry, each of which takes memory.
const maxObjects = 200_000

// errNoEntry is the reason for a file with another JSON document.
var errNoEntry = errors.New("it is no entry of the OSV format: it has no id")

// parse reads an entry.
func parse(data []byte) (*Entry, error) {
	if bytes.Count(data, []byte("{"))+bytes.Count(data, []byte("[")) > maxObjects {
		return nil, fmt.Errorf("it has more than %d objects and lists", maxObjects)
	}
	e := new(Entry)
	if err := json.Unmarshal(data, e); err != nil {
		return nil, err
	}
	if e.ID == "" {
		return nil, errNoEntry
	}
	if major, _, _ := strings.Cut(e.SchemaVersion, "."); major != "1" && major != "" {
		return nil, fmt.Errorf("it has version %s of the format, and only 1 is known", e.SchemaVersion)
	}
	return e, nil
}

// severity returns how bad the fault is, as far as the entry says so: "high", or "CVSS_V3 …".
func (e *Entry) severity() string {
	if e.DatabaseSpecific != nil && e.DatabaseSpecific.Severity != "" {
		return strings.ToLower(string(e.DatabaseSpecific.Severity))
	}
	for _, s := range e.Severity {
		if s != nil && s.Score != "" {
			return s.Type + " " + s.Score
		}
	}
	return ""
}
