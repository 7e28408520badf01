// Package dockerfile reads what the targets of a Dockerfile need: stages, arguments, images, and
// paths of the build context that they copy or mount. It uses BuildKit's parser, runs nothing and
// uses no network; package plan composes the context of a foreign Dockerfile from it.
package dockerfile

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// File is a parsed Dockerfile. It is not safe for concurrent use.
type File struct {
	name   string
	text   []byte
	escape rune
	meta   []instructions.ArgCommand // arguments before the first FROM
	stages []instructions.Stage
}

// Error is a mistake in a Dockerfile.
type Error struct {
	File string
	Line int // 0 for the file as a whole
	Err  error
}

// Error returns the mistake with file and line.
func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Parse reads a Dockerfile; name is for messages. The error is an *Error.
func Parse(name string, text []byte) (*File, error) {
	fail := func(err error) (*File, error) {
		e := &Error{File: name, Err: err}
		var at *parser.LocationError
		if errors.As(err, &at) && len(at.Locations) > 0 {
			e.Line = line(at.Locations[0])
		}
		return nil, e
	}
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return fail(err)
	}
	f := &File{name: name, text: text, escape: parsed.EscapeToken}
	if n := len(parsed.AST.Children); n > maxCommands {
		return fail(fmt.Errorf("it has %d commands, more than %d", n, maxCommands))
	}
	if f.stages, f.meta, err = instructions.Parse(parsed.AST, nil); err != nil {
		return fail(err)
	}
	return f, nil
}

func line(at []parser.Range) int {
	if len(at) == 0 {
		return 0
	}
	return at[0].Start.Line
}

// Targets returns the names of the stages, in order.
func (f *File) Targets() []string {
	var names []string
	for _, s := range f.stages {
		if s.Name != "" {
			names = append(names, s.Name)
		}
	}
	return names
}

// stage returns the number of the stage that a FROM or --from names: the last stage of that name
// among the first before stages. If ok is false, the name is that of an image. A stage without a
// name has the empty one, which a FROM may have by its variables; that names neither.
func (f *File) stage(name string, before int) (number int, ok bool) {
	if name == "" {
		return 0, false
	}
	for i := before - 1; i >= 0; i-- {
		if strings.EqualFold(f.stages[i].Name, name) {
			return i, true
		}
	}
	return 0, false
}

// from is stage for a --from, which may also be the number of a stage.
func (f *File) from(name string, before int) (number int, ok bool) {
	if n, err := strconv.Atoi(name); err == nil && n >= 0 && n < before {
		return n, true
	}
	return f.stage(name, before)
}

// Only returns the text without the stages that a target does not need. Omitted lines are empty, so
// the others keep their numbers. Comments below a stage belong to it.
func (f *File) Only(target string) ([]byte, error) {
	needed, err := f.needed(target)
	if err != nil {
		return nil, err
	}
	lines := bytes.SplitAfter(f.text, []byte("\n"))
	for i, s := range f.stages {
		end := len(lines)
		if i+1 < len(f.stages) {
			end = line(f.stages[i+1].Location) - 1
		}
		if needed[i] {
			continue
		}
		for n := line(s.Location) - 1; n < end; n++ {
			if bytes.HasSuffix(lines[n], []byte("\n")) {
				lines[n] = []byte("\n")
			} else {
				lines[n] = nil
			}
		}
	}
	return append(bytes.TrimRight(bytes.Join(lines, nil), "\n"), '\n'), nil
}

// needed returns the numbers of the stages that a target is built from.
func (f *File) needed(target string) (map[int]bool, error) {
	last, ok := f.stage(target, len(f.stages))
	if !ok {
		return nil, &Error{File: f.name, Err: fmt.Errorf("it has no target %q; its targets are %s",
			target, strings.Join(f.Targets(), ", "))}
	}
	defaults := f.defaults()
	needed := map[int]bool{}
	var add func(i int)
	add = func(i int) {
		if needed[i] {
			return
		}
		needed[i] = true
		name, _ := defaults.expand(f.stages[i].BaseName, defaults.meta) // if not, of no stage
		if base, ok := f.stage(name, i); ok {
			add(base)
		}
		for _, cmd := range f.stages[i].Commands {
			for _, name := range sources(cmd) {
				if n, ok := f.from(name, i); ok {
					add(n)
				}
			}
		}
	}
	add(last)
	return needed, nil
}

// defaults returns a reader that knows the arguments before the first FROM by their defaults, as
// far as they can be told. Needs reports what cannot.
func (f *File) defaults() *reader {
	r := &reader{f: f, lex: shell.NewLex(f.escape), meta: values{}}
	_ = r.readMeta()
	return r
}

// sources returns the values of the --from options of a command.
func sources(cmd instructions.Command) []string {
	var names []string
	switch c := cmd.(type) {
	case *instructions.CopyCommand:
		names = append(names, c.From)
	case *instructions.RunCommand:
		for _, m := range instructions.GetMounts(c) {
			names = append(names, m.From)
		}
	}
	return names
}
