// needs: the arguments, images and paths of the build context that a target needs, given arguments.

package dockerfile

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// Needs lists what a target needs, without duplicates but for Points.
type Needs struct {
	Args   []Arg   // that it declares, in order
	Images []Image // that it starts from or copies from, except its own stages and scratch
	Copies []Path  // of the context, by COPY and ADD; may have wildcards
	Mounts []Path  // of the context, by RUN --mount, except mounts of all of it
	Trees  []Tree  // mounts of the whole context
	Points []Point // where a RUN mounts something below a mount of the context
}

// Arg is an argument that a target declares.
type Arg struct {
	Name    string
	Line    int
	Default bool // it has a default value
}

// Image is the reference of an image, with arguments replaced.
type Image struct {
	Ref  string
	Line int
}

// Path is a path in the build context, clean, with slashes and without a leading one; "." is all of
// it.
type Path struct {
	Name string
	Line int
}

// Point is a mount point inside the context. A mount of the context is read-only, so an engine
// cannot make the point itself: the context must have it.
type Point struct {
	Path
	// Source is the path in the context that is mounted there, and must be of the same kind; "" if it
	// is a directory from elsewhere.
	Source string
}

// Tree is a mount of the whole context in one RUN.
type Tree struct {
	Target string // where it is mounted: "/host"
	Line   int
	// Paths are those below Target that the RUN names. Whole reports whether it also uses Target in
	// ways that may read anything there.
	Paths []string
	Whole bool
}

// Needs returns what a target needs when it is built with these arguments. The error is an *Error.
func (f *File) Needs(target string, args map[string]string) (Needs, error) {
	needed, err := f.needed(target)
	if err != nil {
		return Needs{}, err
	}
	r := reader{f: f, given: args, lex: shell.NewLex(f.escape), meta: values{},
		scopes: make([]scope, len(f.stages))}
	if err := r.readMeta(); err != nil {
		return Needs{}, err
	}
	for i := range f.stages {
		if !needed[i] {
			continue
		}
		if err := r.readStage(i); err != nil {
			return Needs{}, err
		}
	}
	return r.needs, nil
}

// values are variables by name. They implement shell.EnvGetter.
type values map[string]string

func (v values) Get(name string) (string, bool) { value, ok := v[name]; return value, ok }
func (v values) Keys() []string                 { return slices.Collect(maps.Keys(v)) }

// scope holds the variables and the directory that the commands of a stage see.
type scope struct {
	args, env values // ENV takes precedence over ARG
	workDir   string
}

func (s scope) all() values {
	all := maps.Clone(s.args)
	maps.Copy(all, s.env)
	return all
}

// reader collects the needs of stages.
type reader struct {
	f      *File
	given  map[string]string
	lex    *shell.Lex
	meta   values
	scopes []scope // by stage, of those that were read
	needs  Needs
	work   int // variables that commands have seen
}

// Limits of what is read, because a variable may be twice the last one, and each command sees all.
const (
	maxValue      = 16 << 10 // bytes of a value, as for those of Makefile.toml
	maxReferences = 1000     // in one word, nested ones too
	maxCommands   = 20000
	maxWork       = 20_000_000 // variables for all commands
)

func (r *reader) fail(at []parser.Range, err error) error {
	return &Error{File: r.f.name, Line: line(at), Err: err}
}

func (r *reader) expand(word string, env values) (string, error) {
	if strings.Count(word, "$") > maxReferences {
		return "", fmt.Errorf("a word refers to more than %d variables", maxReferences)
	}
	result, err := r.lex.ProcessWordWithMatches(word, env)
	if err == nil && len(result.Result) > maxValue {
		return "", fmt.Errorf("a word has more than %d bytes once its variables are replaced", maxValue)
	}
	return result.Result, err
}

// visible returns the variables that a command sees.
func (r *reader) visible(s *scope) (values, error) {
	if r.work += len(s.args) + len(s.env); r.work > maxWork {
		return nil, errors.New("the Dockerfile has too many commands for its number of variables")
	}
	return s.all(), nil
}

// readMeta reads the arguments before the first FROM.
func (r *reader) readMeta() error {
	for _, cmd := range r.f.meta {
		for _, kv := range cmd.Args {
			value, given := r.given[kv.Key]
			if !given && kv.Value != nil {
				var err error
				if value, err = r.expand(*kv.Value, r.meta); err != nil {
					return r.fail(cmd.Location(), err)
				}
				given = true
			}
			if given {
				r.meta[kv.Key] = value
			}
			r.addArg(Arg{kv.Key, line(cmd.Location()), kv.Value != nil})
		}
	}
	return nil
}

// addArg records an argument. One that is declared several times has a default if any of the
// declarations has.
func (r *reader) addArg(a Arg) {
	if i := slices.IndexFunc(r.needs.Args, func(b Arg) bool { return a.Name == b.Name }); i >= 0 {
		r.needs.Args[i].Default = r.needs.Args[i].Default || a.Default
		return
	}
	r.needs.Args = append(r.needs.Args, a)
}

