// Package bound fails a test whose work takes more than it may: fuzz targets find with it what
// takes all memory, or no end.
package bound

import (
	"runtime"
	"syscall"
	"testing"
	"time"
)

// maxWork is how long the processor may work on one input of a fuzzer, by far: other programs do
// not count.
const maxWork = 20 * time.Second

// Work calls do, and fails the test if do allocates more than memory bytes in all, freed ones too,
// or keeps the processor busy for too long.
func Work(t testing.TB, memory uint64, do func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := busy(t)
	do()
	took := busy(t) - began
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > memory {
		t.Errorf("it allocated %d bytes, more than %d", n, memory)
	}
	if took > maxWork {
		t.Errorf("it kept the processor busy for %v, more than %v", took, maxWork)
	}
}

// busy returns the time that the processor has worked for this process.
func busy(t testing.TB) time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		t.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
