// gitcrates_test: crates of repositories that git serves on this machine.

package fetch

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"buildsys/internal/buildtest/need"
	"buildsys/internal/crates"
	"buildsys/internal/network"
	"buildsys/internal/progress"
)

// gitRepo makes a repository of a workspace at git.example.com/team/lib below a directory.
func gitRepo(t *testing.T, format string) (mirror string, at crates.Git) {
	t.Helper()
	need.Program(t, "git")
	for _, name := range []string{"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"} {
		t.Setenv(name, os.DevNull)
	}
	for _, name := range []string{"AUTHOR_NAME", "AUTHOR_EMAIL", "COMMITTER_NAME", "COMMITTER_EMAIL"} {
		t.Setenv("GIT_"+name, "somebody")
	}
	mirror = t.TempDir()
	dir := filepath.Join(mirror, "git.example.com/team/lib.git")
	work := t.TempDir()
	for name, text := range map[string]string{
		"Cargo.toml": "[workspace]\nmembers = [\"one\", \"two\"]\n[workspace.package]\n" +
			"version = \"1.0.0\"\n[workspace.dependencies]\ntwo = { path = \"two\" }\n",
		"one/Cargo.toml": "[package]\nname = \"one\"\nversion.workspace = true\n" +
			"[dependencies]\ntwo.workspace = true\n",
		"one/src/lib.rs": "// $Format:%H$\n",
		".gitattributes": "*.rs text eol=crlf filter=evil export-subst\n",
		"two/Cargo.toml": "[package]\nname = \"two\"\nversion = \"2.0.0\"\n", "two/src/lib.rs": "// two",
	} {
		file := filepath.Join(work, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(work, "two/passwd")); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		out, err := exec.Command("git", append([]string{"-C", work}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run("init", "--quiet", "--object-format="+format)
	// A later commit, so that no branch or tag is at the one that is wanted.
	run("-c", "core.attributesFile=/dev/null", "add", ".")
	run("commit", "--quiet", "-m", "first")
	id := run("rev-parse", "HEAD")
	run("commit", "--quiet", "--allow-empty", "-m", "second")
	run("clone", "--quiet", "--bare", work, dir)
	return mirror, crates.Git{URL: "https://git.example.com/team/lib", Kind: "tag",
		Ref: "v1", Commit: id}
}

// listOf are the crates of that repository.
func listOf(at crates.Git) []crates.GitCrate {
	return []crates.GitCrate{{Name: "one", Version: "1.0.0", From: at},
		{Name: "two", Version: "2.0.0", From: at}}
}

// gitServer serves repositories below a directory, and changes requests before.
func gitServer(t *testing.T, dir string, tls bool, change http.HandlerFunc) *httptest.Server {
	t.Helper()
	h := &cgi.Handler{Stderr: io.Discard, Path: need.Program(t, "git"), Args: []string{"http-backend"},
		Env: []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1"}}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter,
		r *http.Request) {
		if change != nil {
			before := r.URL.Path
			if change(w, r); r.URL.Path == "" {
				r.URL.Path = before
				return
			}
		}
		h.ServeHTTP(w, r)
	}))
	if tls {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return server
}

// gitStore returns a store that fetches from some places.
func gitStore(t *testing.T, from string) (*Store, *[]progress.Event) {
	var events []progress.Event
	var mu sync.Mutex
	return &Store{Crates: t.TempDir(), Proxies: Proxies{Git: from}, tuned: tuning{jobs: 1},
		Report: sinkFunc(func(e progress.Event) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, e)
		})}, &events
}

func fetchGit(t *testing.T, s *Store, at crates.Git) error {
	t.Helper()
	return s.FetchGitCrates(t.Context(), "package/os", "sources/Cargo.lock", listOf(at))
}

