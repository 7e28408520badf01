// Layer cache: engines share the layers of steps through a registry. It is BuildKit's own cache,
// which the engine reads and fills while it builds a step. No build depends on it, so any failure
// costs the cache and not the build.

package buildkit

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	bkclient "github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"

	"buildsys/internal/confined"
	"buildsys/internal/engine"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

// layers is the layer cache of a Builder. A part of it that fails is not used again in the run, and
// reported once.
type layers struct {
	engine.LayerCache
	mu           sync.Mutex
	noFrom, noTo bool
	told         map[string]bool
	// patience is how long a transfer may stall; 0 means importSilence and exportSilence.
	patience time.Duration
}

// layerUse is the layer cache as one build uses it.
type layerUse struct {
	of     *layers
	step   string // for people
	from   []engine.LayerPlace
	to     engine.LayerPlace
	tag    string
	report func(progress.Event)
	stop   context.CancelCauseFunc
	open   map[digest.Digest]transfer
}

// A registry that does not answer is given up after this long without any progress. BuildKit itself
// would wait forever.
const (
	importSilence = 30 * time.Second
	exportSilence = 2 * time.Minute
	probeTime     = 10 * time.Second
)

// layerSilence is the cause for ending a build that waited for the layer cache in vain.
type layerSilence struct {
	what  string
	limit time.Duration
}

func (e *layerSilence) Error() string {
	return fmt.Sprintf("%s: nothing has moved for %v", e.what, e.limit)
}

// use returns the layer cache for one build; nil for none. Builds that must not reuse results have
// none.
func (l *layers) use(ctx context.Context, s plan.Solve, report func(progress.Event)) *layerUse {
	if s.Fresh || len(l.From) == 0 && l.To.Repository == "" {
		return nil
	}
	l.mu.Lock()
	u := &layerUse{of: l, step: s.Name, tag: layerTag(s), report: report,
		open: map[digest.Digest]transfer{}}
	if !l.noFrom {
		u.from = l.From
	}
	if !l.noTo {
		u.to = l.To
	}
	l.mu.Unlock()
	u.from = slices.DeleteFunc(slices.Clone(u.from),
		func(p engine.LayerPlace) bool { return u.silent(ctx, p) })
	if len(u.from) == 0 && u.to.Repository == "" {
		return nil
	}
	return u
}

// silent drops a registry that accepts connections but does not answer: a BuildKit that reads a
// manifest from one waits forever, and so does every later build on the same image, so it must not
// even be asked. A registry that this machine cannot reach may still be reachable by the engine.
func (u *layerUse) silent(ctx context.Context, p engine.LayerPlace) bool {
	if !silentRegistry(ctx, p, u.tag, cmp.Or(u.of.patience, probeTime)) {
		return false
	}
	u.of.mu.Lock()
	u.of.noFrom = true
	u.of.mu.Unlock()
	u.tell("silent", fmt.Sprintf("the registry of the layer cache %s accepts connections but does "+
		"not answer; this run takes no more layers from it", p.Repository))
	return true
}

// silentRegistry asks for a manifest, and reports whether the registry accepts the connection but
// does not answer.
func silentRegistry(ctx context.Context, p engine.LayerPlace, tag string,
	limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx,
		&httptrace.ClientTrace{ConnectDone: func(_, _ string,
			err error) {
			connected.Store(connected.Load() || err == nil)
		}})
	scheme := "https"
	if p.Plain {
		scheme = "http"
	}
	host, repository, _ := strings.Cut(p.Repository, "/")
	req, err := http.NewRequestWithContext(ctx, http.MethodHead,
		scheme+"://"+host+"/v2/"+repository+"/manifests/"+tag, nil)
	if err != nil {
		return false // the engine reports what is wrong with it
	}
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment,
		DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err == nil {
		resp.Body.Close()
	}
	return err != nil && connected.Load() && errors.Is(err, context.DeadlineExceeded)
}

