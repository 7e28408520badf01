// The layer cache between two real buildkitds, with a real registry, and everything that can go
// wrong with one. None of that may fail a build.

package buildkit

import (
	"bytes"
	"crypto/rand"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"buildsys/internal/buildtest"
	"buildsys/internal/buildtest/need"
	"buildsys/internal/engine"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

func TestLayerTag(t *testing.T) {
	long := strings.Repeat("x", 200)
	seen := map[string]string{}
	for _, c := range []struct{ name, want string }{
		{"bash x86_64", "package-bash-x86_64"},
		{"libstdc++ x86_64", "package-libstdc__-x86_64-"},
		{"libstdc__ x86_64", "package-libstdc__-x86_64"},
		{long + "a x86_64", "package-" + strings.Repeat("x", 92) + "-"},
		{long + "b x86_64", "package-" + strings.Repeat("x", 92) + "-"},
	} {
		got := layerTag(plan.Solve{Target: "package", Name: c.name})
		if !strings.HasPrefix(got, c.want) || len(got) > 128 || notInTag.MatchString(got) {
			t.Errorf("%.20s…: %s", c.name, got)
		}
		if other, twice := seen[got]; twice {
			t.Errorf("%.20s… and %.20s… are both %s", other, c.name, got)
		}
		seen[got] = c.name
	}
}

// layerTest is a registry, and requests for one package whose recipe has two instructions.
type layerTest struct {
	place engine.LayerPlace
	data  string // where the registry keeps its data
	sdk   string
	nonce string
}

// newLayerTest starts a registry for layers.
func newLayerTest(t *testing.T) *layerTest {
	t.Helper()
	need.Time(t)
	r := buildtest.NewRegistry(t)
	return &layerTest{
		place: engine.LayerPlace{Repository: r.Address + "/skiff/layers", Plain: true}, data: r.Data,
		sdk: testImages + ":" + strings.ToLower(rand.Text()), nonce: rand.Text(),
	}
}

// request returns a build whose first instruction has no inputs, and whose second sees a file of
// the package.
func (l *layerTest) request(text string) plan.Solve {
	return plan.Solve{
		Name: "pkg x86_64", Target: "package", Args: map[string]string{"SDK": l.sdk},
		Dockerfile: []byte("ARG SDK\nFROM ${SDK} AS build\nENV NONCE=" + l.nonce +
			"\nRUN [\"/tool\", \"print\", \"first ran\", \",\", \"write\", \"/first\", \"1\"]\n" +
			"RUN " + mountPackage + "[\"/tool\", \"print\", \"second ran\", \",\", \"write\", " +
			"\"/output/a.rpm\", \"made\"]\n" +
			"FROM scratch AS package\nCOPY --from=build /output/ /\n"),
		Contexts: map[string]plan.Context{"package": {Files: []plan.File{{Name: "pkg.spec",
			Data: []byte(text)}}}},
	}
}

// build builds on an engine and returns what ran and the warnings. The output must be there.
func (l *layerTest) build(t *testing.T, b *Builder, s plan.Solve) (ran, warnings []string) {
	t.Helper()
	out := t.TempDir()
	err := b.Build(t.Context(), s, out, func(e progress.Event) {
		if e.Kind == progress.Warning {
			warnings = append(warnings, e.Text)
		} else if strings.HasSuffix(e.Text, " ran") {
			ran = append(ran, e.Text)
		}
	})
	if err != nil {
		t.Fatalf("%v\nwarnings: %q", err, warnings)
	}
	if got := readTree(t, out); len(got) != 1 || got["a.rpm"] != "-rw-r--r-- made" {
		t.Errorf("outputs %q", got)
	}
	return ran, warnings
}

// daemon returns a buildkitd with an empty cache and the SDK imported.
func (l *layerTest) daemon(t *testing.T, c engine.LayerCache) *Builder {
	t.Helper()
	d := buildtest.NewBuildkitd(t)
	d.Start(t)
	b := dialDaemon(t, d, engine.Options{Layers: c})
	must(t, b.ImportImage(t.Context(), l.sdk, bytes.NewReader(l.base(t))))
	return b
}

// again returns another connection to the same engine, for another run.
func again(t *testing.T, b *Builder, c engine.LayerCache) *Builder {
	t.Helper()
	d := b.engine.(*buildkitd)
	other, err := Dial(t.Context(), engine.Options{BuildKit: b.engine.host(), OCILayout: d.layout.Dir,
		Checkout: t.Name(), Layers: c, Wait: time.Minute})
	must(t, err)
	t.Cleanup(func() { other.Close() })
	return other
}

var baseOnce []byte

func (l *layerTest) base(t *testing.T) []byte {
	if baseOnce == nil {
		baseOnce = buildtest.ToolImage(t)
	}
	return baseOnce
}

func wantRan(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func wantWarning(t *testing.T, got []string, texts ...string) {
	t.Helper()
	if len(got) != 1 {
		t.Errorf("warnings %q, want one", got)
		return
	}
	for _, text := range texts {
		if !strings.Contains(got[0], text) {
			t.Errorf("the warning %q does not say %q", got[0], text)
		}
	}
}

func TestLayerCache(t *testing.T) {
	l := newLayerTest(t)
	one := l.daemon(t, engine.LayerCache{From: []engine.LayerPlace{l.place}, To: l.place})
	ran, warnings := l.build(t, one, l.request("1"))
	wantRan(t, ran, "first ran", "second ran")
	wantWarning(t, warnings, "the layer cache has nothing for pkg x86_64",
		l.place.Repository+":package-pkg-x86_64")

	// Another machine, which has built nothing, gets everything, and the unchanged part of a
	// changed package.
	two := l.daemon(t, engine.LayerCache{From: []engine.LayerPlace{l.place}})
	ran, warnings = l.build(t, two, l.request("1"))
	wantRan(t, ran)
	ran, more := l.build(t, two, l.request("2"))
	wantRan(t, ran, "second ran")
	if warnings = append(warnings, more...); len(warnings) > 0 {
		t.Errorf("warnings %q", warnings)
	}

	// A build that must not reuse results runs.
	fresh := l.request("1")
	fresh.Fresh = true
	ran, _ = l.build(t, two, fresh)
	wantRan(t, ran, "first ran", "second ran")
}

// TestLayersToSilentRegistry checks that a stalled upload is given up, and the outputs are there.
func TestLayersToSilentRegistry(t *testing.T) {
	l := newLayerTest(t)
	b := l.daemon(t, engine.LayerCache{To: engine.LayerPlace{Repository: silentAddress(t) + "/x",
		Plain: true}})
	b.layers.patience = time.Second
	_, warnings := l.build(t, b, l.request("1"))
	if n := len(warnings); n == 0 || !strings.Contains(warnings[n-1], "nothing has moved for 1s") {
		t.Errorf("warnings %q", warnings)
	}
}

// TestLayersToDeadRegistry checks that uploads are given up for the run if no registry answers.
func TestLayersToDeadRegistry(t *testing.T) {
	l := newLayerTest(t)
	b := l.daemon(t, engine.LayerCache{To: engine.LayerPlace{Repository: deadAddress(t) + "/x",
		Plain: true}})
	_, warnings := l.build(t, b, l.request("1"))
	wantWarning(t, warnings, "the layers of pkg x86_64 were not uploaded to", "connection refused",
		"this run uploads no more")
	if _, warnings = l.build(t, b, l.request("2")); len(warnings) > 0 {
		t.Errorf("warned again: %q", warnings)
	}
}

// TestLayersFromBadRegistry checks that layers are made here if they cannot be read or are damaged.
// The second machine's engine is the same throughout: it never built the package before.
func TestLayersFromBadRegistry(t *testing.T) {
	l := newLayerTest(t)
	l.build(t, l.daemon(t, engine.LayerCache{To: l.place}), l.request("1"))
	two := l.daemon(t, engine.LayerCache{})
	from := func(p engine.LayerPlace) *Builder {
		return again(t, two, engine.LayerCache{From: []engine.LayerPlace{p}})
	}

	dead := engine.LayerPlace{Repository: deadAddress(t) + "/x", Plain: true}
	ran, warnings := l.build(t, from(dead), l.request("dead"))
	wantRan(t, ran, "first ran", "second ran")
	wantWarning(t, warnings, "gave nothing for pkg x86_64", "connection refused")

	silent := from(engine.LayerPlace{Repository: silentAddress(t) + "/x", Plain: true})
	silent.layers.patience = time.Second
	_, warnings = l.build(t, silent, l.request("silent"))
	wantWarning(t, warnings, "accepts connections but does not answer")

	// Layers that a manifest names but nobody has, on an engine that has built nothing similar.
	three := l.daemon(t, engine.LayerCache{From: []engine.LayerPlace{l.place}})
	if n := l.damage(t, func(data []byte) bool {
		return bytes.HasPrefix(data,
			[]byte("\x1f\x8b"))
	}); n == 0 {
		t.Fatal("there are no layers to damage")
	}
	ran, warnings = l.build(t, three, l.request("1"))
	wantRan(t, ran, "first ran", "second ran")
	wantWarning(t, warnings, "building without the layer cache from here on")

	if n := l.damage(t, func(data []byte) bool { return bytes.HasPrefix(data, []byte("{")) }); n == 0 {
		t.Fatal("there is no manifest to damage")
	}
	_, warnings = l.build(t, from(l.place), l.request("corrupt"))
	wantWarning(t, warnings, "gave nothing for pkg x86_64")
}

// TestLayersOnDocker: only a Docker engine with the containerd image store, whose driver is
// "overlayfs", can upload layers.
func TestLayersOnDocker(t *testing.T) {
	l := newLayerTest(t)
	b := dialEngine(t, engine.Options{Layers: engine.LayerCache{To: l.place}})
	info, err := b.Info(t.Context())
	must(t, err)
	need.Engine(t, info.Driver != "overlayfs", "one without the containerd image store")
	must(t, b.ImportImage(t.Context(), l.sdk, bytes.NewReader(l.base(t))))
	e := &engineTest{b: b, sdk: l.sdk}
	defer e.removeBase(t)
	ran, warnings := l.build(t, b, l.request("1"))
	wantRan(t, ran, "first ran", "second ran")
	wantWarning(t, warnings,
		"building without the layer cache from here on: this engine cannot upload layers to a registry")
}

// damage overwrites files of the registry.
func (l *layerTest) damage(t *testing.T, which func(data []byte) bool) (n int) {
	t.Helper()
	must(t, filepath.WalkDir(filepath.Join(l.data, "docker/registry/v2/blobs"),
		func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil || !which(data) {
				return err
			}
			n++
			return os.WriteFile(path, []byte("not what it was"), 0o644)
		}))
	return n
}

// deadAddress returns an address at which nothing listens.
func deadAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

// silentAddress returns the address of a server that reads everything and answers nothing.
func silentAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
		}
	}()
	return l.Addr().String()
}

// TestEnginesGetLoginsForNamedRegistriesOnly checks which registries an engine may ask a login for.
func TestEnginesGetLoginsForNamedRegistriesOnly(t *testing.T) {
	u := &layerUse{to: engine.LayerPlace{Repository: "tree.invalid/x", Plain: true},
		from: []engine.LayerPlace{{Repository: "caller.invalid:5000/x", Named: true}}}
	if got := u.hosts(); len(got) != 1 || !got["caller.invalid:5000"] {
		t.Errorf("hosts %v", got)
	}
}
