// A proxy that counts what a registry sends and receives.

package buildtest

import (
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
)

// Counting returns a handler that passes requests on to the registry. It adds the bytes of their
// bodies to up, and those of an answer's body to the counter that down returns for the request's
// path. Headers are not counted: they have a few hundred bytes each.
func (r *Registry) Counting(up *atomic.Int64, down func(path string) *atomic.Int64) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(&url.URL{Scheme: "http", Host: r.Address})
			p.Out.Host = p.In.Host // the registry makes addresses from it
			if p.Out.Body != nil {
				p.Out.Body = &counted{p.Out.Body, up}
			}
		},
		ModifyResponse: func(resp *http.Response) error {
			resp.Body = &counted{resp.Body, down(resp.Request.URL.Path)}
			return nil
		},
		// Clients that hang up report that themselves, and tests end a registry on purpose.
		ErrorLog: log.New(io.Discard, "", 0),
	}
}

type counted struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}
