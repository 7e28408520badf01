// State: what the outputs in the checkout were made from, remembered per step beside them.

package engine

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"buildsys/internal/cache"
)

// State is the record of one step's outputs in the checkout.
type State struct {
	Action     cache.ActionID  `json:"action"`
	Content    cache.ContentID `json:"content"`
	Transcript string          `json:"transcript"`
	Previous   string          `json:"previous,omitempty"` // transcript of the outputs before these, for explaining
}

func statePath(dir, step string) string {
	return filepath.Join(dir, strings.ReplaceAll(step, "/", "-")+".json")
}

// ReadState returns the record of a step from the directory of states. A record that is missing or damaged is none:
// the outputs are then judged by their content alone.
func ReadState(dir, step string) (State, bool) {
	data, err := os.ReadFile(statePath(dir, step))
	if err != nil {
		return State{}, false
	}
	var s State
	if err := json.Unmarshal(data, &s); err != nil {
		return State{}, false
	}
	return s, true
}

// writeState replaces the record of a step. It is written after the outputs are in place: a kill in between leaves an
// old record, which the content of the outputs then contradicts.
func writeState(dir, step string, s State) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".state-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if _, err := tmp.Write(data); err != nil {
		tmp.Close()
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), statePath(dir, step))
}
