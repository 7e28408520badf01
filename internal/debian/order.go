// order: in which order dpkg can install packages.

package debian

import (
	"fmt"
	"slices"
)

// Batches returns packages, which must be complete, in the groups in which dpkg installs them. The
// first has the essential ones and what they need: dpkg itself works only once these are unpacked.
// A package whose Pre-Depends another has comes in a group before that, with all that it needs.
func (s *Set) Batches(packages []*Package) ([][]*Package, error) {
	o := &ordering{Set: s, packages: packages, done: map[*Package]bool{}}
	var first []*Package
	for _, p := range packages {
		if p.Essential && s.archOf(p) == s.arch {
			first = append(first, p)
		}
	}
	batch, err := o.closure(first)
	if err != nil {
		return nil, err
	}
	for {
		o.end(batch)
		if len(o.done) == len(packages) {
			return o.batches, nil
		}
		if batch, err = o.next(); err != nil {
			return nil, err
		}
	}
}

// ordering is packages of which some are in groups.
type ordering struct {
	*Set
	packages []*Package
	done     map[*Package]bool
	batches  [][]*Package
}

func (o *ordering) end(batch []*Package) {
	for _, p := range batch {
		o.done[p] = true
	}
	if len(batch) > 0 {
		o.batches = append(o.batches, batch)
	}
}

// next returns the smallest group that must be installed before others, or else all that is left.
func (o *ordering) next() (best []*Package, err error) {
	var rest []*Package
	for _, p := range o.packages {
		if o.done[p] {
			continue
		}
		rest = append(rest, p)
		pre, err := o.parse(p, "Pre-Depends", p.preDepends)
		if err != nil {
			return nil, err
		}
		for _, c := range pre {
			q, err := o.which(p, c)
			if err != nil {
				return nil, err
			}
			if o.done[q] {
				continue
			}
			group, err := o.closure([]*Package{q})
			if err != nil {
				return nil, err
			}
			if best == nil || len(group) < len(best) {
				best = group
			}
		}
	}
	if best == nil {
		best = rest
	}
	return best, nil
}

// closure returns packages with all that they need and that is in no group yet, sorted by ID.
func (o *ordering) closure(of []*Package) ([]*Package, error) {
	seen := map[*Package]bool{}
	queue := slices.Clone(of)
	var all []*Package
	for len(queue) > 0 {
		p := queue[0]
		queue = queue[1:]
		if seen[p] || o.done[p] {
			continue
		}
		seen[p] = true
		all = append(all, p)
		needs, err := o.needs(p)
		if err != nil {
			return nil, err
		}
		for _, c := range needs {
			q, err := o.which(p, c)
			if err != nil {
				return nil, err
			}
			queue = append(queue, q)
		}
	}
	slices.SortFunc(all, byID)
	return all, nil
}

// which returns the package of the ordering that a clause of p stands for.
func (o *ordering) which(p *Package, c clause) (*Package, error) {
	for _, alternative := range c {
		for _, q := range o.matches(p, alternative) {
			if slices.Contains(o.packages, q) {
				return q, nil
			}
		}
	}
	return nil, fmt.Errorf("%s needs %s, which is not among the packages", p.ID(), c)
}
