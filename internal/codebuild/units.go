// Units: from the plans of variants to what a batch is made of.

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

// Units collects what all variants and architectures need, each thing once.
type Units struct {
	All  []Unit
	seen map[string]int // unit by what makes it a different one
}

// Add adds the steps of the plan of one variant's image. cost is what each is expected to take. A
// package that is the same as in an earlier variant is not added again.
func (u *Units) Add(variant string, p plan.Plan, cost func(plan.Step) time.Duration) {
	if u.seen == nil {
		u.seen = map[string]int{}
	}
	keys := make([]string, len(p.Steps)) // what makes each step different from others
	units := make([]int, len(p.Steps))   // unit of each step; -1 for what is a part of its package
	bundled := map[int]time.Duration{}   // cost of steps that are
	for i, step := range p.Steps {
		keys[i], units[i] = stepKey(p.Arch, step, keys), -1
		if step.Kind == plan.Modules {
			bundled[i] = cost(step)
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
				one.Cost += bundled[dep]
			}
		}
		units[i] = len(u.All)
		u.seen[keys[i]] = units[i]
		u.All = append(u.All, one)
	}
}

// stepKey tells steps of different variants apart: a package is the same in both when its arguments
// are and those of all it needs. Everything else that determines it comes from the tree.
func stepKey(arch string, step plan.Step, keys []string) string {
	var args []string
	for name, value := range step.Solve.Args {
		args = append(args, fmt.Sprintf("%q=%q\n", name, value))
	}
	slices.Sort(args)
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n%s", arch, step.ID, strings.Join(args, ""))
	var needs []string // whose keys hold those of what they wait for
	for _, dep := range step.Waits {
		needs = append(needs, keys[dep])
	}
	slices.Sort(needs) // the order of a plan is its own
	b.WriteString(strings.Join(needs, ""))
	sum := sha256.Sum256([]byte(b.String()))
	return hex.EncodeToString(sum[:])
}