// readStage reads one stage. The stages that it needs were read before, because they are earlier
// ones.
func (r *reader) readStage(i int) error {
	s := scope{args: values{}, env: values{}, workDir: "/"}
	st := r.f.stages[i]
	base, err := r.expand(st.BaseName, r.meta)
	if err != nil {
		return r.fail(st.Location, err)
	}
	if n, ok := r.f.stage(base, i); ok {
		b := r.scopes[n]
		if b.args == nil {
			return r.fail(st.Location, fmt.Errorf("FROM %s names the stage %s only by a value that it is "+
				"given: write the name, or make it the default of the ARG", st.BaseName, base))
		}
		if _, err := r.visible(&b); err != nil { // they are copied
			return r.fail(st.Location, err)
		}
		s = scope{args: maps.Clone(b.args), env: maps.Clone(b.env), workDir: b.workDir}
	} else if base == "" {
		return r.fail(st.Location, fmt.Errorf("FROM %s names no image: no argument in it has a value",
			st.BaseName))
	} else {
		r.addImage(base, line(st.Location))
	}
	for _, cmd := range st.Commands {
		if err := r.readCommand(i, &s, cmd); err != nil {
			return r.fail(cmd.Location(), err)
		}
	}
	r.scopes[i] = s
	return nil
}

func (r *reader) addImage(ref string, line int) {
	same := func(i Image) bool { return i.Ref == ref }
	if ref != "scratch" && !slices.ContainsFunc(r.needs.Images, same) {
		r.needs.Images = append(r.needs.Images, Image{ref, line})
	}
}

func (r *reader) readCommand(stage int, s *scope, cmd instructions.Command) error {
	switch c := cmd.(type) {
	case *instructions.ArgCommand:
		return r.readArgs(s, c)
	case *instructions.EnvCommand:
		known, err := r.visible(s) // the values of one ENV do not see each other
		if err != nil {
			return err
		}
		for _, kv := range c.Env {
			value, err := r.expand(kv.Value, known)
			if err != nil {
				return err
			}
			s.env[kv.Key] = value
		}
	case *instructions.WorkdirCommand:
		known, err := r.visible(s)
		if err != nil {
			return err
		}
		dir, err := r.expand(c.Path, known)
		if err != nil {
			return err
		}
		if !path.IsAbs(dir) {
			dir = path.Join(s.workDir, dir)
		}
		s.workDir = path.Clean(dir)
	case *instructions.AddCommand:
		return r.readCopy(s, c.SourcePaths, line(c.Location()))
	case *instructions.CopyCommand:
		if c.From == "" {
			return r.readCopy(s, c.SourcePaths, line(c.Location()))
		}
		if _, ok := r.f.from(c.From, stage); !ok {
			r.addImage(c.From, line(c.Location()))
		}
	case *instructions.RunCommand:
		return r.readRun(stage, s, c)
	}
	return nil
}

func (r *reader) readArgs(s *scope, c *instructions.ArgCommand) error {
	for _, kv := range c.Args {
		inherited, fromMeta := r.meta[kv.Key]
		r.addArg(Arg{kv.Key, line(c.Location()), kv.Value != nil})
		switch value, given := r.given[kv.Key]; {
		case given:
			s.args[kv.Key] = value
		case kv.Value != nil:
			known, err := r.visible(s)
			if err != nil {
				return err
			}
			if value, err = r.expand(*kv.Value, known); err != nil {
				return err
			}
			s.args[kv.Key] = value
		case fromMeta:
			s.args[kv.Key] = inherited
		}
	}
	return nil
}

func (r *reader) readCopy(s *scope, sources []string, line int) error {
	known, err := r.visible(s)
	if err != nil {
		return err
	}
	for _, source := range sources {
		source, err := r.expand(source, known)
		if err != nil {
			return err
		}
		if strings.Contains(source, "://") || strings.HasPrefix(source, "git@") {
			continue // not in the context; the build refuses it
		}
		if p := (Path{clean(source), line}); !slices.Contains(r.needs.Copies, p) {
			r.needs.Copies = append(r.needs.Copies, p)
		}
	}
	return nil
}

// clean returns a path in the context in its clean form. As in an engine, no path leads out of the
// context.
func clean(name string) string {
	if name = strings.TrimPrefix(path.Clean("/"+name), "/"); name == "" {
		return "."
	}
	return name
}

// tree returns what a RUN uses of the whole context, which is mounted at target.
func (r *reader) tree(s *scope, c *instructions.RunCommand, target string, known values) Tree {
	text := strings.Join(c.CmdLine, " ")
	for _, f := range c.Files {
		text += "\n" + f.Data
	}
	t := Tree{Target: target, Line: line(c.Location())}
	t.Paths, t.Whole = Mentions(text, target, known.Get)
	t.Whole = t.Whole || s.workDir == target || strings.HasPrefix(s.workDir, target+"/") ||
		target == "/"
	return t
}
