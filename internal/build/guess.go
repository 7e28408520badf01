// guess: how long steps may take that were never built on this machine, so that a first build, too,
// begins with what takes longest.

package build

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"buildsys/internal/confined"
	"buildsys/internal/plan"
)

const (
	// durationsFile may be in the root of a tree: seconds by the names of what is built.
	durationsFile = "durations.json"
	// maxDurations bounds such a file. One of 100,000 packages has 4 MiB.
	maxDurations = 16 << 20
	// perByte is how long a package takes for each byte of its sources, as they are packed. Those of
	// Skiff take from 6 to 93 s for a megabyte; only the proportion of packages counts.
	perByte = 30 * time.Second / 1_000_000
	// maxGuess is more than any step takes.
	maxGuess = 24 * time.Hour
)

// Durations are seconds by the name of what is built.
type Durations map[string]float64

// ReadDurations reads a file of durations, which is a JSON object.
func ReadDurations(path confined.Path) (Durations, error) {
	data, err := path.Read(maxDurations)
	if err != nil {
		return nil, err
	}
	var d Durations
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("%s: %w; it must be a JSON object of seconds by step name",
			path.Name, err)
	}
	return d, nil
}

// Of returns how long a step takes, if that is known.
func (d Durations) Of(s plan.Step) (took time.Duration, known bool) {
	seconds, ok := d[s.Name]
	if !ok || seconds < 0 || seconds > maxGuess.Seconds() {
		return 0, false
	}
	return time.Duration(seconds * float64(time.Second)), true
}

// guess returns how long steps may take: what the tree's file of durations says, or else by the
// size of their sources, of those that are on this machine.
func (s *Session) guess() func(plan.Step) time.Duration {
	tree, err := ReadDurations(confined.Path{Root: s.c.Root, Name: durationsFile})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.warn(err.Error())
	}
	sources := s.sources(silent{})
	return func(step plan.Step) time.Duration {
		if took, ok := tree.Of(step); ok {
			return took
		}
		var size int64
		for _, f := range step.Fetch {
			size += min(sources.Size(f), 1<<33)
		}
		return min(time.Duration(size)*perByte, maxGuess)
	}
}
