// remote_test: results go into a registry or a directory and come out unchanged.

package remote

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	spec "github.com/opencontainers/image-spec/specs-go/v1"

	"buildsys/internal/cache"
	"buildsys/internal/errkind"
	"buildsys/internal/oci"
)

var files = map[string]string{"a.rpm": strings.Repeat("a", 100_000), "b.rpm": "b", "sub/c": ""}

// places runs a test with a registry and with a directory.
func places(t *testing.T, test func(t *testing.T, place Location)) {
	t.Run("registry", func(t *testing.T) { test(t, newFakeRegistry(t).place()) })
	t.Run("directory", func(t *testing.T) {
		test(t,
			Location{Dir: filepath.Join(t.TempDir(), "new")})
	})
}

func TestRoundTrip(t *testing.T) {
	places(t, func(t *testing.T, place Location) {
		r := newResult(t, "bash", files)
		first := newClient(t, place, quick)
		if _, ok := r.lookup(t, first); ok {
			t.Fatal("found before it was pushed")
		}
		r.push(t, first)
		if s := first.Stats(); s.Pushed != 1 || s.Up < 100_000 || s.Hits != 0 {
			t.Errorf("after the upload: %+v", s)
		}
		second := newClient(t, place, quick)
		e, ok := r.lookup(t, second)
		if !ok || e.Content != r.Content || e.Took != r.Took || e.Origin != place.String() {
			t.Fatalf("found %+v, %v, %q", e, ok, second.warnings)
		}
		if s := second.Stats(); s.Down > 4096 {
			t.Errorf("a lookup received %d bytes", s.Down)
		}
		dir := t.TempDir()
		if err := second.Fetch(t.Context(), e, dir); err != nil {
			t.Fatal(err)
		}
		if got, content, err := cache.ScanDir(dir); err != nil || content != r.Content {
			t.Errorf("fetched %+v, %v", got, err)
		}
		if s := second.Stats(); s.Down > 105_000 || s.Down < 100_000 {
			t.Errorf("%d bytes received", s.Down)
		}
		// An existing result is not uploaded again.
		r.push(t, second)
		if s := second.Stats(); s.Pushed != 0 || s.Up != 0 {
			t.Errorf("after another upload: %+v", s)
		}
		for _, c := range []*client{first, second} {
			if len(c.warnings) > 0 {
				t.Errorf("warnings: %q", c.warnings)
			}
		}
	})
}

// Local files with the same content, whatever their names, are not downloaded.
func TestFetchUsesWhatIsHere(t *testing.T) {
	place := newFakeRegistry(t).place()
	r := newResult(t, "bash", files)
	r.push(t, newClient(t, place, quick))
	c := newClient(t, place, quick)
	c.o.Have = r.store.OpenBlob
	e, _ := r.lookup(t, c)
	before := c.Stats().Down
	if err := c.Fetch(t.Context(), e, t.TempDir()); err != nil || c.Stats().Down != before {
		t.Errorf("%v, %d bytes received", err, c.Stats().Down-before)
	}
}

