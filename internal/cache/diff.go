// diff: describes the difference between two transcripts, to answer why a step runs again.

package cache

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is the kind of a change.
type Kind string

// The kinds of change.
const (
	Added   Kind = "added"
	Removed Kind = "removed"
	Changed Kind = "changed"
)

// kmodKitLabel is the label of the kmod kit that an image's step sees.
const kmodKitLabel = "kmod-kit"

// Change is one input in which two transcripts differ.
type Change struct {
	Kind Kind `json:"kind"`
	// Label is that of the transcript's line: "file", "arg", "rpms", "modules", "sdk", …
	Label string `json:"label"`
	// Name identifies the input among those with the label: "package: bash.spec", "VARIANT"; empty
	// if there is only one.
	Name string `json:"name,omitempty"`
	Old  string `json:"old,omitempty"` // previous values, as in the transcript
	New  string `json:"new,omitempty"` // current values
}

// identifying is the number of values that identify the input in a line, by label; the remaining
// values may change. Other labels have none.
var identifying = map[string]int{
	"file": 2, "arg": 1, "external": 2, "link": 2, "dir": 2, packageLabel: 1, "modules": 1,
	kmodKitLabel: 1,
}

// Diff returns the inputs in which two transcripts differ: those that changed or were removed in
// the order of old, then those that were added in the order of new. It is empty only for equal
// transcripts.
func Diff(old, new string) []Change {
	before, after := readInputs(old), readInputs(new)
	var changes []Change
	for _, key := range before.order {
		was := before.values[key]
		is, ok := after.values[key]
		switch {
		case !ok:
			changes = append(changes, key.change(Removed, was, nil))
		case !slices.Equal(was, is):
			changes = append(changes, key.change(Changed, was, is))
		}
	}
	for _, key := range after.order {
		if _, ok := before.values[key]; !ok {
			changes = append(changes, key.change(Added, nil, after.values[key]))
		}
	}
	if len(changes) == 0 && old != new {
		changes = []Change{{Kind: Changed, Label: orderLabel}}
	}
	return changes
}

// orderLabel is the label of the change between transcripts with equal lines in different order.
const orderLabel = "order"

// inputKey identifies an input of a transcript.
type inputKey struct{ label, context, name string }

// inputs are those of a transcript.
type inputs struct {
	order []inputKey
	// values are the line's other values, as in the line, with an element for each line of the key.
	values map[inputKey][]string
}

func readInputs(text string) inputs {
	in := inputs{values: map[inputKey][]string{}}
	for line := range strings.Lines(text) {
		words, err := parseLine(strings.TrimSuffix(line, "\n"))
		if err != nil { // not written by Add: the whole line is the input
			words = []string{line}
		}
		key := inputKey{label: words[0]}
		values := words[1:]
		n := identifying[key.label]
		if n > len(values) {
			n = 0
		}
		switch n {
		case 1:
			key.name = values[0]
		case 2:
			key.context, key.name = values[0], values[1]
		}
		if _, ok := in.values[key]; !ok {
			in.order = append(in.order, key)
		}
		in.values[key] = append(in.values[key], quoted(values[n:]))
	}
	return in
}

func quoted(values []string) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = word(v)
	}
	return strings.Join(words, " ")
}

func (k inputKey) change(kind Kind, old, new []string) Change {
	c := Change{Kind: kind, Label: k.label, Name: k.name, Old: strings.Join(old, " | "),
		New: strings.Join(new, " | ")}
	if k.context != "" && k.label != "external" {
		c.Name = k.context + ": " + k.name
	}
	return c
}

// String describes the change without hashes.
func (c Change) String() string {
	switch c.Label {
	case "file":
		return c.file()
	case "external":
		return c.say("source " + c.Name)
	case packageLabel:
		return c.dependency("dependency " + c.Name)
	case "modules":
		return c.dependency("bundled modules")
	case kmodKitLabel:
		return c.dependency("the kmod kit")
	case packagesLabel: // the packages behind the digest are unknown
		return "its dependencies changed"
	case "link":
		return c.say("symlink " + c.Name)
	case "dir":
		return "directory " + c.Name + " " + string(c.Kind)
	case "ignore":
		return "the files excluded by .dockerignore changed"
	case "arg":
		return c.say("argument " + c.Name)
	case "sdk":
		return "the SDK image " + string(c.Kind)
	case "image":
		return "a base image of the Dockerfile " + string(c.Kind)
	case "dockerfile":
		return "the Dockerfile " + string(c.Kind)
	case orderLabel:
		return "the order of the inputs changed"
	case "buildsys":
		return "this buildsys runs steps differently from the previous one"
	default:
		return c.say("the " + strings.TrimSpace(c.Label+" "+c.Name))
	}
}

func (c Change) file() string {
	oldMode, oldSum, _ := strings.Cut(c.Old, " ")
	newMode, newSum, _ := strings.Cut(c.New, " ")
	switch {
	case c.Kind == Added:
		return "new file " + c.Name
	case c.Kind == Removed:
		return "file " + c.Name + " is gone"
	case oldSum == newSum && oldMode != newMode:
		return fmt.Sprintf("file %s changed its mode from %s to %s", c.Name, oldMode, newMode)
	}
	return "file " + c.Name + " changed"
}

// dependency returns the files of a dependency that differ. The line holds its content ID and then,
// for people, each file's name and the beginning of its hash.
func (c Change) dependency(what string) string {
	text := fmt.Sprintf("%s %s", what, c.Kind)
	// No run writes several lines with one name.
	if c.Kind != Changed || strings.Contains(c.Old+c.New, " | ") {
		return text
	}
	old, new := pairs(c.Old), pairs(c.New)
	var names []string
	for name, sum := range new {
		if old[name] != sum {
			names = append(names, name)
		}
	}
	for name := range old {
		if _, ok := new[name]; !ok {
			names = append(names, name+" (gone)")
		}
	}
	if len(names) == 0 {
		return text
	}
	slices.Sort(names)
	return text + ": " + strings.Join(names, ", ")
}

// pairs returns the names and hashes that follow the first value of a line.
func pairs(values string) map[string]string {
	words, err := parseLine("rpms " + values)
	if err != nil {
		return nil
	}
	found := map[string]string{}
	for i := 2; i+1 < len(words); i += 2 {
		found[words[i]] = words[i+1]
	}
	return found
}

// say describes the change of a thing, with its values unless they are hashes.
func (c Change) say(thing string) string {
	values := c.Label != "external"
	switch {
	case c.Kind == Added && values:
		return fmt.Sprintf("new %s (%s)", strings.TrimPrefix(thing, "the "), inQuotes(c.New))
	case c.Kind == Added:
		return "new " + thing
	case c.Kind == Removed && values:
		return fmt.Sprintf("%s is gone (it was %s)", thing, inQuotes(c.Old))
	case c.Kind == Removed:
		return thing + " is gone"
	case values:
		return fmt.Sprintf("%s changed from %s to %s", thing, inQuotes(c.Old), inQuotes(c.New))
	}
	return thing + " changed"
}

// inQuotes returns a value of a line in quotes, adding them if the line has none.
func inQuotes(v string) string {
	if strings.HasPrefix(v, `"`) {
		return v
	}
	return `"` + v + `"`
}
