// How long the scheduler itself takes for a large cold build.

package scheduler

import (
	"iter"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

// BenchmarkColdBuild runs many layers of steps. Each step uses everything below its layer and has
// files to fetch.
func BenchmarkColdBuild(b *testing.B) {
	for _, n := range []int{2_500, 5_000, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			steps := layers(n)
			for b.Loop() {
				Simulate(steps, 72)
			}
		})
	}
}

// layers returns n steps in layers of 100; each step comes after three of the layer below.
func layers(n int) []Step {
	rnd := rand.New(rand.NewPCG(1, 1))
	steps := make([]Step, n)
	for i := range steps {
		below := i / 100 * 100
		steps[i] = Step{Cost: time.Duration(1 + rnd.IntN(100)), Files: true, Uses: upTo(below)}
		for k := range min(below, 3) {
			steps[i].After = append(steps[i].After, below-100+rnd.IntN(33)*3+k)
		}
	}
	return steps
}

func upTo(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := 0; i < n && yield(i); i++ {
		}
	}
}
