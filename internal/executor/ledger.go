// The ledger: what the steps of a plan made, and digests of it for the keys of steps that see many.

package executor

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"buildsys/internal/builddir"
	"buildsys/internal/cache"
	"buildsys/internal/graph"
	"buildsys/internal/plan"
)

// ledger holds what the steps of a plan made, and the digests of package sets that were needed so
// far (see cache/packages.go). It is safe for concurrent use.
//
// Each step is entered once, before the key of any step that sees it is computed: digests are
// remembered by which packages are in a set, not by what they made. If a step comes out differently
// after all, its ledger is cloned (see clone).
type ledger struct {
	*seats
	made    []*outputs
	known   [cache.PackageBuckets]bucketMemo
	readers sync.Pool // of *reader
	kept    sync.Map  // digests of the nodes that keep has written
}

// seats are the positions of steps in the buckets. They follow from the plan alone.
type seats struct {
	members [cache.PackageBuckets][]int // steps, sorted by name
	first   [cache.PackageBuckets + 1]int
	bucket  []uint8 // per step
	bit     []int   // per step: its bit in the masks of all buckets, each of which begins a word
}

// bucketMemo remembers the digests of one bucket, by the set's packages in it as bits.
type bucketMemo struct {
	mu      sync.Mutex
	digests map[string]cache.PackagesDigest
}

// reader has the digests of the set that it read last. The next set is probably similar.
type reader struct {
	set     graph.Set
	masks   []uint64
	digests [cache.PackageBuckets]cache.PackagesDigest
	scratch []byte
}

func newLedger(p plan.Plan) *ledger {
	s := &seats{bucket: make([]uint8, len(p.Steps)), bit: make([]int, len(p.Steps))}
	for i, step := range p.Steps {
		b := cache.PackageBucket(step.Name)
		s.bucket[i] = uint8(b)
		s.members[b] = append(s.members[b], i)
	}
	for b, members := range s.members {
		slices.SortFunc(members, func(x, y int) int {
			return cmp.Or(strings.Compare(p.Steps[x].Name, p.Steps[y].Name), cmp.Compare(x, y))
		})
		for at, i := range members {
			s.bit[i] = s.first[b]*64 + at
		}
		s.first[b+1] = s.first[b] + (len(members)+63)/64
	}
	return s.ledger(make([]*outputs, len(p.Steps)))
}

func (s *seats) ledger(made []*outputs) *ledger {
	l := &ledger{seats: s, made: made}
	l.readers.New = func() any { return &reader{masks: make([]uint64, s.first[cache.PackageBuckets])} }
	return l
}

// clone returns a copy of the ledger without the steps that drop picks, which may be entered anew.
func (l *ledger) clone(drop func(step int) bool) *ledger {
	made := slices.Clone(l.made)
	for i := range made {
		if drop(i) {
			made[i] = nil
		}
	}
	return l.seats.ledger(made)
}

// node returns the node of a set of steps, whose sha256 stands for the set in a key, and the
// digests of its buckets.
func (l *ledger) node(set graph.Set) ([]byte, [cache.PackageBuckets]cache.PackagesDigest) {
	r := l.readers.Get().(*reader)
	defer l.readers.Put(r)
	var changed [cache.PackageBuckets]bool
	for i := range set.Changed(r.set) {
		r.masks[l.bit[i]/64] ^= 1 << (l.bit[i] % 64)
		changed[l.bucket[i]] = true
	}
	r.set = set
	for b, is := range changed {
		if is {
			r.digests[b], r.scratch = l.digest(b, r.masks[l.first[b]:l.first[b+1]], r.scratch)
		}
	}
	return cache.PackagesNode(&r.digests), r.digests
}

