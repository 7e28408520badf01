// modules_test: Go modules from module proxies: real HTTP servers on this machine, and directories.

package fetch

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/mod/sumdb/dirhash"

	"buildsys/internal/progress"
)

// goProxy returns a module proxy, a directory, with the module "example.test/Dep" that has some
// text in it.
func goProxy(t *testing.T, text string) (dir, sums string) {
	t.Helper()
	dir = t.TempDir()
	at := filepath.Join(dir, "example.test/!dep/@v")
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	var data bytes.Buffer
	z := zip.NewWriter(&data)
	w, err := z.Create("example.test/Dep@v1.0.0/dep.go")
	if err == nil {
		_, err = io.WriteString(w, text)
	}
	if err = errors.Join(err, z.Close(), os.WriteFile(filepath.Join(at, "v1.0.0.zip"), data.Bytes(),
		0o644),
		os.WriteFile(filepath.Join(at, "v1.0.0.mod"), []byte("module example.test/Dep\n"),
			0o644)); err != nil {
		t.Fatal(err)
	}
	zipSum, err := dirhash.HashZip(filepath.Join(at, "v1.0.0.zip"), dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	modSum, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser,
		error) {
		return os.Open(filepath.Join(at, "v1.0.0.mod"))
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir, fmt.Sprintf("example.test/Dep v1.0.0 %s\nexample.test/Dep v1.0.0/go.mod %s\n", zipSum,
		modSum)
}

func modulesWorld(t *testing.T, setting string) *world {
	w := newWorld(t)
	w.Modules, w.GoProxy = filepath.Join(t.TempDir(), "modules"), func() string { return setting }
	return w
}

func (w *world) mustFetchSums(sums string) string {
	w.t.Helper()
	dir, err := w.FetchSums(w.t.Context(), "sources/app", []byte(sums))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, ext := range []string{"mod", "zip"} {
		if _, err := os.Stat(filepath.Join(dir, "example.test/!dep/@v/v1.0.0."+ext)); err != nil {
			w.t.Error(err)
		}
	}
	return dir
}

func TestModulesOverHTTP(t *testing.T) {
	good, sums := goProxy(t, "good")
	var asked atomic.Int64
	files := http.FileServer(http.Dir(good))
	has := serve(t, func(rw http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		files.ServeHTTP(rw,
			r)
	})
	lacks := serve(t, http.NotFound)
	w := modulesWorld(t, lacks+","+has+"/,direct")
	dir := w.mustFetchSums(sums)
	if n := asked.Load(); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
	if w.mustFetchSums(sums) != dir || asked.Load() != 2 {
		t.Error("an existing file was requested again, or put elsewhere")
	}
	// Another module with its own go.sum shares the kept files.
	if w.mustFetchSums(sums+"\n") == dir || asked.Load() != 2 {
		t.Error("a kept file was requested again, or two modules share one proxy")
	}
	if got := w.texts(progress.FetchDone); len(got) != 1 ||
		got[0] != "Go modules of sources/app (2 files)" {
		t.Errorf("reported %q", got)
	}
}

// reportTo is a sink.
type reportTo func(progress.Event)

func (f reportTo) Event(e progress.Event) { f(e) }

func TestModulesDamage(t *testing.T) {
	good, sums := goProxy(t, "good")
	w := modulesWorld(t, "file://"+good)
	dir := w.mustFetchSums(sums)
	kept, err := filepath.Glob(filepath.Join(w.Modules, "files", "*.zip"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("%q %v", kept, err)
	}
	// also what is linked from the proxy
	if err := os.WriteFile(kept[0], []byte("damage"), 0o644); err != nil {
		t.Fatal(err)
	}
	var locked error // what another process gets
	w.Report = reportTo(func(e progress.Event) {
		if w.Event(e); e.Kind == progress.Warning {
			part, err := os.Open(kept[0] + ".part")
			if locked = err; err == nil {
				locked = errors.Join(flock(part, syscall.LOCK_EX|syscall.LOCK_NB), part.Close())
			}
		}
	})
	w.mustFetchSums(sums)
	if got := w.texts(progress.Warning); len(got) != 1 || !strings.Contains(got[0],
		"was damaged in the cache") {
		t.Errorf("reported %q", got)
	}
	if !errors.Is(locked, syscall.EWOULDBLOCK) {
		t.Errorf("the damaged file was removed without the lock: %v", locked)
	}
	for _, path := range []string{kept[0], filepath.Join(dir, "example.test/!dep/@v/v1.0.0.zip")} {
		if data, err := os.ReadFile(path); err != nil || string(data) == "damage" {
			t.Errorf("%s is still damaged (%v)", path, err)
		}
	}
}

func TestModulesRefused(t *testing.T) {
	good, sums := goProxy(t, "good")
	evil, _ := goProxy(t, "evil")
	broken := serve(t, func(rw http.ResponseWriter,
		_ *http.Request) {
		rw.WriteHeader(http.StatusForbidden)
	})
	busy := serve(t, func(rw http.ResponseWriter,
		_ *http.Request) {
		rw.WriteHeader(http.StatusBadGateway)
	})
	tests := []struct {
		name, setting string
		bad           bool
		want          []string // empty: no error
	}{
		{"first has it", "file://" + good, false, nil},
		{"second has it", "file:///nowhere,file://" + good, false, nil},
		{"wrong bytes, then right ones", "file://" + evil + ",file://" + good, false, nil},
		{"after an error with |", broken + "|file://" + good, false, nil},
		{"after an error with ,", broken + ",file://" + good, false,
			[]string{"403 Forbidden", "could not be fetched"}},
		{"after retries", busy + ",file://" + good, false, []string{"502 Bad Gateway"}},
		{"off", "off", false, []string{`GOPROXY element "off": it forbids`}},
		{"direct", "file:///nowhere,direct", false, []string{"file:///nowhere: not there",
			`GOPROXY element "direct"`, "set GOPROXY"}},
		{"wrong bytes", "file://" + evil, true, []string{
			"has a wrong sum wherever it exists", "wanted: sum h1:",
			"has the sum h1:", "the go.sum of sources/app"}},
		{"credentials", "http://user:secret@127.0.0.1:1", false,
			[]string{"http://…@127.0.0.1:1"}},
		{"not a URL", "ftp://x", false, []string{"not an http, https or file URL"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := modulesWorld(t, test.setting)
			if len(test.want) == 0 {
				w.mustFetchSums(sums)
				return
			}
			_, err := w.FetchSums(t.Context(), "sources/app", []byte(sums))
			module := new(ModuleError)
			if !errors.As(err, &module) || module.Bad != test.bad {
				t.Fatalf("error %T %v", err, err)
			}
			for _, text := range test.want {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("error lacks %q:\n%v", text, err)
				}
			}
			if strings.Contains(err.Error(), "secret") {
				t.Error("the error contains a password")
			}
			if left, _ := filepath.Glob(filepath.Join(w.Modules, "files", "*.part")); len(left) > 0 {
				t.Errorf("left %q", left)
			}
		})
	}
}

func TestProxies(t *testing.T) {
	for setting, want := range map[string]string{
		"":                     "[]",
		"https://a, https://b": "[{https://a false} {https://b false}]",
		"https://a|direct":     "[{https://a true} {direct false}]",
		",,off,":               "[{off false}]",
	} {
		if got := fmt.Sprint(proxies(setting)); got != want {
			t.Errorf("%q gives %s, want %s", setting, got, want)
		}
	}
}