var notInTag = regexp.MustCompile(`[^A-Za-z0-9_.-]`)

// layerTag names a step in a registry: "package-bash-x86_64". Names that are not valid in a tag get
// a hash, so that tags stay distinct.
func layerTag(s plan.Solve) string {
	full := s.Target + "-" + strings.ReplaceAll(s.Name, " ", "-")
	tag := notInTag.ReplaceAllString(full, "_")
	if tag != full || len(tag) > 128 { // the limit of the distribution specification
		tag = fmt.Sprintf("%.100s-%x", tag, sha256.Sum256([]byte(full)))[:min(len(tag), 100)+13]
	}
	return tag
}

// addTo adds the layer cache to a build. Mode max keeps the layers of every instruction, not only
// those of the outputs: after a key has changed, the layers before a recipe's last instruction can
// still be used.
func (u *layerUse) addTo(opt *bkclient.SolveOpt) {
	if u == nil {
		return
	}
	entry := func(p engine.LayerPlace, more map[string]string) bkclient.CacheOptionsEntry {
		attrs := map[string]string{"ref": p.Repository + ":" + u.tag}
		if p.Plain {
			attrs["registry.insecure"] = "true"
		}
		for k, v := range more {
			attrs[k] = v
		}
		return bkclient.CacheOptionsEntry{Type: "registry", Attrs: attrs}
	}
	for _, p := range u.from {
		opt.CacheImports = append(opt.CacheImports, entry(p, nil))
	}
	if u.to.Repository != "" {
		opt.CacheExports = []bkclient.CacheOptionsEntry{entry(u.to, map[string]string{
			"mode": "max", "image-manifest": "true", "oci-mediatypes": "true", "ignore-error": "true",
		})}
	}
	opt.Session = append(opt.Session, registryLogins{u.hosts()})
}

// hosts returns the registries that the engine may get credentials for: those that the caller
// named.
func (u *layerUse) hosts() map[string]bool {
	all := map[string]bool{}
	for _, p := range append([]engine.LayerPlace{u.to}, u.from...) {
		if p.Named {
			all[p.Host()] = true
		}
	}
	return all
}

// BuildKit's names for its work on a cache.
const (
	importing = "importing cache manifest from "
	exporting = "exporting cache to "
)

// isLayerWork reports whether a vertex is a transfer of the cache and not part of the build.
func isLayerWork(v *bkclient.Vertex) bool {
	return strings.HasPrefix(v.Name, importing) || strings.HasPrefix(v.Name, exporting)
}

// follow processes a status message: it notices failed transfers, and gives up stalled ones.
func (u *layerUse) follow(st *bkclient.SolveStatus) {
	if u == nil {
		return
	}
	for _, v := range st.Vertexes {
		if !isLayerWork(v) {
			continue
		}
		if v.Error != "" {
			u.failed(v)
		}
		t, known := u.open[v.Digest]
		switch {
		case v.Completed != nil && known:
			t.timer.Stop()
		case v.Completed == nil && v.Started != nil && !known:
			u.open[v.Digest] = u.watch(v.Name)
		}
	}
	for _, s := range st.Statuses {
		if t, ok := u.open[s.Vertex]; ok && t.timer.Stop() { // a timer that has expired is not restarted
			t.timer.Reset(t.limit)
		}
	}
}

// transfer is a running transfer.
type transfer struct {
	timer *time.Timer
	limit time.Duration
}

// watch starts the timer of a transfer.
func (u *layerUse) watch(name string) transfer {
	silence := &layerSilence{what: name, limit: cmp.Or(u.of.patience, importSilence)}
	if strings.HasPrefix(name, exporting) {
		silence = &layerSilence{what: exporting + u.to.Repository,
			limit: cmp.Or(u.of.patience, exportSilence)}
	}
	return transfer{time.AfterFunc(silence.limit, func() { u.stop(silence) }), silence.limit}
}

