// What figures depend on: the machine, and what else it does.

package buildtest

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Hardware describes this machine: "2 processors (Intel Xeon), Linux 6.1.0".
func Hardware() string {
	model := "unknown processor"
	cpus, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(cpus)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			model = strings.TrimSpace(strings.TrimLeft(name, "\t :"))
			break
		}
	}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	// The part after the version names a build, not a property.
	version, _, _ := strings.Cut(strings.TrimSpace(string(release)), "-")
	return fmt.Sprintf("%d processors (%s), Linux %s", runtime.NumCPU(), model, version)
}

// LoadAverage returns the load average of the last minute.
func LoadAverage() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	load, _, _ := strings.Cut(string(data), " ")
	return load
}

// Quiet is how many processors others may keep busy on a machine that is quiet enough for figures.
const Quiet = 0.1

// Busy returns how many processors all processes of this machine together keep busy, on average
// for a time d.
func Busy(d time.Duration) float64 {
	before := ProcessorTime()
	<-time.After(d)
	return (ProcessorTime() - before) / d.Seconds()
}

// ProcessorTime returns the processor time in seconds of all processes of this machine since it
// started, to a hundredth.
func ProcessorTime() float64 {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(data), "\n")
	var total float64
	// cpu user nice system idle iowait irq softirq steal ...
	for i, field := range strings.Fields(line) {
		ticks, err := strconv.ParseFloat(field, 64)
		if err == nil && i != 4 && i != 5 && i <= 7 {
			total += ticks / 100
		}
	}
	return total
}
