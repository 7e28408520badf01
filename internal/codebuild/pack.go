// pack: small packages are put together into one build, so that the builds still need each other in
// no circle.

package codebuild

import (
	"cmp"
	"slices"
	"time"
)

// pack puts the units of one class together, given by ascending index, which is an order in which
// each follows those it needs. It returns groups that have about the work of target or are one
// larger unit, in an order in which each group follows those it needs.
//
// A unit as large as target, a heavy one, has a group for itself, and the others are sorted into
// stages: by how many heavy ones, at most, are in a row below them. Within a stage the light units
// come in the order in which they could start, and groups are runs of that order. So what waits for
// the same things is together, and no group can need one that comes after it: a stage needs earlier
// stages only, heavy units stand between two stages, and runs of one order need earlier runs.
func pack(units []Unit, members []int, target time.Duration) [][]int {
	s := stages(units, members, target)
	order := slices.Clone(members)
	slices.SortStableFunc(order, func(a, b int) int {
		x, y := s[a], s[b]
		return cmp.Or(cmp.Compare(x.stage, y.stage), compareBool(x.heavy, y.heavy),
			cmp.Compare(x.ready, y.ready), cmp.Compare(a, b))
	})
	var groups [][]int
	var work time.Duration
	for i, u := range order {
		open := i > 0 && !s[u].heavy && !s[order[i-1]].heavy && s[u].stage == s[order[i-1]].stage
		if open && work+units[u].Cost <= target {
			last := len(groups) - 1
			groups[last] = append(groups[last], u)
			work += units[u].Cost
			continue
		}
		groups = append(groups, []int{u})
		work = units[u].Cost
	}
	for _, g := range groups {
		slices.Sort(g)
	}
	return groups
}

// place says where in the order of packing a unit is.
type place struct {
	stage int
	heavy bool          // comes after the light units of its stage
	ready time.Duration // when it could start if there were no limit to what runs at once
}

func stages(units []Unit, members []int, target time.Duration) map[int]place {
	s := make(map[int]place, len(members))
	for _, u := range members {
		p := place{heavy: units[u].Cost >= target}
		for _, dep := range units[u].Deps {
			below, ok := s[dep]
			if !ok {
				continue // of another class, which never needs this one
			}
			stage := below.stage
			if below.heavy && !p.heavy {
				stage++
			}
			p.stage = max(p.stage, stage)
			// Costs are not negative, and of equal times the lower index is first: what is needed always
			// sorts before.
			p.ready = max(p.ready, below.ready+units[dep].Cost)
		}
		s[u] = p
	}
	return s
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}
