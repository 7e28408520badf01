// set: sets of positions, such as closures, as bits.

package graph

import (
	"iter"
	"math/bits"
	"slices"
)

// Set is a set of positions in an order. Sets are shared and never change once made. The zero value
// is the empty set.
//
// It has a bit for each position up to its last member: a closure of thousands costs some hundred
// words, and all operations work on words.
type Set struct {
	words []uint64 // the last one is not zero
}

// SetOf returns the set of the given positions.
func SetOf(members ...int) Set {
	if len(members) == 0 {
		return Set{}
	}
	words := make([]uint64, slices.Max(members)/64+1)
	for _, i := range members {
		words[i/64] |= 1 << (i % 64)
	}
	return Set{words}
}

// Range returns the set of the positions from first up to but not including end.
func Range(first, end int) Set {
	if first >= end {
		return Set{}
	}
	words := make([]uint64, (end-1)/64+1)
	for i := first; i < end; i++ {
		words[i/64] |= 1 << (i % 64)
	}
	return Set{words}
}

// Has reports whether i is a member.
func (s Set) Has(i int) bool {
	return i >= 0 && i/64 < len(s.words) && s.words[i/64]&(1<<(i%64)) != 0
}

// Len returns the number of members.
func (s Set) Len() int {
	n := 0
	for _, w := range s.words {
		n += bits.OnesCount64(w)
	}
	return n
}

// Empty reports whether the set has no members.
func (s Set) Empty() bool { return len(s.words) == 0 }

// Last returns the highest member, or -1 if there is none.
func (s Set) Last() int {
	if s.Empty() {
		return -1
	}
	last := len(s.words) - 1
	return last*64 + bits.Len64(s.words[last]) - 1
}

// All returns the members, ascending.
func (s Set) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for at, w := range s.words {
			if !eachBit(at, w, yield) {
				return
			}
		}
	}
}

// Changed returns the positions that are in exactly one of s and t, ascending.
func (s Set) Changed(t Set) iter.Seq[int] {
	long, short := s.words, t.words
	if len(long) < len(short) {
		long, short = short, long
	}
	return func(yield func(int) bool) {
		for at, w := range long {
			if at < len(short) {
				w ^= short[at]
			}
			if !eachBit(at, w, yield) {
				return
			}
		}
	}
}

func eachBit(at int, word uint64, yield func(int) bool) bool {
	for ; word != 0; word &= word - 1 {
		if !yield(at*64 + bits.TrailingZeros64(word)) {
			return false
		}
	}
	return true
}

// Intersection returns the members common to s and t.
func (s Set) Intersection(t Set) Set {
	words := slices.Clone(s.words[:min(len(s.words), len(t.words))])
	for i := range words {
		words[i] &= t.words[i]
	}
	return trimmed(words)
}

// Holds reports whether all members of t are in s.
func (s Set) Holds(t Set) bool {
	if len(t.words) > len(s.words) {
		return false
	}
	for i, w := range t.words {
		if w&^s.words[i] != 0 {
			return false
		}
	}
	return true
}

// Union returns the set of all members of s and the others. If one of them has all members, it is
// returned itself, so closures share memory.
func (s Set) Union(others ...Set) Set {
	largest := s
	for _, t := range others {
		if n, most := len(t.words), len(largest.words); n > most || n == most && t.Holds(largest) {
			largest = t
		}
	}
	words, own := largest.words, false
	for _, t := range append(others, s) {
		if (Set{words}).Holds(t) {
			continue
		}
		if !own {
			words, own = slices.Clone(words), true
		}
		for i, w := range t.words {
			words[i] |= w
		}
	}
	return Set{words}
}

// Direct returns the fewest members of s, ascending, that imply the others: those that no other
// member needs. needs returns all that a member needs, directly or not; all of it is lower than the
// member.
func (s Set) Direct(needs func(int) Set) []int {
	var direct []int
	left := slices.Clone(s.words)
	for at := len(left) - 1; at >= 0; {
		if left[at] == 0 {
			at--
			continue
		}
		i := at*64 + bits.Len64(left[at]) - 1
		direct = append(direct, i)
		left[at] &^= 1 << (i % 64)
		for k, w := range needs(i).words {
			left[k] &^= w
		}
	}
	slices.Reverse(direct)
	return direct
}

func trimmed(words []uint64) Set {
	for len(words) > 0 && words[len(words)-1] == 0 {
		words = words[:len(words)-1]
	}
	return Set{words}
}
