// Durations: how long each step took, for machines that have built nothing yet.

package report

import (
	"encoding/json"
	"io"
	"math"
	"strings"
)

// Durations writes a JSON object of seconds by the names of packages, kits and variants: how long
// those took that were built, and how long the builds had taken whose results were used.
func Durations(w io.Writer, m *Model) error {
	seconds := map[string]float64{}
	for _, s := range m.Steps {
		took := s.Saved
		if s.Status == Built {
			took = s.Build.Took()
		}
		if _, name, _ := strings.Cut(s.ID, "/"); took > 0 {
			seconds[name] = max(seconds[name], math.Round(took.Seconds()*10)/10)
		}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(seconds)
}
