// What figures depend on: the machine, and what else it does.

package buildtest

import (
	"fmt"
	"os"
	"runtime"
	"strings"
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
