// proxy: which proxy a request takes, and what to do about a certificate that nobody here trusts.

package network

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"sync"

	"golang.org/x/net/http/httpproxy"
)

// Proxy returns the proxy for a request, as http.ProxyFromEnvironment does, but where HTTP_PROXY or
// HTTPS_PROXY is not set, ALL_PROXY counts, as for curl.
func Proxy(req *http.Request) (*url.URL, error) { return environment()(req.URL) }

var environment = sync.OnceValue(func() func(*url.URL) (*url.URL, error) {
	return proxyFunc(os.Getenv)
})

func proxyFunc(getenv func(string) string) func(*url.URL) (*url.URL, error) {
	first := func(names ...string) string {
		for _, name := range names {
			if value := getenv(name); value != "" {
				return value
			}
		}
		return ""
	}
	c := httpproxy.Config{
		HTTPProxy:  first("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"),
		HTTPSProxy: first("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"),
		NoProxy:    first("NO_PROXY", "no_proxy"),
	}
	return c.ProxyFunc()
}

// TrustHint says how an authority is added that signed a server's certificate.
const TrustHint = "if it is of an authority of your own, name the file with the authority's " +
	"certificate in SSL_CERT_FILE, or add it to those of the system"

// explain adds what to do to the error of a request.
func explain(err error) error {
	if unknown := (x509.UnknownAuthorityError{}); errors.As(err, &unknown) {
		return fmt.Errorf("%w; %s", err, TrustHint)
	}
	return err
}
