// Package codebuild handles the buildspecs of AWS CodeBuild: it arranges the steps of plans
// (package plan) as a batch of builds, and turns a buildspec into a script that runs its phases as
// the service does. It is pure: it reads, runs and sends nothing.
package codebuild

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Unit is one step to build: a package with the modules bundled for it, or a variant's image.
type Unit struct {
	Name    string // of the package or variant
	Arch    string
	Variant string // variant it is built for
	Image   bool
	Cost    time.Duration // expected
	Deps    []int         // indexes of the units it needs, all lower than its own
}

// Options are the limits of a batch.
type Options struct {
	// MaxNodes is the most builds that a batch may have.
	MaxNodes int
	// NodeWork is the work that makes starting a build worthwhile; smaller packages are combined up
	// to that.
	NodeWork time.Duration
}

// Node is one build of a batch.
type Node struct {
	ID        string // letters, digits and underscores
	Arch      string
	Variant   string
	Image     bool     // builds the image of Variant, not Packages
	Packages  []string // sorted
	DependsOn []string // IDs of earlier nodes, without those that others in it wait for
	Work      time.Duration
}

// Layout puts units into at most o.MaxNodes nodes, ordered such that each follows those it depends
// on. Equal units give equal nodes. If the limit requires it, a node gets more work than
// o.NodeWork.
func Layout(units []Unit, o Options) ([]Node, error) {
	if o.NodeWork <= 0 || o.MaxNodes < 1 {
		return nil, errors.New("MaxNodes and NodeWork must be positive")
	}
	var all time.Duration
	for i, u := range units {
		all += u.Cost
		for _, dep := range u.Deps {
			if dep < 0 || dep >= i {
				return nil, fmt.Errorf("unit %d (%s) needs unit %d, which does not come before it", i,
					u.Name, dep)
			}
		}
	}
	for target := o.NodeWork; ; target += max(target/4, 1) {
		groups := group(units, target)
		if len(groups) <= o.MaxNodes {
			return nodes(units, groups), nil
		}
		if target > all { // no unit is heavy: each class is one node
			return nil, fmt.Errorf("the batch needs at least %d nodes, one for each image and each set of "+
				"packages built alike, but may have only %d", len(groups), o.MaxNodes)
		}
	}
}

// class is a set of packages that one build can build: those of one architecture and variant.
type class struct{ arch, variant string }

// group packs each class by itself, and puts images after all packages. Classes are in the order of
// their first units. A unit that variants share is in the class of the first of them, so classes
// need only earlier ones.
func group(units []Unit, target time.Duration) [][]int {
	var classes []class
	members := map[class][]int{}
	var images [][]int
	for i, u := range units {
		if u.Image {
			images = append(images, []int{i})
			continue
		}
		c := class{u.Arch, u.Variant}
		if members[c] == nil {
			classes = append(classes, c)
		}
		members[c] = append(members[c], i)
	}
	var groups [][]int
	for _, c := range classes {
		groups = append(groups, pack(units, members[c], target)...)
	}
	return mergeIntoImages(units, groups, images, target)
}

// mergeIntoImages leaves a group to the build of an image if it is little work and nothing else
// needs it: the build of an image also builds what is missing. This creates no cycle, because
// nothing needs an image. The result has the remaining groups, then those of the images, each with
// its image first.
func mergeIntoImages(units []Unit, groups, images [][]int, target time.Duration) [][]int {
	all := slices.Concat(groups, images)
	of := make([]int, len(units))
	for n, g := range all {
		for _, u := range g {
			of[u] = n
		}
	}
	users := make([][]int, len(units)) // units that need each one
	for i, u := range units {
		for _, dep := range u.Deps {
			users[dep] = append(users[dep], i)
		}
	}
	// In reverse order, so that what only merged groups need can follow them.
	for n := range slices.Backward(groups) {
		image, only := -1, true
		for _, u := range all[n] {
			for _, user := range users[u] {
				if m := of[user]; m != n {
					only = only && m >= len(groups) && (image < 0 || image == m)
					image = m
				}
			}
		}
		if image < 0 || !only || work(units, all[n])+work(units, all[image]) > target {
			continue
		}
		for _, u := range all[n] {
			of[u] = image
		}
		all[image] = append(all[image], all[n]...)
		all[n] = nil
	}
	return slices.DeleteFunc(all, func(g []int) bool { return len(g) == 0 })
}

func work(units []Unit, group []int) (sum time.Duration) {
	for _, u := range group {
		sum += units[u].Cost
	}
	return sum
}

// nodes names the groups and connects them.
func nodes(units []Unit, groups [][]int) []Node {
	of := make([]int, len(units)) // group of each unit
	for n, g := range groups {
		for _, u := range g {
			of[u] = n
		}
	}
	needs := make([][]int, len(groups)) // direct, ascending
	for n, g := range groups {
		for _, u := range g {
			for _, dep := range units[u].Deps {
				if of[dep] != n {
					needs[n] = append(needs[n], of[dep])
				}
			}
		}
		slices.Sort(needs[n])
		needs[n] = slices.Compact(needs[n])
	}
	out := make([]Node, len(groups))
	ids := names{}
	for n, g := range groups {
		first := units[g[0]]
		out[n] = Node{Arch: first.Arch, Variant: first.Variant, Image: first.Image}
		out[n].Work = work(units, g)
		for _, u := range g {
			if !first.Image { // the build of an image builds what is left to it anyway
				out[n].Packages = append(out[n].Packages, units[u].Name)
			}
		}
		slices.Sort(out[n].Packages)
		out[n].ID = ids.of(out[n])
	}
	for n, direct := range reduce(needs) {
		for _, m := range direct {
			out[n].DependsOn = append(out[n].DependsOn, out[m].ID)
		}
	}
	return out
}

// reduce removes a number from a list if another one in the list leads to it. Lists contain only
// lower numbers.
func reduce(needs [][]int) [][]int {
	reach := make([]map[int]bool, len(needs))
	out := make([][]int, len(needs))
	for n, direct := range needs {
		reach[n] = map[int]bool{}
		// A higher one can lead to a lower one, never the other way round.
		for _, m := range slices.Backward(direct) {
			if reach[n][m] {
				continue
			}
			out[n] = append(out[n], m)
			reach[n][m] = true
			for far := range reach[m] {
				reach[n][far] = true
			}
		}
		slices.Sort(out[n])
	}
	return out
}

// maxID is CodeBuild's limit on the length of an identifier.
const maxID = 128

// names are the identifiers in use.
type names map[string]bool

// of returns a unique identifier for a node, made from what it builds, in the characters that
// CodeBuild allows.
func (ids names) of(n Node) string {
	text := n.Arch + "_"
	switch {
	case n.Image:
		text += "image_" + n.Variant
	case len(n.Packages) == 1:
		text += n.Packages[0]
	default:
		text += n.Packages[0] + "_and_" + strconv.Itoa(len(n.Packages)-1)
	}
	text = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, text)
	id := text[:min(len(text), maxID)]
	for i := 2; ids[id]; i++ {
		suffix := "_" + strconv.Itoa(i)
		id = text[:min(len(text), maxID-len(suffix))] + suffix
	}
	ids[id] = true
	return id
}
