// State: the records of what the outputs in the checkout were made from.

package builddir

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"buildsys/internal/atomicfile"
	"buildsys/internal/cache"
	"buildsys/internal/confined"
)

// State is the record of one step's outputs in the checkout.
type State struct {
	Action     cache.ActionID
	Content    cache.ContentID
	Transcript string
	Previous   string // transcript of the previous outputs, for explanations
}

// stateName begins a record. The same line has the action ID, the content ID, and the lengths in
// bytes of the two transcripts, which follow unchanged. Planning needs only that line of nearly
// every record.
const stateName = "buildsys state 1"

func statePath(dir, step string) confined.Path {
	return confined.Path{Root: dir, Name: fileName(step) + ".state"}
}

// maxState is the size in bytes of the largest record that is read: two transcripts of a step with
// ten thousand inputs have a few MiB.
const maxState = 64 << 20

// ReadState returns the record of a step from the directory of states. It ignores a record that is
// missing or damaged: the outputs are then judged by their content alone.
func ReadState(dir, step string) (State, bool) {
	data, err := statePath(dir, step).Read(maxState)
	if err != nil {
		return State{}, false
	}
	return parseState(string(data))
}

func parseState(text string) (State, bool) {
	head, rest, _ := strings.Cut(text, "\n")
	s, made, before, ok := parseStateHead(head)
	if !ok || made < 0 || before < 0 || made > len(rest) || before != len(rest)-made {
		return State{}, false
	}
	s.Transcript, s.Previous = rest[:made], rest[made:]
	return s, true
}

// parseStateHead reads the first line: a State without transcripts, and their lengths.
func parseStateHead(line string) (s State, made, before int, ok bool) {
	words := strings.Fields(line)
	if len(words) != 7 || strings.Join(words[:3], " ") != stateName {
		return s, 0, 0, false
	}
	var errs [4]error
	s.Action, errs[0] = cache.ParseActionID(words[3])
	s.Content, errs[1] = cache.ParseContentID(words[4])
	made, errs[2] = strconv.Atoi(words[5])
	before, errs[3] = strconv.Atoi(words[6])
	return s, made, before, errs == [4]error{}
}

// ReadStateHead is ReadState without the transcripts. ReadState may still ignore a record whose
// head is good.
func ReadStateHead(dir, step string) (State, bool) {
	f, err := statePath(dir, step).Open()
	if err != nil {
		return State{}, false
	}
	defer f.Close()
	head := make([]byte, 256) // the first line is shorter
	n, err := f.Read(head)
	line, _, found := bytes.Cut(head[:n], []byte("\n"))
	if err != nil || !found {
		return State{}, false
	}
	s, _, _, ok := parseStateHead(string(line))
	return s, ok
}

// WriteState replaces the record of a step. It is called after the outputs are in place: a kill in
// between leaves an old record, which the content of the outputs then contradicts.
// Below top, the checkout, no link is followed; an empty top is no limit.
func WriteState(top, dir, step string, s State) error {
	head := fmt.Sprintf("%s %s %s %d %d\n", stateName, s.Action, s.Content,
		len(s.Transcript), len(s.Previous))
	text := head + s.Transcript + s.Previous
	own, err := confined.Hold(top, dir)
	if err != nil {
		return err
	}
	defer own.Close()
	at := statePath(dir, step).Name
	return own.Fault("replace", at, atomicfile.Replace(own.Path(at), []byte(text), 0o644))
}

// Transcripts returns the transcripts of all records in the directory of states.
func Transcripts(dir string) (all []string) {
	names, _ := confined.Glob(os.DirFS(dir), "*.state") // fails only for a malformed pattern
	for _, name := range names {
		if data, err := (confined.Path{Root: dir, Name: name}).Read(maxState); err == nil {
			s, _ := parseState(string(data))
			all = append(all, s.Transcript, s.Previous)
		}
	}
	return all
}
