// Tests on a real buildkitd: it does all that a Docker engine does, with an SDK that it is given from here.

package buildkit

import (
	"bytes"
	"crypto/rand"
	"strings"
	"testing"
)

func TestBuildkitd(t *testing.T) {
	d := newBuildkitdProcess(t)
	d.start(t)
	e := &engineTest{b: d.dial(t, Options{}), sdk: "buildsys.invalid/test:" + strings.ToLower(rand.Text())}
	e.importBase(t)
	info, err := e.b.Info(t.Context())
	if err != nil || info.Kind != "buildkitd" || !strings.HasPrefix(info.Version, "v0.") || info.Driver == "" || info.CPUs == 0 {
		t.Errorf("Info = %+v, %v", info, err)
	}
	for _, c := range engineCases {
		t.Run(c.name, func(t *testing.T) { c.test(e, t) })
	}
}

// TestSameSDKOnBothEngines: keys hold the SDK's ID, so it must not depend on who keeps the image.
func TestSameSDKOnBothEngines(t *testing.T) {
	docker, err := Dial(t.Context(), Options{Checkout: t.Name()})
	if err != nil {
		t.Skipf("no engine: %v", err)
	}
	defer docker.Close()
	e := &engineTest{b: docker, sdk: "buildsys.invalid/test:" + strings.ToLower(rand.Text())}
	tar := baseTar(t)
	must(t, docker.ImportImage(t.Context(), e.sdk, bytes.NewReader(tar), nil, nil))
	defer e.removeBase(t)
	l := layout{t.TempDir()}
	must(t, l.put(e.sdk, bytes.NewReader(tar), nil))
	want, ok, err := docker.HasImage(t.Context(), e.sdk)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	// The daemon is not asked: this needs none.
	img, ok, err := (&buildkitd{layout: l}).image(t.Context(), nil, e.sdk)
	if err != nil || !ok || img.id != want {
		t.Errorf("%q, %v, %v on a buildkitd, %q on a Docker engine", img.id, ok, err, want)
	}
}