// The strictest registries accept what is pushed: ECR's limits on tags, an image manifest, every
// blob before the manifest.
func TestWhatIsPushed(t *testing.T) {
	f := newFakeRegistry(t)
	r := newResult(t, "bash", files)
	r.push(t, newClient(t, f.place(), quick))
	for tag, data := range f.manifests {
		if !regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`).MatchString(tag) {
			t.Errorf("tag %q", tag)
		}
		var m spec.Manifest
		if err := json.Unmarshal(data, &m); err != nil || m.MediaType != manifestType ||
			m.Config.MediaType != emptyType {
			t.Errorf("%v\n%s", err, data)
		}
		for _, d := range append(m.Layers, m.Config) {
			if _, ok := f.blobs[d.Digest.String()]; !ok {
				t.Errorf("blob %s (%s) is missing", d.Digest, d.MediaType)
			}
		}
	}
	if last := f.requests[len(f.requests)-1]; !strings.HasPrefix(last,
		"PUT /v2/team/cache/manifests/") {
		t.Errorf("the last request is %s", last)
	}
	provenance, err := r.Provenance()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := f.blobs[oci.Describe("", oci.BlobOf(provenance)).Digest.String()]; !ok {
		t.Error("the provenance is missing")
	}
}

// Many machines upload the same result, each with its own log, at the same time.
func TestConcurrentWriters(t *testing.T) {
	places(t, func(t *testing.T, place Location) {
		r := newResult(t, "bash", files)
		var group sync.WaitGroup
		for range 8 {
			c := newClient(t, place, quick)
			group.Go(func() { r.push(t, c) })
		}
		group.Wait()
		c := newClient(t, place, quick)
		e, ok := r.lookup(t, c)
		if err := c.Fetch(t.Context(), e, t.TempDir()); !ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
	})
}

// A poisoned manifest is refused before anything is downloaded, reported once, and replaced by the
// next good result.
func TestPoisonedManifest(t *testing.T) {
	r := newResult(t, "bash", files)
	title := func(m *spec.Manifest,
		name string) {
		m.Layers[len(m.Layers)-1].Annotations[titleNote] = name
	}
	for name, poison := range map[string]func(*spec.Manifest){
		"other step": func(m *spec.Manifest) { m.Annotations[stepNote] = "package/other x86_64" },
		"other action": func(m *spec.Manifest) {
			m.Annotations[actionNote] = strings.Repeat("0",
				64)
		},
		"other transcript": func(m *spec.Manifest) { m.Layers[0].Digest = m.Layers[1].Digest },
		"no transcript":    func(m *spec.Manifest) { m.Layers = m.Layers[1:] },
		"other content": func(m *spec.Manifest) {
			m.Annotations[contentNote] = strings.Repeat("0",
				64)
		},
		"an option":       func(m *spec.Manifest) { title(m, "-rf") },
		"an option below": func(m *spec.Manifest) { title(m, "x/-rf") },
		"outside":         func(m *spec.Manifest) { title(m, "../evil.rpm") },
		"absolute":        func(m *spec.Manifest) { title(m, "/etc/passwd") },
		"control":         func(m *spec.Manifest) { title(m, "a\nb") },
		"no name":         func(m *spec.Manifest) { title(m, "") },
		"a command":       func(m *spec.Manifest) { title(m, "zz;rm -rf $HOME") },
		"hidden":          func(m *spec.Manifest) { title(m, ".zz") },
		"a long name":     func(m *spec.Manifest) { title(m, strings.Repeat("z", 256)) },
		"link to nothing": func(m *spec.Manifest) {
			m.Layers[len(m.Layers)-1].Annotations[linkNote] = "nothing"
		},
		"link outside": func(m *spec.Manifest) {
			m.Layers[len(m.Layers)-1].Annotations[linkNote] = "../../etc/passwd"
		},
		"set-user-ID": func(m *spec.Manifest) {
			m.Layers[len(m.Layers)-1].Annotations[modeNote] = "4755"
		},
		"many files": func(m *spec.Manifest) {
			for n := range 5000 {
				d := m.Layers[len(m.Layers)-1]
				d.Annotations = map[string]string{titleNote: fmt.Sprintf("z%06d", n)}
				m.Layers = append(m.Layers, d)
			}
		},
		"many more files": func(m *spec.Manifest) {
			for n := range 100_000 {
				m.Layers = append(m.Layers, spec.Descriptor{
					MediaType: outputType, Digest: m.Layers[0].Digest, Size: 1,
					Annotations: map[string]string{titleNote: fmt.Sprintf("z%06d", n)},
				})
			}
		},
		"a bomb":   func(m *spec.Manifest) { m.Layers[len(m.Layers)-1].Size = 1 << 50 },
		"negative": func(m *spec.Manifest) { m.Layers[len(m.Layers)-1].Size = -1 },
		"overflow": func(m *spec.Manifest) { m.Layers[0].Size, m.Layers[1].Size = 1<<62, 1<<62 },
		"sha512": func(m *spec.Manifest) {
			m.Layers[len(m.Layers)-1].Digest = digest.Digest("sha512:" + strings.Repeat("0", 128))
		},
		"no outputs": func(m *spec.Manifest) {
			m.Layers = m.Layers[:3]
			m.Annotations[contentNote] = cache.ContentOf(nil).String()
		},
		"an image":       func(m *spec.Manifest) { m.ArtifactType = "" },
		"nothing at all": func(m *spec.Manifest) { *m = spec.Manifest{} },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeRegistry(t)
			r.push(t, newClient(t, f.place(), quick))
			tag := r.Action.String()
			var m spec.Manifest
			if err := json.Unmarshal(f.manifests[tag], &m); err != nil {
				t.Fatal(err)
			}
			poison(&m)
			if name != "other content" {
				consistent(&m)
			}
			f.manifests[tag], _ = json.Marshal(m)
			c := newClient(t, f.place(), quick)
			if e, ok := r.lookup(t, c); ok {
				t.Errorf("accepted: %+v", e)
			}
			if _, ok := r.lookup(t, c); ok {
				t.Error("accepted when asked again")
			}
			c.said(t, "package/bash", "refused", f.place().Host)
			r.push(t, c)
			if e, ok := r.lookup(t, newClient(t, f.place(), quick)); !ok || e.Content != r.Content {
				t.Error("the good result did not replace it")
			}
		})
	}
}

// consistent sets the content ID of a manifest to that of its files, as an attacker would.
func consistent(m *spec.Manifest) {
	var list []cache.File
	for _, d := range m.Layers {
		if b, _ := oci.Blob(d, maxOutputs); d.MediaType == outputType && m.Annotations != nil {
			f := cache.File{Name: d.Annotations[titleNote], Link: d.Annotations[linkNote], Mode: 0o644,
				Size: d.Size, SHA256: b.SHA256}
			if f.Link != "" {
				f = cache.File{Name: f.Name, Link: f.Link}
			}
			list = append(list, f)
		}
	}
	slices.SortFunc(list, func(a, b cache.File) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(m.Layers, func(a, b spec.Descriptor) int {
		return strings.Compare(a.Annotations[titleNote], b.Annotations[titleNote])
	})
	if m.Annotations != nil {
		m.Annotations[contentNote] = cache.ContentOf(list).String()
	}
}

// A blob with other, too many or too few bytes is never delivered.
func TestPoisonedBlob(t *testing.T) {
	r := newResult(t, "bash", files)
	for name, spoil := range map[string]func(data []byte) []byte{
		"other bytes": func(data []byte) []byte {
			data = []byte(string(data))
			data[7] ^= 1
			return data
		},
		"more":  func(data []byte) []byte { return []byte(string(data) + "more") },
		"fewer": func(data []byte) []byte { return data[:len(data)-1] },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeRegistry(t)
			r.push(t, newClient(t, f.place(), quick))
			for _, file := range r.Files {
				if file.Name == "a.rpm" {
					digest := oci.Describe("", cache.Blob{SHA256: file.SHA256, Size: file.Size}).Digest.String()
					data := spoil(f.blobs[digest])
					f.fault = func(w http.ResponseWriter, r *http.Request, _ int) bool {
						if !strings.HasSuffix(r.URL.Path, digest) {
							return false
						}
						w.Header().Set("Transfer-Encoding", "chunked") // without a length that would reveal it
						_, _ = w.Write(data)
						return true
					}
				}
			}
			c := newClient(t, f.place(), quick)
			e, ok := r.lookup(t, c)
			if !ok {
				t.Fatal("not found")
			}
			err := c.Fetch(t.Context(), e, t.TempDir())
			if refused := errkind.Is[*RefusedError](err); refused != (name != "fewer") {
				t.Errorf("%v", err)
			}
			if errkind.Is[*oci.LocalError](err) || !strings.Contains(err.Error(), "a.rpm") {
				t.Errorf("%v", err)
			}
			if _, again := r.lookup(t, c); again == errkind.Is[*RefusedError](err) {
				t.Errorf("found again: %v", again)
			}
		})
	}
}

// TestStrangeDirectory: anything in a directory that is not a file is refused at once: a pipe, an
// endless device, a link.
func TestStrangeDirectory(t *testing.T) {
	r := newResult(t, "bash", files)
	for name, put := range map[string]func(path string) error{
		"pipe":      func(path string) error { return syscall.Mkfifo(path, 0o644) },
		"device":    func(path string) error { return os.Symlink("/dev/zero", path) },
		"directory": func(path string) error { return os.Mkdir(path, 0o755) },
		"elsewhere": func(path string) error { return os.Symlink("/etc/passwd", path) },
	} {
		for what, pattern := range map[string]string{"manifest": "manifests/*",
			"blob": "blobs/sha256/*"} {
			t.Run(name+" "+what, func(t *testing.T) {
				place := Location{Dir: t.TempDir()}
				r.push(t, newClient(t, place, quick))
				found, err := filepath.Glob(filepath.Join(place.Dir, pattern))
				if err != nil || len(found) == 0 {
					t.Fatal(found, err)
				}
				for _, path := range found {
					if err := errors.Join(os.Remove(path), put(path)); err != nil {
						t.Fatal(err)
					}
				}
				c := newClient(t, place, quick)
				e, ok := r.lookup(t, c)
				if what == "manifest" {
					if ok {
						t.Errorf("accepted %+v", e)
					}
					c.said(t, place.Dir, "refused")
				} else if err := c.Fetch(t.Context(), e, t.TempDir()); !ok || !errkind.Is[*RefusedError](err) {
					t.Errorf("%v, %v", ok, err)
				}
			})
		}
	}
}

func TestAccept(t *testing.T) {
	place := newFakeRegistry(t).place()
	r := newResult(t, "bash", files)
	never := func(cache.Entry, func(cache.File) (*os.File,
		error)) error {
		return fmt.Errorf("it is not liked")
	}
	strict := newClient(t, place, quick)
	strict.push.accept = never
	r.push(t, strict)
	strict.said(t, "bash", "not shared", "not liked")
	r.push(t, newClient(t, place, quick))
	reader := newClient(t, place, quick)
	reader.o.Accept = never
	e, ok := r.lookup(t, reader)
	if err := reader.Fetch(t.Context(), e, t.TempDir()); !ok || !errkind.Is[*RefusedError](err) {
		t.Errorf("%v, %v", ok, err)
	}
}

func TestParseLocation(t *testing.T) {
	const ecr = "oci://123456789012.dkr.ecr.eu-central-1.amazonaws.com/os/cache"
	for text, want := range map[string]string{
		ecr:                              ecr,
		"oci://localhost:5000/x":         "oci://localhost:5000/x",
		"oci://[::1]:5000/x":             "oci://[::1]:5000/x",
		"oci+http://registry.lan:5000/x": "oci+http://registry.lan:5000/x",
		"oci+http://127.0.0.1:5000/x":    "oci://127.0.0.1:5000/x",
		"cache":                          "dir:/here/cache",
		"dir:/srv/../cache":              "dir:/cache",
		"/srv/cache":                     "dir:/srv/cache",
		"https://registry/x":             "",
		"oci://registry.lan":             "",
		"oci://registry.lan/x:tag":       "",
		"oci://user:secret@registry/x":   "",
		"oci://registry.lan/X":           "",
		"oci://registry.lan/x?a=b":       "",
		"dir:":                           "",
		"":                               "",
	} {
		place, err := ParseLocation(text, "/here")
		if err == nil && place.String() != want || (err != nil) != (want == "") {
			t.Errorf("%q is %q, %v; want %q", text, place, err, want)
		}
	}
	plain, _ := ParseLocation("oci://localhost:5000/x", "/")
	secure, _ := ParseLocation("oci://registry.lan:5000/x", "/")
	if !plain.Plain || secure.Plain {
		t.Errorf("without TLS: %v, %v", plain.Plain, secure.Plain)
	}
}
