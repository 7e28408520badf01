package executor_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"buildsys/internal/builddir"
	"buildsys/internal/errkind"
	"buildsys/internal/executor"
	"buildsys/internal/objects"
	"buildsys/internal/plan"
	"buildsys/internal/progress"
)

const objectKey = "ccache:0123456789abcdef0123456789abcdef"

// talk says something to a socket of a build, and returns the answer's first line.
func talk(t *testing.T, s plan.Solve, text string) string {
	serve := s.Sockets["buildsys-objects"]
	switch {
	case serve == nil:
		return "nobody"
	case text == "":
		return ""
	}
	ours, theirs := net.Pipe()
	go serve(theirs)
	defer ours.Close()
	if _, err := io.WriteString(ours, text); err != nil {
		t.Error(err)
	}
	line := make([]byte, 5)
	n, _ := io.ReadFull(ours, line)
	return string(line[:n])
}

func setObject(value string) string {
	return fmt.Sprintf("*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(objectKey), objectKey,
		len(value), value)
}

func getObject() string {
	return fmt.Sprintf("*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", len(objectKey), objectKey)
}

// objectScene is a scene whose packages a and b speak to the socket when they are built.
func objectScene(t *testing.T, says map[string]string) (s *scene, heard map[string]string) {
	s = newCachedScene(t, 1, "a:", "b: a")
	store, err := objects.Open(filepath.Join(s.dir, "objects"))
	if err != nil {
		t.Fatal(err)
	}
	s.opts.Cache.Objects = &objects.Use{Store: store, SDK: "sha256:0", Arch: "x86_64", Domain: "d"}
	for i := range s.plan.Steps {
		s.plan.Steps[i].Solve.Dockerfile = []byte("RUN --mount=type=ssh,id=buildsys-objects true\n")
	}
	heard = map[string]string{}
	s.fake.Hook = func(_ context.Context, solve plan.Solve, _ string) error {
		name, _, _ := strings.Cut(solve.Name, " ")
		heard[name] = talk(t, solve, says[name])
		return nil
	}
	return s, heard
}

// TestObjects: each package has objects of its own, of which the run tells, and keys do not depend
// on them.
func TestObjects(t *testing.T) {
	s, heard := objectScene(t, map[string]string{"a": setObject("x"), "b": getObject()})
	if _, err := executor.Run(t.Context(), s.plan, s.opts); err != nil {
		t.Fatal(err)
	}
	if heard["a"] != "+OK\r\n" || heard["b"] != "$-1\r\n" {
		t.Errorf("heard %q", heard)
	}
	var told []string
	for _, e := range s.rec.Events() {
		if e.Kind == progress.StepObjects {
			told = append(told, e.Step+": "+e.Text)
		}
	}
	want := []string{ // the Fake says hello to every socket, which is refused
		"package/a: 0 of 0 objects known, 0 bytes sent; 1 kept, 1 byte; refused connections: 1",
		"package/b: 0 of 1 objects known, 0 bytes sent; refused connections: 1",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	s.opts.Cache.Objects = nil
	rep, err := executor.Run(t.Context(), s.plan, s.opts)
	if sum := rep.Summary(noLines, noLog); err != nil || sum.Cached != 2 {
		t.Errorf("without objects: %+v, %v", sum, err)
	}
}

func noLines(string) []string { return nil }
func noLog(string) string     { return "" }

// TestObjectDiffers: of a step in which an object was not what the compiler made, nothing is kept.
func TestObjectDiffers(t *testing.T) {
	s, heard := objectScene(t, map[string]string{"a": setObject("x")})
	if _, err := executor.Run(t.Context(), s.plan, s.opts); err != nil {
		t.Fatal(err)
	}
	s.opts.Cache.Objects.Audit = 100
	s.fake.Hook = func(_ context.Context, solve plan.Solve, _ string) error {
		heard["get"], heard["set"] = talk(t, solve, getObject()), talk(t, solve, setObject("y"))
		return nil
	}
	s.edit(t, "a", "Name: a\n# edited\n")
	s.forget()
	before, _ := builddir.ReadState(s.opts.Cache.State, "package/a")
	rep, err := executor.Run(t.Context(), s.plan, s.opts)
	after, _ := builddir.ReadState(s.opts.Cache.State, "package/a")
	if errkind.Of(err) != errkind.Integrity || after.Action != before.Action {
		t.Errorf("%+v, %v, heard %q, record %v, before %v", rep, err, heard, after.Action,
			before.Action)
	}
}

// TestNoObjects: without a package of our recipe there is nothing to serve.
func TestNoObjects(t *testing.T) {
	for name, change := range map[string]func(*scene){
		"off":            func(s *scene) { s.opts.Cache.Objects = nil },
		"own Dockerfile": func(s *scene) { s.plan.Own = true },
		"no mount":       func(s *scene) { s.step("a").Solve.Dockerfile = nil },
		"again":          func(s *scene) { s.step("a").Solve.Fresh = true },
		"an image":       func(s *scene) { s.step("a").Kind = plan.Variant },
	} {
		t.Run(name, func(t *testing.T) {
			s, heard := objectScene(t, map[string]string{"a": getObject(), "b": getObject()})
			change(s)
			_, _ = executor.Run(t.Context(), s.plan, s.opts)
			if heard["a"] != "nobody" {
				t.Errorf("heard %q", heard)
			}
		})
	}
}

// TestReleaseUsesNoObjects: what was built with kept objects counts in other runs, and is built
// again for a release, which trusts nothing.
func TestReleaseUsesNoObjects(t *testing.T) {
	s, _ := objectScene(t, map[string]string{"a": setObject("x"), "b": ""})
	run := func() int {
		t.Helper()
		rep, err := executor.Run(t.Context(), s.plan, s.opts)
		if err != nil {
			t.Fatal(err)
		}
		return rep.Summary(noLines, noLog).Cached
	}
	s.opts.Cache.Trusts = func(string) bool { return false }
	run() // a keeps an object
	s.fake.Hook = func(_ context.Context, solve plan.Solve, _ string) error {
		if strings.HasPrefix(solve.Name, "a ") {
			talk(t, solve, getObject())
		}
		return nil
	}
	s.edit(t, "a", "Name: a\n# edited\n")
	s.forget()
	run() // and is built with it
	if cached := run(); cached != 2 {
		t.Errorf("%d cached in the next run", cached)
	}
	s.opts.Cache.Trusts, s.opts.Cache.Objects = nil, nil
	if cached := run(); cached != 1 { // b
		t.Errorf("%d cached in a release", cached)
	}
	if cached := run(); cached != 2 {
		t.Errorf("%d cached in the next release", cached)
	}
}
