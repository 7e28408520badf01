// own_points: the mount points that a RUN needs inside what it mounts of the tree. The tree that
// a Dockerfile was written for has them; a step sees only a part of it, and an engine can make
// nothing in a mount that is read-only.

package plan

import (
	"io/fs"
	"path"
	"strings"

	"buildsys/internal/dockerfile"
)

// point makes a mount point: a directory, or an empty file where a file is mounted. Whatever the
// tree has there is not shown, because the mount hides it.
func (v *view) point(p dockerfile.Point) {
	name, ok := v.resolve(p.Name)
	if !ok {
		return // not in the context
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, file := v.files[dir]; file {
			v.own.m.lack("%sthe recipe mounts something at %s, and %s is a file", line(ownName, p.Line),
				p.Name, dir)
			return
		}
	}
	_, shown := v.files[name]
	switch {
	case shown:
	case v.isFile(p.Source) || p.Source == "" && v.isFile(name):
		v.add(File{Name: name, Mode: 0o644})
	default:
		v.made[name] = true
	}
}

// isFile reports whether the step or the tree has a regular file of a name; "" is none.
func (v *view) isFile(name string) bool {
	if name == "" {
		return false
	}
	if f, shown := v.files[name]; shown && f.Link == "" {
		return true
	}
	info, err := fs.Stat(v.own.m.ws.FS, name)
	return err == nil && info.Mode().IsRegular()
}

// resolve returns where a path leads by the symlinks that the step sees. If ok is false, it leads
// out of the context or in a circle.
func (v *view) resolve(name string) (at string, ok bool) {
	rest := strings.Split(name, "/")
	at = "."
	for hops := 0; len(rest) > 0; {
		next := path.Join(at, rest[0])
		rest = rest[1:]
		link := v.files[next].Link
		if link == "" {
			at = next
			continue
		}
		if hops++; hops > maxHops || path.IsAbs(link) {
			return "", false
		}
		rest = append(strings.Split(path.Join(path.Dir(next), link), "/"), rest...)
		if at = "."; rest[0] == ".." {
			return "", false
		}
	}
	return at, true
}