func TestFetchGitCrates(t *testing.T) {
	for _, format := range []string{"sha1", "sha256"} {
		mirror, at := gitRepo(t, format)
		s, events := gitStore(t, "file:///nowhere,file://"+mirror)
		for range 2 {
			if err := fetchGit(t, s, at); err != nil {
				t.Fatal(err)
			}
		}
		list := listOf(at)
		text, err := os.ReadFile(filepath.Join(s.GitCratePath(list[0]), "src/lib.rs"))
		if string(text) != "// $Format:%H$\n" || err != nil {
			t.Errorf("%s: %q, %v", format, text, err)
		}
		text, err = os.ReadFile(filepath.Join(s.GitCratePath(list[0]), "Cargo.toml"))
		if !strings.Contains(string(text), `path = "../two"`) || err != nil {
			t.Errorf("%s: %q, %v", format, text, err)
		}
		if _, err := os.Lstat(filepath.Join(s.GitCratePath(list[1]), "passwd")); err == nil {
			t.Error("a link that leads elsewhere is there")
		}
		var told []string
		for _, e := range *events {
			if e.Kind == progress.Warning {
				told = append(told, e.Text)
			}
		}
		if len(told) != 1 || !strings.Contains(told[0], "to nothing: passwd") {
			t.Errorf("warnings %q", told)
		}
	}
}

// TestGitCratesOfTheCache: what is damaged is made again; what can be repaired here is not fetched.
func TestGitCratesOfTheCache(t *testing.T) {
	mirror, at := gitRepo(t, "sha1")
	s, _ := gitStore(t, "file://"+mirror)
	if err := fetchGit(t, s, at); err != nil {
		t.Fatal(err)
	}
	lib := filepath.Join(s.GitCratePath(listOf(at)[1]), "src/lib.rs")
	kept := filepath.Join(s.Crates, "git/commits", at.Commit)
	data, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		from  string
		spoil func() error
		want  string // of the error
	}{
		"a file of a crate": {"off", func() error {
			return os.WriteFile(lib,
				[]byte("// evil"), 0o644)
		}, ""},
		"a missing file": {"off", func() error { return os.Remove(lib) }, ""},
		"the objects": {"file://" + mirror, func() error {
			return os.WriteFile(kept, []byte(strings.Replace(string(data), "// two", "// evi", 1)), 0o644)
		}, ""},
		"the objects, offline": {"off", func() error {
			return os.WriteFile(kept,
				data[:len(data)-9], 0o644)
		},
			`BUILDSYS_GIT_PROXY element "off"`},
	} {
		s.Proxies.Git = "file://" + mirror
		err := errors.Join(fetchGit(t, s, at), c.spoil())
		if err != nil {
			t.Fatal(err)
		}
		s.Proxies.Git = c.from
		err = fetchGit(t, s, at)
		if c.want == "" && err != nil || c.want != "" && (err == nil ||
			!strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
		if text, _ := os.ReadFile(lib); string(text) != "// two" {
			t.Errorf("%s: %q", name, text)
		}
	}
}

