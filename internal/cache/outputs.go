// outputs: what the names and links of a step's outputs may be, for builds and for results of other
// machines alike.

package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of the names of outputs and the targets of links. Those for bytes are Linux's own.
const (
	maxPart  = 255  // bytes of one part of a name
	maxName  = 4095 // bytes of a whole name, and of a target
	maxDepth = 64   // parts of a name
	// maxHops is how many links the kernel follows on the way to one file.
	maxHops = 40
	// maxLinkSteps bounds the parts of targets that are followed for the links of one result, as
	// each link may lead through others.
	maxLinkSteps = 1 << 20
)

// markers are the names of outputs that say what an image comes without. Programs that publish
// images of trees written for Twoliter look for them.
var markers = []string{".no-kmod-kit", ".no-migrations"}

// BadName returns what is wrong with one component of an output's name that would cause trouble in
// a command line, a glob, a log, a terminal or a file system, or "".
func BadName(name string) string {
	switch {
	case !utf8.ValidString(name):
		return "its name is not valid UTF-8"
	case strings.HasPrefix(name, "-"):
		return "its name begins with a dash"
	case strings.HasPrefix(name, ".") && !slices.Contains(markers, name):
		return "its name begins with a dot"
	case strings.ContainsFunc(name, unicode.IsControl):
		return "its name holds control characters"
	case len(name) > maxPart:
		return fmt.Sprintf("its name has a part of more than %d bytes", maxPart)
	}
	for _, r := range name {
		if !unicode.IsPrint(r) || strings.ContainsRune(" ;&|<>$`'\"\\*?", r) {
			return fmt.Sprintf("its name contains the character %q", r)
		}
	}
	return ""
}

// BadPath returns what is wrong with the whole name of an output, or "".
func BadPath(name string) string {
	switch {
	case !fs.ValidPath(name) && utf8.ValidString(name), name == ".":
		return "its name is not below the outputs"
	case len(name) > maxName || strings.Count(name, "/") >= maxDepth:
		return fmt.Sprintf("its name has more than %d bytes or %d parts", maxName, maxDepth)
	}
	for part := range strings.SplitSeq(name, "/") {
		if reason := BadName(part); reason != "" {
			return reason
		}
	}
	return ""
}

// CheckLink accepts a symbolic link below root only if it leads to something below root, whatever
// it leads through. The error is what it is instead: "a symbolic link that …".
func CheckLink(root *os.Root, name string) error {
	target, err := root.Readlink(name)
	if err != nil {
		return err
	}
	if !localLink(filepath.ToSlash(name), target) {
		return fmt.Errorf("a symbolic link that leaves the outputs (%s)", target)
	}
	if _, err := root.Stat(name); err != nil { // follows it, and refuses to leave root on the way
		return fmt.Errorf("a symbolic link that leads to nothing in the outputs (%s)", target)
	}
	return nil
}

// localLink reports whether a symbolic link's target is relative and inside the outputs, as far as
// its text shows.
func localLink(name, target string) bool {
	return target != "" && !path.IsAbs(target) && filepath.IsLocal(path.Join(path.Dir(name), target))
}

// listing is a list of outputs as a file system would have them.
type listing struct {
	kinds map[string]kind
	links map[string]string
	steps int // that links have taken
}

type kind byte

const (
	nothing kind = iota
	directory
	regular
	link
)

// FileError is what is wrong with one output.
type FileError struct {
	Name string
	Err  error
}

// Error names the output.
func (e *FileError) Error() string { return fmt.Sprintf("the name %.100q %v", e.Name, e.Err) }

// Unwrap returns what is wrong.
func (e *FileError) Unwrap() error { return e.Err }

// CheckFiles returns a *FileError unless a file system can have all files, and every link leads to
// one of them.
func CheckFiles(files []File) error {
	l := listing{kinds: map[string]kind{".": directory}, links: map[string]string{}}
	for _, f := range files {
		if len(f.Name) > maxName || len(f.Link) > maxName || strings.Count(f.Name, "/") >= maxDepth {
			return &FileError{f.Name, errors.New("is too long, or its link's target is")}
		}
		l.kinds[f.Name] = regular
		if f.Link != "" {
			l.kinds[f.Name], l.links[f.Name] = link, f.Link
		}
	}
	for _, f := range files {
		for dir := path.Dir(f.Name); dir != "."; dir = path.Dir(dir) {
			if k := l.kinds[dir]; k == regular || k == link {
				return &FileError{f.Name, fmt.Errorf("is below %.100q, which is no directory", dir)}
			}
			l.kinds[dir] = directory
		}
	}
	for _, f := range files {
		if f.Link == "" {
			continue
		}
		if err := l.follow(f.Name); err != nil {
			return &FileError{f.Name, fmt.Errorf("is a symbolic link that %w", err)}
		}
	}
	return nil
}

// follow resolves a link as the kernel does.
func (l *listing) follow(name string) error {
	at, rest := path.Dir(name), strings.Split(l.links[name], "/")
	for hops := 1; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		if l.steps++; l.steps > maxLinkSteps || hops > maxHops {
			return errors.New("leads through too many others")
		}
		next := path.Join(at, part) // part may be empty or a dot
		if part == ".." && at == "." {
			return errors.New("leaves the outputs")
		}
		switch l.kinds[next] {
		case nothing:
			return errors.New("leads to nothing in the outputs")
		case regular:
			if len(rest) > 0 {
				return errors.New("leads through a file")
			}
		case directory:
			at = next
		case link:
			hops++
			if path.IsAbs(l.links[next]) {
				return errors.New("leaves the outputs")
			}
			rest = append(strings.Split(l.links[next], "/"), rest...)
		}
	}
	return nil
}
