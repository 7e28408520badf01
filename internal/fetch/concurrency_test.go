// concurrency_test: several downloads of one file at once, and downloads that are interrupted.

package fetch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"buildsys/internal/manifest"
	"buildsys/internal/progress"
)

// Two Stores on one directory stand for two processes: flock is between open files, not between
// processes.
func TestTwoStoresDownloadOnce(t *testing.T) {
	b := content(50_000)
	var asked atomic.Int32
	release := make(chan struct{}) // closed when everybody waits
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		<-release
		_, _ = w.Write(b)
	})
	f := source(url, b)
	one := newWorld(t)
	worlds := []*world{one}
	for range 5 {
		other := newWorld(t)
		other.Dir = one.Dir
		worlds = append(worlds, other)
	}
	waiting := make(chan struct{}, 2*len(worlds)) // each may wait and then start
	var wg sync.WaitGroup
	for _, w := range worlds {
		w.Report = sinkFunc(func(e progress.Event) {
			if e.Kind == progress.FetchProgress || e.Kind == progress.FetchStart {
				waiting <- struct{}{}
			}
		})
		wg.Go(func() {
			if err := w.Fetch(t.Context(), step, []manifest.ExternalFile{f}); err != nil {
				t.Error(err)
			}
		})
	}
	for range worlds { // each either has started the download or waits for it
		<-waiting
	}
	close(release)
	wg.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("downloaded %d times", n)
	}
	one.wantFiles(f.Name())
}

// The entry may appear between the first look and the lock: then nothing is left to do.
func TestEntryThatAppearsBeforeTheLock(t *testing.T) {
	b := content(100)
	f := source("https://upstream.invalid", b)
	w := newWorld(t)
	j := &job{s: w.Store, file: f, name: f.Name(), final: w.Path(f)}
	p, err := openPart(t.Context(), j.final, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(j.final, b, 0o644); err != nil {
		t.Fatal(err)
	}
	err = j.obtain(t.Context(), p)
	p.release(err)
	if err != nil || len(w.texts(progress.FetchStart)) != 0 {
		t.Errorf("fetched again: %v", err)
	}
	w.wantFiles(f.Name())
}

type sinkFunc func(progress.Event)

func (f sinkFunc) Event(e progress.Event) { f(e) }

func TestCancelLeavesNothingUnderTheFinalName(t *testing.T) {
	b := content(100_000)
	for name, tt := range map[string]struct {
		tag  string
		left []string
	}{
		"resumable":     {`"a"`, []string{"musl-1.2.5.tar.gz.part", "musl-1.2.5.tar.gz.part.json"}},
		"not resumable": {"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			stop := errors.New("interrupted")
			clock := time.Now()
			w := newWorld(t)
			// every read is reported
			w.tuned.now = func() time.Time { clock = clock.Add(progressEvery); return clock }
			w.Report = sinkFunc(func(e progress.Event) {
				if e.Kind == progress.FetchProgress {
					cancel(stop)
				}
			})
			f := source(serve(t, func(w http.ResponseWriter, r *http.Request) {
				if tt.tag != "" {
					w.Header().Set("ETag", tt.tag)
				}
				w.Header().Set("Content-Length", fmt.Sprint(len(b)))
				_, _ = w.Write(b[:50_000])
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}), b)
			err := w.Fetch(ctx, step, []manifest.ExternalFile{f})
			if !errors.Is(err, stop) {
				t.Errorf("error %v", err)
			}
			w.wantFiles(tt.left...)
		})
	}
}

// TestDirectoriesThatGo: a directory is made although another download removes the one above.
func TestDirectoriesThatGo(t *testing.T) {
	top := filepath.Join(t.TempDir(), "a")
	stop, ended := make(chan bool), make(chan bool)
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
				_ = os.Remove(filepath.Join(top, "b"))
				_ = os.Remove(top)
			}
		}
	}()
	for range 3000 {
		if err := mkdirAll(filepath.Join(top, "b")); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	<-ended
}
