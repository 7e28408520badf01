// mounts: what the mounts of a RUN need of the build context.

package dockerfile

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

func (r *reader) readRun(stage int, s *scope, c *instructions.RunCommand) error {
	known, err := r.visible(s)
	if err != nil {
		return err
	}
	if err := c.Expand(func(word string) (string, error) {
		return r.expand(word, known)
	}); err != nil {
		return err
	}
	at := line(c.Location())
	mounts, err := mountsOf(s, c)
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if m.From != "" {
			if _, ok := r.f.from(m.From, stage); !ok {
				r.addImage(m.From, at)
			}
			continue
		}
		if !ofContext(m) {
			continue
		}
		if p := (Path{clean(m.Source), at}); p.Name == "." {
			r.needs.Trees = append(r.needs.Trees, r.tree(s, c, m.Target, known))
		} else if !slices.Contains(r.needs.Mounts, p) {
			r.needs.Mounts = append(r.needs.Mounts, p)
		}
	}
	r.addPoints(mounts, at)
	return nil
}

// maxMounts bounds the mounts of one RUN, as each is held against all others.
const maxMounts = 1000

// mountsOf returns the mounts of a RUN with their targets absolute and clean. It leaves out secrets
// and agents that have none: their places are the engine's.
func mountsOf(s *scope, c *instructions.RunCommand) ([]*instructions.Mount, error) {
	all := instructions.GetMounts(c)
	if len(all) > maxMounts {
		return nil, fmt.Errorf("a RUN has %d mounts, more than %d", len(all), maxMounts)
	}
	var mounts []*instructions.Mount
	for _, m := range all {
		m := *m
		if m.Target == "" && ofContext(&m) {
			return nil, errors.New("RUN --mount has no target")
		}
		if m.Target == "" && notGiven(&m) {
			continue
		}
		if !path.IsAbs(m.Target) {
			m.Target = path.Join(s.workDir, m.Target)
		}
		m.Target = path.Clean(m.Target)
		mounts = append(mounts, &m)
	}
	return mounts, nil
}

// ofContext reports whether a mount shows a part of the build context.
func ofContext(m *instructions.Mount) bool {
	return m.Type == instructions.MountTypeBind && m.From == ""
}

// notGiven reports whether a mount shows a secret or an agent. Builds are given none, and an engine
// leaves out such a mount.
func notGiven(m *instructions.Mount) bool {
	return m.Type == instructions.MountTypeSecret || m.Type == instructions.MountTypeSSH
}

// addPoints records the mount points that lie in the context: those below a mount of it, unless
// another mount is between them.
func (r *reader) addPoints(mounts []*instructions.Mount, line int) {
	for _, m := range mounts {
		var above *instructions.Mount
		for _, o := range mounts {
			if below(m.Target, o.Target) && (above == nil || below(o.Target, above.Target)) {
				above = o
			}
		}
		if above == nil || !ofContext(above) || notGiven(m) {
			continue
		}
		name := clean(path.Join(clean(above.Source), strings.TrimPrefix(m.Target, above.Target)))
		p := Point{Path: Path{name, line}}
		if ofContext(m) {
			p.Source = clean(m.Source)
		}
		r.needs.Points = append(r.needs.Points, p)
	}
}

// below reports whether a clean absolute path lies in another, and is not the same.
func below(name, dir string) bool {
	return name != dir && (dir == "/" || strings.HasPrefix(name, dir+"/"))
}
