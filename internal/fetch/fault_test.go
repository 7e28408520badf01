// fault_test: wrong bytes, missing files and full disks, and what the user sees.

package fetch

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"buildsys/internal/buildtest/need"
	"buildsys/internal/manifest"
	"buildsys/internal/progress"
)

func TestWrongBytes(t *testing.T) {
	b := content(5000)
	var z bytes.Buffer
	zw := gzip.NewWriter(&z)
	_, _ = zw.Write(content(50_000))
	_ = zw.Close()
	flipped := bytes.Clone(b)
	flipped[77] ^= 1
	tests := map[string]struct {
		good, bad []byte
		warning   string // after "… has a wrong copy of musl-1.2.5.tar.gz: it "
		looks     string
	}{
		"flipped bit": {b, flipped, "differs from", "5000 bytes"},
		"truncated":   {b, b[:3976], "is 1024 bytes shorter than", "3976 bytes"},
		"extra byte":  {b, append(bytes.Clone(b), 0), "is 1 bytes longer than", "5001 bytes"},
		"empty":       {b, nil, "is 5000 bytes shorter than", "0 bytes, empty"},
		"HTML": {b, []byte("<!DOCTYPE html><p>not found"), "is 4973 bytes shorter than",
			"27 bytes, an HTML page, not a source"},
		"git-lfs": {b, []byte("version https://git-lfs.github.com/spec/v1\n"), "bytes shorter than",
			"43 bytes, a pointer of git-lfs: run git lfs pull where it comes from"},
		"truncated gzip": {z.Bytes(), z.Bytes()[:100], "bytes shorter than",
			"100 bytes, a truncated gzip file"},
		"truncated xz": {b, []byte("\xfd7zXZ\x00...."), "is 4990 bytes shorter than",
			"10 bytes, a truncated xz file"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			answer := tt.good
			f := source(serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(answer) }),
				tt.good)
			w := newWorld(t)
			la := lookaside(t, f, tt.bad)
			w.Lookaside = []string{la}
			w.good(f, tt.good)
			warned := w.texts(progress.Warning)
			if len(warned) != 1 || !strings.Contains(warned[0],
				"has a wrong copy of musl-1.2.5.tar.gz: it ") ||
				!strings.Contains(warned[0], tt.warning+" the good one from "+f.URL) ||
				!strings.HasPrefix(warned[0], la) {
				t.Errorf("warnings %q", warned)
			}

			answer = tt.bad
			w = newWorld(t)
			w.Lookaside = []string{la}
			err := w.Fetch(t.Context(), step, []manifest.ExternalFile{f})
			var bad *IntegrityError
			if !errors.As(err, &bad) || bad.Want != f.SHA512 || len(bad.Tried) != 2 {
				t.Fatalf("both bad: %v", err)
			}
			for _, part := range []string{
				"source musl-1.2.5.tar.gz of packages/musl/Cargo.toml:12: no copy has the sha512",
				"wanted: sha512 " + f.SHA512,
				fmt.Sprintf("%s: has sha512 %s (%s)", filepath.Join(la, f.Name(), f.SHA512, f.Name()),
					sum(tt.bad), tt.looks),
				fmt.Sprintf("%s: has sha512 %s (%s)", f.URL, sum(tt.bad), tt.looks),
			} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error lacks %q:\n%v", part, err)
				}
			}
			damaged := strings.Contains(tt.looks, ",")
			if agree := strings.Contains(err.Error(), "all copies agree"); agree == damaged {
				t.Errorf("blames the manifest: %v\n%v", agree, err)
			}
			w.wantFiles()
		})
	}
}

func TestCopiesThatDisagree(t *testing.T) {
	f := source(serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(content(20)) }),
		content(10))
	w := newWorld(t)
	w.Lookaside = []string{lookaside(t, f, content(30)), serve(t, http.NotFound)}
	err := w.Fetch(t.Context(), step, []manifest.ExternalFile{f})
	if err == nil || strings.Contains(err.Error(), "all copies agree") ||
		!strings.Contains(err.Error(), "404 Not Found") ||
		!strings.Contains(err.Error(), "replace the bad copy, or correct the sha512 in the manifest") {
		t.Errorf("error %v", err)
	}
}

func TestLookasideFilesThatAreNone(t *testing.T) {
	b := content(3000)
	f := source("https://upstream.invalid", b)
	big, dir := lookaside(t, f, b), t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, f.Name(), f.SHA512, f.Name()), 0o755); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.Upstream, w.tuned.maxBytes, w.Lookaside = false, 2000, []string{big, dir}
	err := w.Fetch(t.Context(), step, []manifest.ExternalFile{f})
	var missing *MissingError
	if !errors.As(err, &missing) || !strings.Contains(err.Error(),
		": is 2.9 KiB, larger than the limit of 1.9 KiB") ||
		!strings.Contains(err.Error(), ": not a regular file") {
		t.Errorf("error %v", err)
	}
}

