// units: turns the plans of variants into the units of a batch.

package codebuild

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"buildsys/internal/plan"
)

// Units collects what all variants and architectures need, without duplicates.
type Units struct {
	All  []Unit
	seen map[string]int // units by stepKey
}

// Add adds the steps of the plan of one variant's image. cost returns the expected duration of a
// step. A package that is the same as in an earlier variant is not added again.
func (u *Units) Add(variant string, p plan.Plan, cost func(plan.Step) time.Duration) {
	if u.seen == nil {
		u.seen = map[string]int{}
	}
	keys := make([]string, len(p.Steps)) // stepKey of each step
	units := make([]int, len(p.Steps))   // unit of each step; -1 for one that is part of another's
	parts := map[int]Unit{}              // those, with what they wait for themselves
	for i, step := range p.Steps {
		keys[i], units[i] = stepKey(p.Arch, step, keys), -1
		if step.Kind == plan.Modules || step.Kind == plan.KmodKit {
			part := Unit{Cost: cost(step)}
			for _, dep := range step.Waits {
				part.Deps = append(part.Deps, units[dep])
			}
			parts[i] = part
			continue
		}
		if n, ok := u.seen[keys[i]]; ok {
			units[i] = n
			continue
		}
		one := Unit{Name: step.Name, Arch: p.Arch, Variant: variant,
			Image: step.Kind == plan.Variant, Cost: cost(step)}
		for _, dep := range step.Waits {
			if units[dep] >= 0 {
				one.Deps = append(one.Deps, units[dep])
			} else {
				one.Cost += parts[dep].Cost
				one.Deps = append(one.Deps, parts[dep].Deps...)
			}
		}
		units[i] = len(u.All)
		u.seen[keys[i]] = units[i]
		u.All = append(u.All, one)
	}
}

// stepKey identifies a step among those of all variants: a package is the same in two variants if
// its arguments and those of all it needs are. Everything else that determines it comes from the
// tree.
func stepKey(arch string, step plan.Step, keys []string) string {
	var args []string
	for name, value := range step.Solve.Args {
		args = append(args, fmt.Sprintf("%q=%q\n", name, value))
	}
	slices.Sort(args)
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n%s", arch, step.ID, strings.Join(args, ""))
	var needs []string // keys that include those of what they wait for
	for _, dep := range step.Waits {
		needs = append(needs, keys[dep])
	}
	slices.Sort(needs) // two plans may order them differently
	b.WriteString(strings.Join(needs, ""))
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:])
}
