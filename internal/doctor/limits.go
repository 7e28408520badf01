// Limits: the memory and processors that control groups leave to this process, and to an engine in
// the same container.

package doctor

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"buildsys/internal/bytesize"
)

// memoryPerJob is the memory that a step is expected to need: a C++ compiler or a link of a large
// program; a kernel's own link takes less.
const memoryPerJob = 1 << 30

func (r Request) memory() Check {
	c := Check{Name: "memory", Status: OK}
	bytes, limited := r.Engine.Memory, ""
	if bytes == 0 || r.Engine.Local || r.Engine.Err != nil {
		if total := r.memTotal(); total > 0 {
			bytes = total
		}
		if limit, from := r.memoryLimit(); limit > 0 && limit < bytes {
			bytes, limited = limit, fmt.Sprintf(" (limit of the control group, %s)", from)
		}
	}
	if bytes == 0 {
		return Check{Name: c.Name, Status: Skipped, Detail: "the engine does not report it"}
	}
	jobs := r.jobs()
	c.Detail = fmt.Sprintf("%s%s for %s", bytesize.Format(bytes), limited, steps(jobs))
	if need := int64(jobs) * memoryPerJob; bytes < need && r.Engine.Err == nil {
		c.Status = Warning
		c.Fix = fmt.Sprintf("allow 1 GiB for each step: run fewer (--jobs %d), or add memory; a "+
			"step that is killed for lack of memory ends with exit code 137",
			max(1, bytes/memoryPerJob))
	}
	return c
}

func (r Request) cpu() Check {
	c := Check{Name: "processors", Status: OK}
	jobs := r.jobs()
	quota, from := r.cpuQuota()
	switch {
	case quota == 0 && r.Engine.CPUs == 0:
		return Check{Name: c.Name, Status: Skipped,
			Detail: "the engine does not report it: set the number of steps at once with --jobs"}
	case quota == 0 || !r.Engine.Local || r.Engine.CPUs > 0 && quota >= float64(r.Engine.CPUs):
		c.Detail = fmt.Sprintf("%d for %s", r.Engine.CPUs, steps(jobs))
	default:
		c.Detail = fmt.Sprintf("%.1f (quota of the control group, %s) for %s", quota, from, steps(jobs))
		if float64(jobs) > math.Ceil(quota) {
			c.Status = Warning
			c.Fix = fmt.Sprintf("the engine counts %d, so that many steps run at once and only get "+
				"in each other's way: use --jobs %d",
				r.Engine.CPUs, max(1, int(math.Ceil(quota))))
		}
	}
	return c
}

// weight detects a Docker engine all of whose steps together have the weight of one process, on a
// machine where many want to run. That is how control groups v1 work: the processes of the top
// group compete one by one with the engine's group.
func (r Request) weight() (Check, bool) {
	const file, one = "sys/fs/cgroup/cpu/docker/cpu.shares", 1024
	shares, err := strconv.Atoi(r.read(file))
	if err != nil || r.Engine.Err != nil || !r.Engine.Local || r.Engine.Kind != "Docker engine" ||
		r.Engine.CPUs == 0 {
		return Check{}, false
	}
	load, err := strconv.ParseFloat(strings.SplitN(r.read("proc/loadavg"), " ", 2)[0], 64)
	if err != nil || shares > one || load < 2*float64(r.Engine.CPUs) {
		return Check{}, false
	}
	return Check{
		Name: "processor weight", Status: Note,
		Detail: fmt.Sprintf("all steps together have the weight of one process (cpu.shares %d of "+
			"control groups v1), and %.0f want to run on %d processors", shares, load, r.Engine.CPUs),
		Fix: fmt.Sprintf("echo %d >/%s gives them more until the engine restarts; or stop "+
			"what else runs here", 8*one, file),
	}, true
}

func steps(n int) string {
	if n == 1 {
		return "1 step at once"
	}
	return fmt.Sprintf("%d steps at once", n)
}

// memTotal returns the machine's memory in bytes; 0 if it cannot be read.
func (r Request) memTotal() int64 {
	data, _ := os.ReadFile(filepath.Join(r.root(), "proc/meminfo"))
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "MemTotal:" {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n << 10
		}
	}
	return 0
}

// memoryLimit returns the smallest limit of the control groups of this process, and the file that
// has it; 0 for none.
func (r Request) memoryLimit() (limit int64, from string) {
	r.eachGroup("memory", func(version int, dir string) {
		name := "memory.max"
		if version == 1 {
			name = "memory.limit_in_bytes"
		}
		file := filepath.Join(dir, name)
		// "max" and, in version 1, a huge number mean no limit; they are not smaller than the
		// machine's memory.
		n, err := strconv.ParseInt(r.read(file), 10, 64)
		if err == nil && n > 0 && (limit == 0 || n < limit) {
			limit, from = n, "/"+file
		}
	})
	return limit, from
}

// cpuQuota returns the smallest quota of the control groups of this process, in processors; 0 for
// none.
func (r Request) cpuQuota() (quota float64, from string) {
	r.eachGroup("cpu", func(version int, dir string) {
		file := filepath.Join(dir, "cpu.max")
		fields := strings.Fields(r.read(file))
		if version == 1 {
			file = filepath.Join(dir, "cpu.cfs_quota_us")
			fields = []string{r.read(file), r.read(filepath.Join(dir, "cpu.cfs_period_us"))}
		}
		if len(fields) != 2 {
			return
		}
		per, err1 := strconv.ParseFloat(fields[0], 64) // "max" or -1 mean none
		period, err2 := strconv.ParseFloat(fields[1], 64)
		if err1 == nil && err2 == nil && per > 0 && period > 0 && (quota == 0 || per/period < quota) {
			quota, from = per/period, "/"+file
		}
	})
	return quota, from
}

func (r Request) read(file string) string {
	data, _ := os.ReadFile(filepath.Join(r.root(), file))
	return strings.TrimSpace(string(data))
}

// eachGroup visits the control group of this process for a controller and all groups above it,
// relative to the root. In a container the path of its group may not exist: then the mounted tree
// starts at the container's group.
func (r Request) eachGroup(controller string, visit func(version int, dir string)) {
	for line := range strings.Lines(r.read("proc/self/cgroup") + "\n") {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3) // ID:controllers:path
		if len(parts) != 3 {
			continue
		}
		version, top := 2, "sys/fs/cgroup"
		if parts[1] != "" {
			if !slices.Contains(strings.Split(parts[1], ","), controller) {
				continue
			}
			version, top = 1, "sys/fs/cgroup/"+controller
		}
		for path := filepath.Clean("/" + parts[2]); ; path = filepath.Dir(path) {
			visit(version, filepath.Join(top, path))
			if path == "/" {
				break
			}
		}
	}
}
