// Limits: what the engine itself holds steps to, while they run.

package buildkit

import (
	"fmt"
	"sync"
	"time"

	"github.com/moby/buildkit/solver/pb"

	"buildsys/internal/engine"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// limits are the limits of a Builder's steps. The frontend leaves out those that an engine does not
// know (Docker 20.10 knows neither), which is said once.
type limits struct {
	engine.Limits
	once sync.Once
}

// limitAttrs returns the settings of the frontend that limit what a step's programs may do. A file
// is bounded where it is made: an engine may read a hole of any size for hours before it sends the
// first byte of it, also when nobody waits for it any more.
func limitAttrs(s plan.Solve, l engine.Limits) map[string]string {
	attrs := map[string]string{}
	if limit := fileLimit(s, l); limit > 0 {
		attrs["ulimit"] = fmt.Sprintf("fsize=%d:%d", limit, limit)
	}
	if l.Cgroup != "" {
		attrs["cgroup-parent"] = l.Cgroup
	}
	return attrs
}

// maxDisk is how large a disk may be that the step of an image makes: nearly all of it is a hole,
// and it is compressed before it is sent.
const maxDisk = 1 << 40

// fileLimit returns the size that no file of a step may exceed, or 0.
func fileLimit(s plan.Solve, l engine.Limits) int64 {
	if disks := s.Target == string(plan.Variant) || s.Target == string(plan.Repack); disks &&
		l.Bytes > 0 {
		return max(l.Bytes, maxDisk)
	}
	return l.Bytes
}

// enforced returns the size that the engine lets no file of a step exceed, or 0.
func (l *limits) enforced(s plan.Solve, a *answers) int64 {
	if a == nil || a.opts.LLBCaps.Supports(pb.CapExecMetaUlimit) != nil {
		return 0
	}
	return fileLimit(s, l.Limits)
}

// tell warns if the engine ignores the control group, which the caller has made for a reason.
func (l *limits) tell(a *answers, report func(progress.Event)) {
	if l.Cgroup == "" || report == nil || a.opts.LLBCaps.Supports(pb.CapExecMetaCgroupParent) == nil {
		return
	}
	l.once.Do(func() {
		report(progress.Event{Time: time.Now(), Kind: progress.Warning,
			Text: fmt.Sprintf("this engine ignores the control group %q (--cgroup-parent), so steps run "+
				"without its limits; Docker 23 and newer know it, and every current buildkitd", l.Cgroup)})
	})
}
