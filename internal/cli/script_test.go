// script_test: runs the stories in testdata/script, in this process and with a fake engine.

package cli

import (
	"archive/tar"
	"archive/zip"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"buildsys/internal/buildtest"
	"buildsys/internal/buildtest/need"
	"buildsys/internal/engine"
	"buildsys/internal/golden"
	"buildsys/internal/kit"
	"buildsys/internal/manifest"
)

// TestMain lets the test binary be the program: a story's "buildsys" starts this binary again.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"buildsys": func() { os.Exit(Main(fakeSystem())) },
	})
}

func TestStories(t *testing.T) {
	dir, err := filepath.Abs("../../testdata/script")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       golden.Update(),
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("PATH", env.Getenv("PATH")+":/usr/sbin:/sbin") // as need.Program
			env.Setenv("BUILDSYS_ARCH", "x86_64")
			env.Setenv("BUILDSYS_VERSION_BUILD", "abcdef12")
			env.Setenv("CALLS", filepath.Join(env.WorkDir, "calls"))
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond != "noskip" {
				return false, fmt.Errorf("unknown condition %q", cond)
			}
			return os.Getenv(need.NoSkip) != "", nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":  exits,
			"unroot": unroot,
			"kit":    makeKit,
			"serve":  serve,
			"secure": serveSecurely,
			"zip":    makeZip,
			"debian": makeDebian,
		},
	})
}

// exits CODE ARGS... runs buildsys and checks its exit status; ! exits is an error.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE ARGS...")
	}
	err := ts.Exec("buildsys", args[1:]...)
	code := "0"
	if err != nil {
		code = strings.TrimPrefix(err.Error(), "exit status ")
	}
	checkDocument(ts, ts.ReadFile("stdout"))
	if code != args[0] {
		ts.Fatalf("buildsys %s exited with %s, want %s\n%s", strings.Join(args[1:], " "), code, args[0],
			ts.ReadFile("stderr"))
	}
}

// checkDocument holds a JSON document that a command has printed against its schema.
func checkDocument(ts *testscript.TestScript, text string) {
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	document, ok := value.(map[string]any)
	if err != nil || !ok || document["format"] == nil {
		return
	}
	kind, _ := document["kind"].(string)
	schema, err := jsonschema.NewCompiler().Compile(
		"../../docs/schemas/documents/" + kind + ".schema.json")
	ts.Check(err)
	ts.Check(schema.Validate(value))
}

// unroot FILE writes FILE to $WORK/unrooted with names relative to $WORK. Two stories use it.
func unroot(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: unroot FILE")
	}
	text := strings.ReplaceAll(ts.ReadFile(args[0]), ts.Getenv("WORK")+"/", "")
	ts.Check(os.WriteFile(filepath.Join(ts.Getenv("WORK"), "unrooted"), []byte(text), 0o644))
}

// serve DIR serves the files of DIR, and writes the URL in the place of http://WEB into the files
// that follow.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: serve DIR FILES...")
	}
	server := httptest.NewServer(http.FileServer(http.Dir(ts.MkAbs(args[0]))))
	ts.Defer(server.Close)
	ts.Setenv("WEB", server.URL)
	for _, file := range args[1:] {
		text := strings.ReplaceAll(ts.ReadFile(file), "http://WEB", server.URL)
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(text), 0o644))
	}
}

// secure DIR serves the files of DIR over TLS at $SECURE, by a certificate that SSL_CERT_FILE has.
// Below /plain/ it leads to a server without.
func serveSecurely(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: secure DIR")
	}
	files := http.FileServer(http.Dir(ts.MkAbs(args[0])))
	plain := httptest.NewServer(files)
	ts.Defer(plain.Close)
	mux := http.NewServeMux()
	mux.Handle("/", files)
	mux.HandleFunc("/plain/", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, plain.URL+strings.TrimPrefix(r.URL.Path, "/plain"), http.StatusFound)
	})
	server := httptest.NewTLSServer(mux)
	ts.Defer(server.Close)
	ts.Setenv("SECURE", server.URL)
	ts.Setenv("SSL_CERT_FILE", ts.MkAbs("authority.pem"))
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	ts.Check(os.WriteFile(ts.MkAbs("authority.pem"), text, 0o644))
}

