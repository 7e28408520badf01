// Tests on a real buildkitd: it does everything that a Docker engine does, with an SDK from this
// machine.

package buildkit

import (
	"bytes"
	"crypto/rand"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"buildsys/internal/buildtest"
	"buildsys/internal/engine"
	"buildsys/internal/oci"
)

func TestBuildkitd(t *testing.T) {
	d := buildtest.NewBuildkitd(t)
	d.Start(t)
	e := &engineTest{b: dialDaemon(t, d, engine.Options{Limits: contractLimits}),
		sdk: testImages + ":" + strings.ToLower(rand.Text())}
	e.importBase(t)
	info, err := e.b.Info(t.Context())
	if err != nil || info.Kind != "buildkitd" || !strings.HasPrefix(info.Version, "v0.") ||
		info.Driver == "" || info.CPUs == 0 {
		t.Errorf("Info = %+v, %v", info, err)
	}
	for _, c := range engineCases {
		t.Run(c.name, func(t *testing.T) { c.test(e, t) })
	}
}

// TestSameSDKOnBothEngines checks that the SDK's ID, which is in keys, is the same on both kinds of
// engine.
func TestSameSDKOnBothEngines(t *testing.T) {
	docker := dialEngine(t, engine.Options{})
	e := &engineTest{b: docker, sdk: testImages + ":" + strings.ToLower(rand.Text())}
	tar := buildtest.ToolImage(t)
	must(t, docker.ImportImage(t.Context(), e.sdk, bytes.NewReader(tar)))
	defer e.removeBase(t)
	l := sdkLayout{oci.Layout{Dir: t.TempDir()}}
	must(t, l.put(e.sdk, bytes.NewReader(tar)))
	want, ok, err := docker.HasImage(t.Context(), e.sdk)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	// The daemon is not asked, so none is needed.
	img, ok, err := (&buildkitd{layout: l}).image(t.Context(), nil, e.sdk)
	if err != nil || !ok || img.id != want {
		t.Errorf("%q, %v, %v on a buildkitd, %q on a Docker engine", img.id, ok, err, want)
	}
}

// dialDaemon waits until the test's own daemon answers and returns a Builder on it.
func dialDaemon(t *testing.T, d *buildtest.Daemon, opt engine.Options) *Builder {
	t.Helper()
	opt.Wait, opt.Timeout, opt.Checkout = 60*time.Second, time.Minute, t.Name()
	if opt.BuildKit == "" && opt.Host == "" {
		if opt.BuildKit = d.Host; strings.HasSuffix(d.Host, "/d.sock") {
			opt.Host, opt.BuildKit = d.Host, ""
		}
	}
	if opt.OCILayout == "" {
		opt.OCILayout = filepath.Join(filepath.Dir(d.Log), "layout")
	}
	b, err := Dial(t.Context(), opt)
	if err != nil {
		t.Fatalf("%v\n%s", err, d.Tail())
	}
	t.Cleanup(func() { b.Close() })
	return b
}
