// resolve: which packages others need.

package debian

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Set is what may be installed: of each package and architecture the highest version.
type Set struct {
	arch      string              // that of the machine, which "all" is installed as
	candidate map[string]*Package // by ID
	byName    map[string][]*Package
	providers map[string][]provider
	parsed    map[string][]clause
}

type provider struct {
	p       *Package
	version string // that it provides; "" for none
}

// NewSet returns the packages that a machine of an architecture chooses from. Those of other
// architectures may be among them.
func NewSet(arch string, packages []*Package) (*Set, error) {
	s := &Set{arch: arch, candidate: map[string]*Package{}, byName: map[string][]*Package{},
		providers: map[string][]provider{}, parsed: map[string][]clause{}}
	for _, p := range packages {
		id := p.Name + ":" + s.archOf(p)
		if had := s.candidate[id]; had == nil || Compare(p.Version, had.Version) > 0 {
			s.candidate[id] = p
		}
	}
	ids := make([]string, 0, len(s.candidate))
	for id := range s.candidate {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		p := s.candidate[id]
		s.byName[p.Name] = append(s.byName[p.Name], p)
		if p.provides == "" {
			continue
		}
		provides, err := parseClauses(p.provides)
		if err != nil {
			return nil, fmt.Errorf("what %s provides: %w", p.Name, err)
		}
		for _, c := range provides {
			s.providers[c[0].name] = append(s.providers[c[0].name], provider{p, c[0].version})
		}
	}
	return s, nil
}

// archOf returns the architecture that a package is installed as.
func (s *Set) archOf(p *Package) string {
	if p.Arch == "all" {
		return s.arch
	}
	return p.Arch
}

// resolution is a set of packages that grows.
type resolution struct {
	*Set
	chosen map[string]*Package // by ID
	queue  []*Package          // of which it is not yet known what they need
}

// Resolve returns the packages that are installed for names, in two rounds like debootstrap and its
// kin: first the essential ones, those with priority required and base; then names, which may end
// in ":ARCH". Nothing that is only recommended is installed. The result is sorted by ID.
func (s *Set) Resolve(base, names []string) ([]*Package, error) {
	r := &resolution{Set: s, chosen: map[string]*Package{}}
	for _, p := range s.sorted() {
		if s.archOf(p) == s.arch && (p.Essential || p.Priority == "required") {
			r.choose(p)
		}
	}
	for _, round := range [][]string{base, names} {
		for _, name := range round {
			p := s.candidate[name]
			if !strings.Contains(name, ":") {
				p = s.candidate[name+":"+s.arch]
			}
			if p == nil {
				return nil, fmt.Errorf("there is no package %s for %s", name, s.arch)
			}
			r.choose(p)
		}
		if err := r.complete(); err != nil {
			return nil, err
		}
	}
	all := make([]*Package, 0, len(r.chosen))
	for _, p := range r.chosen {
		all = append(all, p)
	}
	slices.SortFunc(all, byID)
	return all, r.check(all)
}

func byID(a, b *Package) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Arch, b.Arch))
}

func (s *Set) sorted() []*Package {
	all := make([]*Package, 0, len(s.candidate))
	for _, p := range s.candidate {
		all = append(all, p)
	}
	slices.SortFunc(all, byID)
	return all
}

func (r *resolution) choose(p *Package) {
	if r.chosen[p.ID()] == nil {
		r.chosen[p.ID()] = p
		r.queue = append(r.queue, p)
	}
}

// maxChosen bounds what is installed, as each is compared with all others.
const maxChosen = 20_000