// TestGitCratesOverHTTP: mirrors without TLS, servers of the older protocol, and a server that
// sends its users elsewhere. One that asks for a password gets none of the user's.
func TestGitCratesOverHTTP(t *testing.T) {
	mirror, at := gitRepo(t, "sha1")
	t.Setenv("HOME", t.TempDir()) // with the password of a user, and an address that is rewritten
	netrc := "machine 127.0.0.1 login me password secret\n"
	config := "[url \"file:///nowhere/\"]\n\tinsteadOf = http://\n" +
		"[http]\n\textraHeader = Authorization: x\n"
	for name, text := range map[string]string{".netrc": netrc, ".gitconfig": config} {
		if err := os.WriteFile(filepath.Join(os.Getenv("HOME"), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	os.Unsetenv("GIT_CONFIG_GLOBAL")
	attempts := 0
	other := gitServer(t, mirror, false, nil)
	for name, change := range map[string]http.HandlerFunc{
		"plain": nil,
		"old":   func(_ http.ResponseWriter, r *http.Request) { r.Header.Del("Git-Protocol") },
		"moved": func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/info/refs") {
				http.Redirect(w, r, other.URL+r.URL.RequestURI(), http.StatusMovedPermanently)
				r.URL.Path = ""
			}
		},
		"busy": func(w http.ResponseWriter, r *http.Request) {
			if attempts++; attempts < maxAttempts {
				w.WriteHeader(http.StatusServiceUnavailable)
				r.URL.Path = ""
			}
		},
		"with a password": func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "" {
				t.Errorf("the server gets %s", r.Header.Get("Authorization"))
			}
			w.Header().Set("WWW-Authenticate", "Basic realm=x")
			w.WriteHeader(http.StatusUnauthorized)
			r.URL.Path = ""
		},
	} {
		s, _ := gitStore(t, gitServer(t, mirror, false, change).URL)
		s.tuned.sleep = func(context.Context, time.Duration) error { return nil }
		err := fetchGit(t, s, at)
		if locked := name == "with a password"; (err != nil) != locked || locked &&
			!strings.Contains(err.Error(), "could not read Username") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestGitCratesOfTheirServer: over TLS only, where a public address is, or for a tree that is
// trusted.
func TestGitCratesOfTheirServer(t *testing.T) {
	mirror, at := gitRepo(t, "sha1")
	server := gitServer(t, filepath.Join(mirror, "git.example.com"), true, nil)
	authority := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(authority, text, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NO_PROXY", "127.0.0.1,localhost") // of the user, and not for git
	u, _ := url.Parse(server.URL)
	there := server.URL + "/team/lib.git"
	for name, c := range map[string]struct {
		url, authority string
		private        bool
		want           string
	}{
		"trusted": {there, authority, true, ""},
		"not public": {there, authority, false,
			"refused to ask 127.0.0.1: it is not a public"},
		"a name that is not": {"https://localhost:" + u.Port() + "/team/lib.git",
			authority, false, "refused to ask"},
		"an unknown authority": {there, "", true, network.TrustHint},
		"without TLS":          {"http://127.0.0.1:1/team/lib.git", "", true, "over https only"},
		"of SSH":               {"ssh://git@127.0.0.1/team/lib.git", "", true, "over https only"},
		"not there":            {server.URL + "/team/none", authority, true, "not found"},
		"a commit not there":   {there, authority, true, "not our ref"},
		"a server not there": {"https://127.0.0.1:1/team/lib.git", authority, true,
			"connection refused"},
		"a commit of elsewhere": {there, authority, true, "not our ref"},
	} {
		t.Setenv("SSL_CERT_FILE", c.authority)
		s, _ := gitStore(t, "")
		s.Private = c.private
		from := at
		from.URL = c.url
		if strings.Contains(name, "commit") {
			from.Commit = strings.Repeat("0", 39) + "1"
		}
		err := fetchGit(t, s, from)
		if c.want == "" && err != nil || c.want != "" && (err == nil ||
			!strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), "set BUILDSYS_GIT_PROXY to places")) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		left, _ := filepath.Glob(filepath.Join(s.Crates, "git/.new-*"))
		if len(left) > 0 {
			t.Errorf("%s: %q stay", name, left)
		}
	}
}

// TestGitCratesBehindAProxy: what a server says that a tree names, and that only a proxy has seen,
// is not shown.
func TestGitCratesBehindAProxy(t *testing.T) {
	const said = "git: fatal: remote: a secret: The requested URL returned error: 503"
	for name, c := range map[string]struct {
		hidden bool
		said   string
		want   string
		again  bool
	}{
		"shown":  {false, said, said, true},
		"hidden": {true, said, errHidden.Error(), true},
		"absent": {true, "git: fatal: a secret", errHidden.Error(), false},
	} {
		err := gitWay{ctx: t.Context(), hidden: c.hidden}.explain(errors.New(c.said))
		if err.Error() != c.want || transient(err) != c.again {
			t.Errorf("%s: %v, again: %v", name, err, transient(err))
		}
	}
}
