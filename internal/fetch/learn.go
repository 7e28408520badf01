// learn: files that no manifest pins yet, and pages, for those who change manifests.

package fetch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"buildsys/internal/errkind"
	"buildsys/internal/manifest"
	"buildsys/internal/network"
	"buildsys/internal/progress"
)

// Wanted is something at a URL that no hash is known of.
type Wanted struct {
	Step string // for events
	URL  string
	Name string // of the file
	// Mine says that the caller named the URL, not a tree: it may lead to any network.
	Mine bool
	Max  int64 // bytes of a page; files have the limit of sources
}

// Learnt is what a URL has now.
type Learnt struct {
	SHA512 string
	Size   int64
	Path   string // of the file, in the store
	// Plain says that it came unencrypted: anybody on the way may have changed it.
	Plain bool
}

// Learn fetches what a URL has now, whatever that is, and keeps it in the store by its hash. It
// never takes up what an earlier run left, as there is no hash to hold that against, and asks
// nobody else. Whether builds may ask upstream does not matter: who wants to learn has to.
func (s *Store) Learn(ctx context.Context, w Wanted) (Learnt, error) {
	var learnt Learnt
	id := sha256.Sum256([]byte(w.URL))
	dir := filepath.Join(s.Dir, w.Name, "learn-"+hex.EncodeToString(id[:8]))
	j := &job{s: s, step: w.Step, name: w.Name, final: filepath.Join(dir, w.Name), where: w.Step,
		file: manifest.ExternalFile{URL: w.URL, Path: w.Name}}
	if w.Name == "" || w.Name != filepath.Base(w.Name) || w.Name == ".." || w.Name == "." {
		return learnt, errkind.Usagef("%q is not a file name", w.Name)
	}
	for {
		p, err := openPart(ctx, j.final, func() {
			j.emit(progress.FetchProgress, w.Name+": waiting for another download of it", nil)
		})
		if errors.Is(err, errGone) {
			continue
		}
		if err != nil {
			return learnt, err
		}
		learnt, err = j.learn(ctx, p, w)
		p.release(err)
		_ = os.Remove(dir) // what other files are in it is another download's
		if err != nil && !isStoreError(err) && ctx.Err() == nil {
			err = errkind.Environmentf("%s: %w", redact(w.URL), err)
		}
		return learnt, err
	}
}

func (j *job) learn(ctx context.Context, p *part, w Wanted) (Learnt, error) {
	if err := p.reset(); err != nil {
		return Learnt{}, err
	}
	begin := j.s.now()
	j.emit(progress.FetchStart, j.name, nil)
	defer func() { // the next one must not take this up
		_ = p.forget()
	}()
	sum, err := j.download(ctx, w.place(j.s.Private), p)
	if err != nil {
		return Learnt{}, err
	}
	if looks := p.describe(ctx); looks != "" {
		if p.hidden {
			looks = "not what a source looks like"
		}
		return Learnt{}, errors.New("it is " + looks)
	}
	j.file.SHA512 = sum
	at := Learnt{SHA512: sum, Size: p.size, Path: j.s.Path(j.file), Plain: p.plain}
	if err := mkdirAll(filepath.Dir(at.Path)); err != nil {
		return at, err
	}
	if err := p.commit(at.Path, j.s.Dir); err != nil {
		return at, err
	}
	j.s.emit(progress.Event{Kind: progress.FetchDone, Step: j.step, Text: j.name,
		Bytes: p.size, Size: p.size, Duration: j.s.now().Sub(begin)})
	return at, nil
}

func (w Wanted) place(private bool) place {
	return place{label: redact(w.URL), url: w.URL, reach: reach(private || w.Mine)}
}

// unencrypted reports whether an answer, or what led to it, came without TLS.
func unencrypted(resp *http.Response) bool {
	for resp != nil {
		if resp.Request.URL.Scheme != "https" {
			return true
		}
		resp = resp.Request.Response
	}
	return false
}

// pageTime is how long a page may take, with all attempts.
const pageTime = time.Minute

// Page returns what a URL has, which may have w.Max bytes, and where it was after redirects.
func (s *Store) Page(ctx context.Context, w Wanted) (data []byte, from *url.URL, err error) {
	u, err := url.Parse(w.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, nil, errkind.Usagef("%s is not an http or https URL", redact(w.URL))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, pageTime, fmt.Errorf("not complete after %v",
		pageTime))
	defer cancel()
	for n := 1; ; n++ {
		if data, from, err = s.page(ctx, w); err == nil {
			return data, from, nil
		}
		wait, again := s.retryIn(err, n)
		if !again || ctx.Err() != nil || s.sleep(ctx, wait) != nil {
			return nil, nil, errkind.Environmentf("%s: %w", redact(w.URL), err)
		}
	}
}

func (s *Store) page(ctx context.Context, w Wanted) ([]byte, *url.URL, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	meter := network.Floor{Bytes: 1, Window: cmp.Or(s.tuned.idle, defaultIdle)}.Watch(
		func(slow error) { cancel(slow) })
	defer meter.Stop()
	resp, err := s.request(ctx, w.place(s.Private), &part{})
	if refused, ok := errors.AsType[*network.AddressError](err); ok && !w.Mine {
		return nil, nil, fmt.Errorf("%w, and the tree names it: trust the tree with --trust-tree",
			refused)
	}
	if err != nil {
		return nil, nil, orCause(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, nil, newStatusError(resp)
	}
	body := &bodyReader{r: resp.Body, alive: func() {}, meter: meter, tick: func() {}}
	data, err := io.ReadAll(io.LimitReader(body, w.Max+1))
	switch {
	case err != nil:
		return nil, nil, &cutError{got: int64(len(data)), total: resp.ContentLength,
			err: orCause(ctx, err)}
	case int64(len(data)) > w.Max:
		return nil, nil, tooLarge(int64(len(data)), w.Max)
	}
	return data, resp.Request.URL, nil
}