// begin notes what stops the build, and returns what ends the use. nil uses no layers.
func (u *layerUse) begin(stop context.CancelCauseFunc) (end func()) {
	if u != nil {
		u.stop = stop
	}
	return u.end
}

// end stops the timers.
func (u *layerUse) end() {
	if u == nil {
		return
	}
	for _, t := range u.open {
		t.timer.Stop()
	}
}

// failed reports a failed transfer. A step that was never uploaded looks like a new one; an upload
// that fails will fail for every step.
func (u *layerUse) failed(v *bkclient.Vertex) {
	reason := brief(v.Error)
	if strings.HasPrefix(v.Name, importing) {
		ref := strings.TrimPrefix(v.Name, importing)
		if strings.HasSuffix(v.Error, "not found") {
			u.tell("missing", fmt.Sprintf("the layer cache has nothing for %s (%s); only the first "+
				"such step is reported", u.step, ref))
			return
		}
		u.tell("import", fmt.Sprintf("the layer cache gave nothing for %s: %s (%s); only "+
			"the first such step is reported", u.step, reason, ref))
		return
	}
	u.of.mu.Lock()
	u.of.noTo = true
	u.of.mu.Unlock()
	u.tell("export", fmt.Sprintf("the layers of %s were not uploaded to %s: %s; this run "+
		"uploads no more", u.step, u.to.Repository, reason))
}

// brief returns an engine's error on one line, without its middle if it is long: the end says the
// most.
func brief(text string) string {
	const limit = 300
	text = cleanLine([]byte(strings.Join(strings.Fields(text), " ")))
	if r := []rune(text); len(r) > limit {
		return string(r[:limit/2]) + " … " + string(r[len(r)-limit/2:])
	}
	return text
}

// tell warns once per run for each kind of trouble.
func (u *layerUse) tell(kind, text string) {
	u.of.mu.Lock()
	told := u.of.told[kind]
	if u.of.told == nil {
		u.of.told = map[string]bool{}
	}
	u.of.told[kind] = true
	u.of.mu.Unlock()
	if !told && u.report != nil {
		u.report(progress.Event{Time: time.Now(), Kind: progress.Warning, Text: text})
	}
}

// toBlame returns why a build may have failed because of the layer cache; empty if it did not.
func (u *layerUse) toBlame(err error) string {
	if silence, ok := errors.AsType[*layerSilence](err); ok {
		return silence.Error()
	}
	solve, ok := errors.AsType[*SolveError](err)
	if !ok {
		return ""
	}
	if strings.Contains(errorText(solve.Err), `unknown cache exporter: "registry"`) {
		return "this engine cannot upload layers to a registry; use a " +
			"buildkitd, " +
			"or Docker with the containerd image store"
	}
	switch solve.class {
	// for example, a layer that the registry announced but does not have
	case Unknown, EngineCache, RegistryBusy:
		return cmp.Or(brief(errorText(solve.Err)), string(solve.class))
	}
	return ""
}

// buildLayered builds with the layer cache, and once more without it if the cache is to blame for a
// failure. The engine then ignores layers that it knows from the cache but does not have, because
// it has nowhere to get them from.
func (b *Builder) buildLayered(ctx context.Context, s plan.Solve, img sdkImage, out string,
	report func(progress.Event)) error {
	u := b.layers.use(ctx, s, report)
	err := b.solve(ctx, s, img, out, report, u)
	if u == nil || err == nil || ctx.Err() != nil {
		return err
	}
	why := u.toBlame(err)
	if why == "" {
		return err
	}
	b.layers.mu.Lock()
	b.layers.noFrom, b.layers.noTo = true, true
	b.layers.mu.Unlock()
	u.tell("off", fmt.Sprintf("building without the layer cache from here on: %s", why))
	if e := empty(out); e != nil {
		return errors.Join(err, e)
	}
	return b.solve(ctx, s, img, out, report, nil)
}

// empty removes everything in a directory.
func empty(dir string) error {
	entries, err := confined.List(dir)
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, entry.Name())))
	}
	return err
}