// zip FILE DIR packs DIR.
func makeZip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: zip FILE DIR")
	}
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close()
	w := zip.NewWriter(f)
	ts.Check(w.AddFS(os.DirFS(ts.MkAbs(args[1]))))
	ts.Check(w.Close())
}

// makeKit DIR NAME VERSION LABEL makes a kit of vendor acme with one RPM in the OCI layout
// DIR/NAME, with a version of the label.
func makeKit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: kit DIR NAME VERSION LABEL")
	}
	label, err := strconv.Atoi(args[3])
	ts.Check(err)
	repo := ts.MkAbs(args[1] + ".repo")
	for name, text := range map[string]string{
		"Packages/" + args[1] + "-lib/bottlerocket-" + args[1] + "-lib-1-1.x86_64.rpm": "RPM",
		"repodata/repomd.xml": "<repomd/>",
	} {
		ts.Check(os.MkdirAll(filepath.Dir(filepath.Join(repo, name)), 0o755))
		ts.Check(os.WriteFile(filepath.Join(repo, name), []byte(text), 0o644))
	}
	_, err = kit.Pack(kit.Repository{Arch: "x86_64", Dir: repo, Content: args[2],
		Made: kit.Made{Dir: filepath.Join(repo, "made")},
		Metadata: kit.Metadata{Name: args[1], Version: args[2], Label: label,
			SDK: manifest.LockedImage{Image: manifest.Image{Name: "acme-sdk", Version: "0.79.0",
				Vendor: "sdks"}}}}, ts.MkAbs(filepath.Join(args[0], args[1])))
	ts.Check(err)
}

// fakeSystem returns the real System with an engine that writes what it built into the file $CALLS.
func fakeSystem() System {
	sys := ThisSystem(nil)
	sys.Unread = os.Getenv("READ_BACK") == ""
	sys.Dial = func(context.Context, engine.Options) (engine.Engine, error) {
		if os.Getenv("NO_ENGINE") != "" {
			return nil, &engine.Error{Host: "unix:///fake.sock", Err: errors.New("no such file")}
		}
		return &fakeEngine{}, nil
	}
	return sys
}

type fakeEngine struct{ buildtest.Fake }

func (*fakeEngine) Await(context.Context, time.Duration) error { return nil }

func (*fakeEngine) Info(context.Context) (engine.Info, error) {
	return engine.Info{CPUs: 2, Driver: os.Getenv("DRIVER")}, nil
}

func (*fakeEngine) HasImage(_ context.Context, ref string) (string, bool, error) {
	return "sha256:" + strings.Repeat("0", 64), os.Getenv("NO_SDK") == "", nil
}

// ImportImage leaves the root file system in $CALLS.rootfs.
func (*fakeEngine) ImportImage(_ context.Context, _ string, rootfs io.Reader) error {
	data, err := io.ReadAll(rootfs)
	if err != nil {
		return err
	}
	return os.WriteFile(os.Getenv("CALLS")+".rootfs", data, 0o644)
}

// LoadImage writes the names of the files in an archive into $CALLS.load.
func (*fakeEngine) LoadImage(_ context.Context, archive io.Reader) error {
	var names []string
	for r := tar.NewReader(archive); ; {
		h, err := r.Next()
		if err == io.EOF {
			return os.WriteFile(os.Getenv("CALLS")+".load", []byte(strings.Join(names, "\n")), 0o644)
		}
		if err != nil {
			return err
		}
		names = append(names, h.Name)
	}
}

// Close writes the builds, in the order in which they started.
func (f *fakeEngine) Close() error {
	calls, err := os.OpenFile(os.Getenv("CALLS"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer calls.Close()
	for _, name := range f.Calls() {
		if _, err := io.WriteString(calls, name+"\n"); err != nil {
			return err
		}
	}
	return nil
}