func TestMissing(t *testing.T) {
	b := content(10)
	f := manifest.ExternalFile{SHA512: sum(b), Line: 12,
		URL: "https://user:secret@musl.libc.org/releases/musl-1.2.5.tar.gz?token=secret"}
	w := newWorld(t)
	w.Upstream = false
	err := w.Fetch(t.Context(), step, []manifest.ExternalFile{f})
	want := `source musl-1.2.5.tar.gz of packages/musl/Cargo.toml:12 is not in the source store, no lookaside cache is set and upstream downloads are off
  set BUILDSYS_UPSTREAM_SOURCE_FALLBACK=true to download https://…@musl.libc.org/releases/musl-1.2.5.tar.gz?…,
  or put the file at ` + w.Path(f)
	if err == nil || err.Error() != want {
		t.Errorf("no lookaside:\n%v\nwant\n%s", err, want)
	}
	url := serve(t, http.NotFound)
	w.Lookaside = []string{"/nonexistent", url}
	err = w.Fetch(t.Context(), step, []manifest.ExternalFile{f})
	tail := "/musl-1.2.5.tar.gz/" + f.SHA512 + "/musl-1.2.5.tar.gz"
	want = `source musl-1.2.5.tar.gz of packages/musl/Cargo.toml:12 is in no lookaside cache and upstream downloads are off
  /nonexistent` + tail + `: not there
  ` + url + tail + `: the server answered 404 Not Found
  set BUILDSYS_UPSTREAM_SOURCE_FALLBACK=true to download https://…@musl.libc.org/releases/musl-1.2.5.tar.gz?…,
  or put the file at /nonexistent` + tail
	if err == nil || err.Error() != want {
		t.Errorf("two lookasides:\n%v\nwant\n%s", err, want)
	}
	w.wantFiles()
}

func TestForceUpstreamAsksUpstreamFirst(t *testing.T) {
	b := content(500)
	f := source(serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(b) }), b)
	f.ForceUpstream = true
	w := newWorld(t)
	w.Upstream = false
	w.Lookaside = []string{serve(t, func(w http.ResponseWriter,
		r *http.Request) {
		t.Error("lookaside was asked")
	})}
	w.good(f, b)

	f.URL = serve(t, http.NotFound) + "/musl-1.2.5.tar.gz"
	w = newWorld(t)
	w.Lookaside = []string{lookaside(t, f, b)}
	w.good(f, b)
}

func TestDamagedEntryIsMovedAsideAndFetchedAgain(t *testing.T) {
	b := content(5000)
	f := source("https://upstream.invalid", b)
	w := newWorld(t)
	w.Upstream = false
	w.Lookaside = []string{lookaside(t, f, b)}
	for n := 1; n <= 2; n++ {
		w.good(f, b)
		flipped := bytes.Clone(b)
		flipped[n] ^= 0x10
		if err := os.WriteFile(w.Path(f), flipped, 0o644); err != nil {
			t.Fatal(err)
		}
		w.good(f, b)
		if kept, err := os.ReadFile(fmt.Sprintf("%s.bad-%d", w.Path(f), n)); err != nil ||
			!bytes.Equal(kept, flipped) {
			t.Errorf("bad entry %d was not kept: %v", n, err)
		}
		if warned := w.texts(progress.Warning); len(warned) != n ||
			!strings.Contains(warned[n-1], ".bad-") {
			t.Errorf("warnings %q", warned)
		}
	}
	// An entry that is not a regular file is never followed.
	if err := errors.Join(os.Remove(w.Path(f)),
		os.Symlink(filepath.Join(w.Lookaside[0], f.Name(), f.SHA512, f.Name()), w.Path(f))); err != nil {
		t.Fatal(err)
	}
	w.good(f, b)
	if st, err := os.Lstat(w.Path(f)); err != nil || !st.Mode().IsRegular() {
		t.Errorf("the symlink is still there: %v %v", st, err)
	}
}

func TestUnsafeNamesAreRefused(t *testing.T) {
	for _, f := range []manifest.ExternalFile{
		{URL: "http://x/", SHA512: sum(nil)},
		{URL: "http://x/a", Path: "../a", SHA512: sum(nil)},
		{URL: "http://x/a", Path: "..", SHA512: sum(nil)},
		{URL: "http://x/a", Path: "a/b", SHA512: sum(nil)},
		{URL: "http://x/a", SHA512: ""},
		{URL: "http://x/a", SHA512: "../" + sum(nil)[3:]},
		{URL: "http://x/a", SHA512: strings.ToUpper(sum(nil))},
	} {
		w := newWorld(t)
		if err := w.Fetch(t.Context(), step, []manifest.ExternalFile{f}); err == nil ||
			!strings.Contains(err.Error(), "packages") && !strings.Contains(err.Error(), step) {
			t.Errorf("%+v: error %v", f, err)
		}
		w.wantFiles()
	}
}

func TestAllErrorsAreJoined(t *testing.T) {
	b := content(1000)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/good") {
			_, _ = w.Write(b)
			return
		}
		if strings.HasSuffix(r.URL.Path, "/bad") {
			_, _ = w.Write(b[1:])
			return
		}
		http.NotFound(w, r)
	})
	w := newWorld(t)
	w.tuned.jobs = 2
	var files []manifest.ExternalFile
	for _, n := range []string{"none", "bad", "good"} {
		files = append(files, manifest.ExternalFile{URL: url + "/" + n, SHA512: sum(b)})
	}
	err := w.Fetch(t.Context(), step, files)
	var missing *MissingError
	var bad *IntegrityError
	if !errors.As(err, &missing) || missing.Name != "none" || !errors.As(err, &bad) ||
		bad.Name != "bad" {
		t.Errorf("error %v", err)
	}
	w.wantFiles("good")
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	need.Mount(t, dir, "-t", "tmpfs", "-o", "size=64k", "none")
	b := content(200_000)
	srv := &flaky{b: b, tags: []string{`"a"`}}
	w := newWorld(t)
	w.Dir = dir
	err := w.Fetch(t.Context(), step, []manifest.ExternalFile{source(serve(t, srv.ServeHTTP), b)})
	var se *StoreError
	if !errors.As(err, &se) || !errors.Is(err, syscall.ENOSPC) ||
		!strings.Contains(err.Error(), "no space left on the disk of the source store") {
		t.Errorf("error %v", err)
	}
	if len(srv.ranges) != 1 {
		t.Errorf("a full disk was retried: %q", srv.ranges)
	}
	w.wantFiles()
}
