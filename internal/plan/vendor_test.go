// vendor_test: the steps for Go modules in source groups.

package plan

import (
	"strings"
	"testing"
	"testing/fstest"

	"buildsys/internal/workspace"
)

// withGoModule adds a Go module to the source group of greeter that needs another one.
func withGoModule(t *testing.T) fstest.MapFS {
	t.Helper()
	files := g1(t)
	for name, text := range map[string]string{
		"sources/greeter/go.mod": "module greeter\n\ngo 1.18\n\nrequire (\n\texample.com/a v1.0.0\n" +
			"\texample.com/here v0.0.0\n)\n\nreplace example.com/here => ../other/here\n",
		"sources/greeter/go.sum":          "example.com/a v1.0.0 h1:x=\n",
		"sources/greeter/cmd/main.go":     "package main\n",
		"sources/greeter/testdata/go.mod": "module x\n\nrequire example.com/b v1.0.0\n",
		"sources/greeter/alone/go.mod":    "module alone\n",
		"sources/other/here/go.mod":       "module example.com/here\n",
		"sources/other/here/data.txt":     "embedded\n",
	} {
		files[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	return files
}

func TestVendorStep(t *testing.T) {
	files := withGoModule(t)
	r := ownRequest()
	r.Packages = []string{"greeter"}
	p := mustMake(t, files, r)
	vendor, pkg := step(t, p, "modules/greeter:sources"), step(t, p, "package/greeter")
	var names []string
	for _, f := range vendor.Solve.Contexts["archives"].Files {
		names = append(names, f.Name)
		if f.Name == bundlesFile && string(f.Data) != "0\tgreeter\t.\tgreeter\n" {
			t.Errorf("bundles %q", f.Data)
		}
	}
	const want = "bundles.tsv greeter/alone/go.mod greeter/cmd/main.go greeter/go.mod " +
		"greeter/go.sum other/here/data.txt other/here/go.mod"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("it sees %s\nwant %s", got, want)
	}
	if len(vendor.Sums) != 1 || vendor.Sums[0].Module != "sources/greeter" || !vendor.Fetches() {
		t.Errorf("it fetches for %+v", vendor.Sums)
	}
	if got := sees(p, pkg); !strings.HasSuffix(got, " sources/*:greeter:sources") {
		t.Errorf("greeter sees %s", got)
	}
	if unit := p.Unit(); step(t, unit, vendor.ID).Given || !unit.Own {
		t.Errorf("a unit of cargo takes its modules as given, or is not of an own Dockerfile: %+v", unit)
	}
	ws, err := workspace.LoadFS("/tree", files)
	if err != nil {
		t.Fatal(err)
	}
	sums, err := FirstParty(ws, ws.Packages["greeter"], func(string) {})
	if err != nil || len(sums.Sums) != 1 {
		t.Errorf("to fetch: %+v, %v", sums, err)
	}
	files["sources/greeter/greet.sh"] = &fstest.MapFile{Data: []byte("new"), Mode: 0o644}
	again := step(t, mustMake(t, files, r), vendor.ID)
	if len(again.Solve.Contexts["archives"].Files) != len(names) {
		t.Error("a file that imports nothing is an input")
	}
}

// TestVendorStepIsNotNeeded: what has vendor/ is used as it is, and so is what needs nothing.
func TestVendorStepIsNotNeeded(t *testing.T) {
	for name, edits := range map[string]func(fstest.MapFS){
		"vendor": func(files fstest.MapFS) {
			files["sources/greeter/vendor/modules.txt"] = &fstest.MapFile{Mode: 0o644}
		},
		"no module": func(files fstest.MapFS) { delete(files, "sources/greeter/go.mod") },
		"no require": func(files fstest.MapFS) {
			files["sources/greeter/go.mod"].Data = []byte("module x\n")
		},
	} {
		files, r := withGoModule(t), ownRequest()
		edits(files)
		r.Packages = []string{"greeter"}
		for _, s := range mustMake(t, files, r).Steps {
			if s.Kind == Modules {
				t.Errorf("%s: there is the step %s", name, s.ID)
			}
		}
	}
}

func TestVendorStepRefuses(t *testing.T) {
	for name, c := range map[string]struct{ mod, want string }{
		"a module out of sources": {"module x\nrequire a.b/c v1.0.0\nreplace a.b/c => ../../tools\n",
			"sources/greeter/go.mod replaces a module by ../../tools, which is not in sources/"},
		"an absolute one": {"module x\nrequire a.b/c v1.0.0\nreplace a.b/c => /etc\n",
			"replaces a module by /etc"},
		"what is no go.mod": {"modul x\n", "sources/greeter/go.mod:1: unknown directive: modul"},
	} {
		files, r := withGoModule(t), ownRequest()
		files["sources/greeter/go.mod"].Data = []byte(c.mod)
		r.Packages = []string{"greeter"}
		if _, err := try(t, files, r); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}