// digest returns the digest of the packages of a bucket that are in mask. It works in the memory of
// scratch and returns it.
func (l *ledger) digest(b int, mask []uint64, scratch []byte) (cache.PackagesDigest, []byte) {
	scratch = scratch[:0]
	for _, word := range mask {
		scratch = binary.LittleEndian.AppendUint64(scratch, word)
	}
	known := &l.known[b]
	known.mu.Lock()
	defer known.mu.Unlock()
	if d, ok := known.digests[string(scratch)]; ok {
		return d, scratch
	}
	key := string(scratch)
	d, scratch := cache.DigestBucket(scratch, l.packages(b, func(i int) bool {
		at := l.bit[i] - l.first[b]*64
		return mask[at/64]&(1<<(at%64)) != 0
	}))
	if known.digests == nil {
		known.digests = map[string]cache.PackagesDigest{}
	}
	known.digests[key] = d
	return d, scratch
}

// packages returns what the steps of a bucket that are in a set made, sorted by name.
func (l *ledger) packages(b int, in func(int) bool) iter.Seq[cache.Package] {
	return func(yield func(cache.Package) bool) {
		for _, i := range l.members[b] {
			if in(i) && !yield(l.made[i].pkg) {
				return
			}
		}
	}
}

// all returns what the steps of a set made, sorted by name.
func (l *ledger) all(p plan.Plan, set graph.Set) []cache.Package {
	steps := slices.SortedFunc(set.All(), func(a, b int) int {
		return strings.Compare(p.Steps[a].Name, p.Steps[b].Name)
	})
	packages := make([]cache.Package, len(steps))
	for at, i := range steps {
		packages[at] = l.made[i].pkg
	}
	return packages
}

// source returns the nodes of a set from memory.
func (l *ledger) source(set graph.Set) cache.NodeSource {
	node, digests := l.node(set)
	all := cache.PackagesDigest(sha256.Sum256(node))
	return func(d cache.PackagesDigest) []byte {
		if d == all {
			return node
		}
		if b := slices.Index(digests[:], d); b >= 0 {
			return cache.BucketNode(l.packages(b, set.Has))
		}
		return nil
	}
}

// keep writes the nodes of a set beside the records, for later explanations. It ignores errors: an
// explanation then says less.
func (l *ledger) keep(nodes cache.Nodes, set graph.Set) {
	if set.Empty() {
		return
	}
	put := func(d cache.PackagesDigest, text func() []byte) {
		if _, there := l.kept.LoadOrStore(d, true); !there && nodes.Put(d, text()) != nil {
			l.kept.Delete(d)
		}
	}
	node, digests := l.node(set)
	for b, d := range digests {
		if d != (cache.PackagesDigest{}) {
			put(d, func() []byte { return cache.BucketNode(l.packages(b, set.Has)) })
		}
	}
	put(sha256.Sum256(node), func() []byte { return node })
}

// rpmsOf returns the steps whose RPMs a step sees.
func rpmsOf(s plan.Step) (set graph.Set) {
	for _, c := range s.Solve.Contexts {
		set = set.Union(c.RPMs)
	}
	return set
}

// sweepNodes deletes nodes that no record names any more, from time to time. If that fails, they
// stay until the next time.
func (c *Cache) sweepNodes(now time.Time) {
	if c != nil {
		_ = c.Nodes.Sweep(now, func() []string {
			return append(builddir.Transcripts(c.State), c.transcriptsOfImages()...)
		})
	}
}

// transcriptsOfImages returns those of earlier images, which people may ask about.
func (c *Cache) transcriptsOfImages() (all []string) {
	for _, placed := range builddir.Histories(c.State) {
		if e, ok := c.Store.Peek(placed.Action); ok {
			all = append(all, e.Transcript)
		}
	}
	return all
}

// explain describes the differences between two transcripts of the step. The nodes of the later one
// are in the ledger, or those of both are recorded.
func (w worker) explain(old, new string, sources ...cache.NodeSource) []cache.Change {
	return cache.Explain(old, new, func(d cache.PackagesDigest) []byte {
		for _, source := range append(sources, w.o.Cache.Nodes.Get) {
			if text := source(d); text != nil {
				return text
			}
		}
		return nil
	})
}
