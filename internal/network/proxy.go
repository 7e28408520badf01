// proxy: which proxy a request takes, and what to do about a certificate that nobody here trusts.

package network

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
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
	v := variables(getenv)
	c := httpproxy.Config{HTTPProxy: v[0].Value, HTTPSProxy: v[1].Value, NoProxy: v[2].Value}
	return c.ProxyFunc()
}

// Variable is a variable of the environment that counts.
type Variable struct{ Name, Value string }

// variables returns those that say what the proxies for http and https are, and where there is
// none. Each is empty if nothing says it.
func variables(getenv func(string) string) (v [3]Variable) {
	for i, names := range [][]string{{"HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"},
		{"HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"}, {"NO_PROXY", "no_proxy"}} {
		for _, name := range names {
			if value := getenv(name); value != "" {
				v[i] = Variable{name, value}
				break
			}
		}
	}
	return v
}

// ProxyVariables returns the variables that decide about proxies, without user names and passwords.
func ProxyVariables(getenv func(string) string) []Variable {
	var all []Variable
	for _, v := range variables(getenv) {
		// A proxy's scheme may be missing; a list of hosts has no credentials, but may be anything.
		if scheme, rest, ok := strings.Cut(v.Value, "://"); ok {
			v.Value = scheme + "://" + rest[strings.LastIndexByte(rest, '@')+1:]
		} else {
			v.Value = v.Value[strings.LastIndexByte(v.Value, '@')+1:]
		}
		if v.Name != "" && !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}

// TrustHint is how an authority is added that signed a server's certificate.
const TrustHint = "if it is of an authority of your own, name the file with the authority's " +
	"certificate in SSL_CERT_FILE, or add it to those of the system"

// explain adds what to do to the error of a request.
func explain(err error) error {
	if unknown := (x509.UnknownAuthorityError{}); errors.As(err, &unknown) {
		return fmt.Errorf("%w; %s", err, TrustHint)
	}
	return err
}
