// variants: builds the images of several variants, with one schedule for what they share.

package build

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"buildsys/internal/errkind"
	"buildsys/internal/plan"
	"buildsys/internal/workspace"
)

// Variants returns the variants that names mean; without names, all of the tree that are for the
// session's architecture. It shows which of them are not.
func (s *Session) Variants(names []string) ([]string, error) {
	ws, err := s.Load()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, text := range names {
		name, err := workspace.ParseTarget(text).As(workspace.VariantKind)
		if err != nil {
			return nil, err
		}
		t := workspace.Target{Kind: workspace.VariantKind, Name: name}
		if _, err := ws.Find(t.String()); err != nil {
			return nil, err
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	if len(names) > 0 {
		return out, nil
	}
	for _, name := range ws.VariantNames() {
		if arches := ws.Variants[name].SupportedArches; len(arches) > 0 &&
			!slices.Contains(arches, s.c.Arch) {
			s.out.Notice(fmt.Sprintf("variant %s is not for %s: its supported-arches are %s", name,
				s.c.Arch, strings.Join(arches, ", ")))
			continue
		}
		out = append(out, name)
	}
	if len(out) == 0 {
		return nil, errkind.Wrap(errkind.Skipped,
			fmt.Errorf("no variant of the tree is for %s", s.c.Arch))
	}
	return out, nil
}

// BuildShared builds the packages that are the same for all the variants, in one run: those that
// neither depend on the variant nor need one that does. Their outputs are put in place when an
// image needs them. What is wrong with a single variant is left for its own build to say.
func (s *Session) BuildShared(ctx context.Context, variants []string) error {
	ws, err := s.Load()
	if err != nil {
		return err
	}
	g := ws.Graph()
	var roots []string
	for _, name := range variants {
		v := ws.Variants[name]
		roots = append(roots, v.BuildRequires...)
		roots = append(roots, v.Requires...)
	}
	same := func(name string) bool {
		return !slices.ContainsFunc(append(g.BuildClosure(name), name), func(below string) bool {
			p := ws.Packages[below]
			return p != nil && p.Sensitive()
		})
	}
	want := Request{Ahead: true}
	for _, name := range workspace.Packages(g.Closure(roots...)) {
		if same(name) {
			want.Packages = append(want.Packages, name)
		}
	}
	if len(want.Packages) == 0 {
		return nil
	}
	s.out.Notice(fmt.Sprintf("first the %d packages that the variants share", len(want.Packages)))
	_, err = s.Build(ctx, want)
	return err
}

// Skipped reports whether an error says only that a variant is not for the architecture.
func Skipped(err error) bool {
	_, skipped := errors.AsType[*plan.SkippedError](err)
	return skipped
}
