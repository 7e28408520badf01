// pack: combines small packages into builds without cycles between the builds.

package codebuild

import (
	"cmp"
	"slices"
	"time"
)

// pack combines the units of one class, given by ascending index, an order in which each follows
// those it needs. It returns groups with about as much work as target or one larger unit, ordered
// such that each group follows those it needs.
//
// A unit as large as target, a heavy one, has a group of its own. The others are sorted into
// stages, by the largest number of heavy ones in a chain below them. Within a stage, light units
// are in the order in which they could start, and groups are runs of that order. So units that wait
// for the same things are together, and no group needs a later one: a stage needs only earlier
// stages, heavy units are between two stages, and runs of an order need only earlier runs.
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

// place is the position of a unit in the order of packing.
type place struct {
	stage int
	heavy bool          // comes after the light units of its stage
	ready time.Duration // when it could start if any number of units could run at once
}

func stages(units []Unit, members []int, target time.Duration) map[int]place {
	s := make(map[int]place, len(members))
	for _, u := range members {
		p := place{heavy: units[u].Cost >= target}
		for _, dep := range units[u].Deps {
			below, ok := s[dep]
			if !ok {
				continue // in another class, which never needs this one
			}
			stage := below.stage
			if below.heavy && !p.heavy {
				stage++
			}
			p.stage = max(p.stage, stage)
			// Costs are not negative, and of equal times the lower index comes first, so needed
			// units always sort before.
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
