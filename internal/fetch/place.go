// place: the places of a file, their order, and reading from a directory.

package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"

	"buildsys/internal/bytesize"
	"buildsys/internal/confined"
	"buildsys/internal/ctxio"
	"buildsys/internal/network"
	"buildsys/internal/safetext"
)

// place is one place to get one file from: a path in a directory, or a URL.
type place struct {
	label string // for messages, without credentials
	path  string
	url   string
	reach network.Reach // of url
}

// reach returns where a URL may lead.
func reach(private bool) network.Reach {
	if private {
		return network.Anywhere
	}
	return network.PublicOnly
}

// places returns the places of j's file, in order.
func (j *job) places() []place {
	all := j.lookasides()
	if !j.upstreamAllowed() {
		return all
	}
	up := place{label: safetext.Place(j.file.URL), url: j.file.URL, reach: reach(j.s.Private)}
	if j.file.ForceUpstream {
		return append([]place{up}, all...)
	}
	return append(all, up)
}

func (j *job) upstreamAllowed() bool { return j.s.Upstream || j.file.ForceUpstream }

// lookasides returns the lookaside caches as places of j's file. It ignores empty elements of the
// setting.
func (j *job) lookasides() []place {
	var all []place
	for _, base := range j.s.Lookaside {
		if base = strings.TrimSpace(base); base == "" {
			continue
		}
		if u, err := url.Parse(base); err == nil && u.Scheme == "file" {
			base = u.Path
		} else if err == nil && u.Host != "" {
			u = u.JoinPath(url.PathEscape(j.name), j.file.SHA512, url.PathEscape(j.name))
			all = append(all, place{label: safetext.Place(u.String()), url: u.String(),
				reach: reach(j.s.Private || j.s.PrivateLookaside)})
			continue
		}
		p := filepath.Join(base, j.name, j.file.SHA512, j.name)
		all = append(all, place{label: p, path: p})
	}
	return all
}

// load brings the place's bytes into p and returns their sha512. A *StoreError is about the store's
// disk, any other error about the place.
func (pl place) load(ctx context.Context, j *job, p *part) (string, error) {
	p.hidden = false
	if pl.path == "" {
		return j.download(ctx, pl, p)
	}
	if err := copyFile(ctx, pl.path, p, j.maxBytes()); err != nil {
		return "", err
	}
	return p.hex(), nil
}

var errNotThere = errors.New("not there")

func copyFile(ctx context.Context, path string, p *part, max int64) error {
	f, err := confined.Path{Name: path}.Open()
	if errors.Is(err, fs.ErrNotExist) {
		return errNotThere
	}
	if err != nil {
		return reason(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return reason(err)
	}
	if st.Size() > max {
		return tooLarge(st.Size(), max)
	}
	if err := p.reset(); err != nil {
		return err
	}
	if _, err := io.Copy(p, io.LimitReader(ctxio.NewReader(ctx, f), max)); err != nil {
		return reason(err)
	}
	return nil
}

// reason removes the path from an error that is shown after that path.
func reason(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) && !isStoreError(err) {
		return pe.Err
	}
	return err
}

func tooLarge(size, max int64) error {
	is, limit := bytesize.Format(size), bytesize.Format(max)
	if is == limit {
		return fmt.Errorf("is larger than the limit of %s", limit)
	}
	return fmt.Errorf("is %s, larger than the limit of %s", is, limit)
}

// maxBytes returns how large the file may be.
func (j *job) maxBytes() int64 {
	limit := orDefault(j.s.tuned.maxBytes, defaultMaxBytes)
	return min(orDefault(j.max, limit), limit)
}
