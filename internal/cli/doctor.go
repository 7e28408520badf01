// doctor: looks at the surroundings of a build, all of them on request and the quick part before every build.

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"buildsys/internal/doctor"
	"buildsys/internal/enginex"
	"buildsys/internal/errkind"
	"buildsys/internal/progress"
	"buildsys/internal/remote"
)

func newDoctorCommand(sys *System, s *settings) *cobra.Command {
	var asJSON, strict bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check the engine, disks, memory, servers and the clock before a build does",
		Long: `Looks at what a build needs: the engine, its version and storage driver and what its directory lies on, free space
and inodes, memory and processors as control groups leave them, the SDK image, lookaside caches, registries, the clock.
Says what is the case and, where something is wrong, what to do.

Exits with 4 when a build cannot succeed; warnings do so only with --strict.
With --json the output is {"format": 1, "status": "ok|warning|failure", "checks": [{"name", "status", "detail", "fix"}...]}.

` + exitStatusHelp,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.resolve(sys)
			if err != nil {
				return err
			}
			report := doctor.Run(cmd.Context(), examine(cmd.Context(), sys, c))
			if err := writeDoctor(sys, report, asJSON); err != nil {
				return err
			}
			if worst := report.Worst(); worst == doctor.Failure || strict && worst == doctor.Warning {
				return reported{errkind.Environmentf("the doctor found something")}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	cmd.Flags().BoolVar(&strict, "strict", false, "fail for warnings too")
	return cmd
}

func writeDoctor(sys *System, report doctor.Report, asJSON bool) error {
	if !asJSON {
		return report.WriteText(sys.Stdout)
	}
	enc := json.NewEncoder(sys.Stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(struct {
		Format int            `json:"format"`
		Status doctor.Status  `json:"status"`
		Checks []doctor.Check `json:"checks"`
	}{1, report.Worst(), report.Checks})
}

// examine asks the engine, without waiting for one, and says what else to look at.
func examine(ctx context.Context, sys *System, c config) doctor.Request {
	r := doctor.Request{Places: c.places(), Jobs: c.jobs, Servers: c.servers()}
	c.engine.Wait = 0
	conn := &connection{sys: sys, c: c}
	r.Engine = doctor.Engine{SDK: c.sdkImage}
	if r.Engine.Err = conn.dial(ctx); r.Engine.Err != nil {
		if e, ok := errors.AsType[*enginex.Error](r.Engine.Err); ok {
			r.Engine.Err, r.Engine.Fix = fmt.Errorf("no %s at %s: %w", e.Kind, e.Host, e.Err), e.Hint
		}
		return r
	}
	defer conn.Close()
	info, err := conn.eng.Info(ctx)
	r.Engine, r.Nodes = engineFacts(info), nodeFacts(info)
	r.Engine.Err, r.Engine.SDK, r.Engine.SDKMay = err, c.sdkImage, len(c.cacheFrom) > 0 && !c.release
	if err == nil {
		if _, r.Engine.SDKErr = conn.sdkDigest(ctx); r.Engine.SDKErr != nil && conn.remoteSDK(ctx) {
			r.Engine.SDK, r.Engine.SDKErr = c.sdkImage+": in a remote cache, and fetched when a step needs it", nil
		}
	}
	return r
}

// remoteSDK says whether a remote cache has the SDK image, from where builds then take it.
func (n *connection) remoteSDK(ctx context.Context) bool {
	if len(n.c.cacheFrom) == 0 || n.openRemote(false) != nil {
		return false
	}
	defer n.remote.Close(ctx, nil)
	_, ok := n.remote.FindSDK(ctx, n.c.sdkImage)
	return ok
}

// Space that a build is expected to need where nothing was recorded: Skiff's RPMs and images take less than one GiB, its sources
// 300 MB, and everything is kept once more in the store.
const (
	checkoutNeed = 2 << 30
	cacheNeed    = 4 << 30
	tempNeed     = 256 << 20
	leastSpace   = 100 << 20
)

// places are where this process writes. A checkout that was built says itself how large its outputs are: as much is needed
// once more, for outputs are made beside the old ones, and in the store.
func (c config) places() []doctor.Place {
	recorded := treeSize(filepath.Join(c.buildDir(), "rpms")) + treeSize(filepath.Join(c.buildDir(), "images"))
	checkout, cache := int64(checkoutNeed), int64(cacheNeed)
	if recorded > 0 {
		checkout, cache = max(recorded, leastSpace), max(2*recorded, leastSpace)
	}
	return []doctor.Place{
		{Name: "checkout", Path: c.buildDir(), Need: checkout, Min: leastSpace},
		{Name: "cache", Path: c.cacheDir, Need: cache, Min: leastSpace},
		{Name: "temporary files", Path: os.TempDir(), Need: tempNeed, Min: 16 << 20},
	}
}

// treeSize adds up the files below a directory; what cannot be read does not count.
func treeSize(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil // it is an estimate
		}
		if info, err := entry.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

// servers are what a build may ask on the network.
func (c config) servers() []doctor.Server {
	var all []doctor.Server
	for _, place := range c.lookaside {
		s := doctor.Server{Name: "lookaside " + place, Fix: "sources that are not in the cache yet cannot be had from it: check the address and the network"}
		if strings.Contains(place, "://") {
			s.URL = strings.TrimSuffix(place, "/") + "/"
		} else {
			s.Probe = func(context.Context) error { return readable(place) }
		}
		all = append(all, s)
	}
	seen := map[string]bool{}
	for _, place := range append(append([]remote.Location{}, c.cacheFrom...), c.cacheTo) {
		if place == (remote.Location{}) || seen[place.String()] {
			continue
		}
		seen[place.String()] = true
		s := doctor.Server{Name: "remote cache " + place.String(), Fix: doctor.HubHint(place.Host)}
		s.Probe = func(ctx context.Context) error { return remote.Probe(ctx, place) }
		if place.Host != "" && !place.Plain {
			s.Fix = strings.TrimPrefix(s.Fix+"; builds go on without it, but start cold", "; ")
		}
		all = append(all, s)
	}
	return all
}

func readable(dir string) error {
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a directory", dir)
	}
	return err
}

// precheck makes the doctor's quick checks when the engine is there and something is going to be built. What cannot succeed is
// refused; the rest is a warning.
func (n *connection) precheck(sink progress.Sink) error {
	var refused []error
	for _, c := range doctor.Fast(doctor.Request{Engine: engineFacts(n.info), Nodes: nodeFacts(n.info), Places: n.c.places(), Jobs: n.c.jobs}).Checks {
		text := fmt.Sprintf("%s: %s; %s", c.Name, c.Detail, c.Fix)
		switch c.Status {
		case doctor.Failure:
			refused = append(refused, errkind.BadEnvironment(errors.New(text)))
		case doctor.Warning:
			sink.Event(progress.Event{Kind: progress.Warning, Text: text})
		}
	}
	return errors.Join(refused...)
}