// complete adds what the chosen packages need, in the order in which they were chosen.
func (r *resolution) complete() error {
	for len(r.queue) > 0 {
		if len(r.chosen) > maxChosen {
			return fmt.Errorf("there are more than %d", maxChosen)
		}
		p := r.queue[0]
		r.queue = r.queue[1:]
		needs, err := r.needs(p)
		if err != nil {
			return err
		}
		for _, c := range needs {
			if err := r.satisfy(p, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// needs returns what must be installed with a package.
func (s *Set) needs(p *Package) ([]clause, error) {
	pre, err := s.parse(p, "Pre-Depends", p.preDepends)
	if err != nil {
		return nil, err
	}
	rest, err := s.parse(p, "Depends", p.depends)
	return slices.Concat(pre, rest), err
}

// parse reads a field of a package, once.
func (s *Set) parse(p *Package, name, field string) ([]clause, error) {
	if known, ok := s.parsed[field]; ok {
		return known, nil
	}
	all, err := parseClauses(field)
	if err != nil {
		return nil, fmt.Errorf("%s of %s: %w", name, p.Name, err)
	}
	s.parsed[field] = all
	return all, nil
}

// satisfy adds a package for a clause, unless one is there: the first one of the first alternative
// that can be installed.
func (r *resolution) satisfy(p *Package, c clause) error {
	for _, alternative := range c {
		for _, q := range r.matches(p, alternative) {
			if r.chosen[q.ID()] != nil {
				return nil
			}
		}
	}
	for _, alternative := range c {
		for _, q := range r.matches(p, alternative) {
			if r.against(q) == nil {
				r.choose(q)
				return nil
			}
		}
	}
	return fmt.Errorf("%s %s needs %s, which cannot be installed", p.ID(), p.Version, c)
}

// matches returns the packages that a relation of p names, the best first: the package of that name
// before those that provide it, its architecture before others, and a higher priority before a
// lower.
func (s *Set) matches(p *Package, r relation) (all []*Package) {
	arch := s.archOf(p)
	for _, q := range s.byName[r.name] {
		if r.allows(q.Version) && s.archAllows(arch, r, q) {
			all = append(all, q)
		}
	}
	var provided []*Package
	for _, by := range s.providers[r.name] {
		if (r.op == "" || by.version != "" && r.allows(by.version)) && s.archAllows(arch, r, by.p) {
			provided = append(provided, by.p)
		}
	}
	better := func(a, b *Package) int {
		return cmp.Or(s.other(arch, a)-s.other(arch, b), rank(a.Priority)-rank(b.Priority))
	}
	slices.SortStableFunc(all, better)
	slices.SortStableFunc(provided, better)
	return append(all, provided...)
}

// other returns 1 for a package of another architecture, and otherwise 0.
func (s *Set) other(arch string, p *Package) int {
	if s.archOf(p) == arch {
		return 0
	}
	return 1
}

func rank(priority string) int {
	return slices.Index([]string{"required", "important", "standard", "optional", "extra", priority},
		priority)
}

// archAllows reports whether a package is of an architecture that counts for a relation of a
// package of another.
func (s *Set) archAllows(arch string, r relation, q *Package) bool {
	of := s.archOf(q)
	switch r.arch {
	case "":
		return of == arch || q.MultiArch == "foreign"
	case "any":
		return of == arch || q.MultiArch == "allowed"
	}
	return of == r.arch
}

// against returns a chosen package that cannot be installed together with q.
func (r *resolution) against(q *Package) *Package {
	for _, p := range r.chosen {
		if r.excludes(p, q) || r.excludes(q, p) {
			return p
		}
	}
	return nil
}

// excludes reports whether p conflicts with q, breaks it, or is the same for an architecture that
// cannot be installed beside it.
func (s *Set) excludes(p, q *Package) bool {
	if p.Name == q.Name {
		return p != q && (p.MultiArch != "same" || q.MultiArch != "same" || p.Version != q.Version)
	}
	for name, field := range map[string]string{"Conflicts": p.conflicts, "Breaks": p.breaks} {
		if field == "" {
			continue
		}
		all, err := s.parse(p, name, field)
		if err != nil {
			return true // check says so
		}
		for _, c := range all {
			if slices.ContainsFunc(c, func(r relation) bool { return s.is(q, r) }) {
				return true
			}
		}
	}
	return false
}

// is reports whether a package is one that a relation names, or provides it.
func (s *Set) is(q *Package, r relation) bool {
	if r.arch != "" && r.arch != "any" && r.arch != s.archOf(q) {
		return false
	}
	if q.Name == r.name {
		return r.allows(q.Version)
	}
	return slices.ContainsFunc(s.providers[r.name], func(by provider) bool {
		return by.p == q && (r.op == "" || by.version != "" && r.allows(by.version))
	})
}

// check returns an error if two packages cannot be installed together.
func (r *resolution) check(all []*Package) error {
	for i, p := range all {
		for _, field := range []string{p.conflicts, p.breaks} {
			if _, err := r.parse(p, "Conflicts or Breaks", field); err != nil {
				return err
			}
		}
		for _, q := range all[i+1:] {
			if r.excludes(p, q) || r.excludes(q, p) {
				return fmt.Errorf("%s %s and %s %s cannot be installed together", p.ID(), p.Version,
					q.ID(), q.Version)
			}
		}
	}
	return nil
}
