package network

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

func TestAddressesInReach(t *testing.T) {
	for text, want := range map[string]Reach{ // the narrowest reach that has it
		"1.1.1.1": PublicOnly, "2606:4700::1111": PublicOnly, "64:ff9b::101:101": PublicOnly,
		"::ffff:1.1.1.1": PublicOnly, "2002:101:101::": PublicOnly, "198.17.0.1": PublicOnly,
		"127.0.0.1": NoMetadata, "127.1.2.3": NoMetadata, "0.0.0.0": NoMetadata, "::1": NoMetadata,
		"::": NoMetadata, "10.1.2.3": NoMetadata, "172.31.0.1": NoMetadata, "192.168.1.1": NoMetadata,
		"100.64.0.1": NoMetadata, "198.18.0.1": NoMetadata, "224.0.0.1": NoMetadata,
		"240.0.0.1": NoMetadata, "255.255.255.255": NoMetadata, "fc00::1": NoMetadata,
		"ff02::1": NoMetadata, "2001:db8::1": NoMetadata, "64:ff9b:1::1": NoMetadata,
		"::ffff:127.0.0.1": NoMetadata, "::127.0.0.1": NoMetadata, "64:ff9b::7f00:1": NoMetadata,
		"2002:7f00:1::": NoMetadata, "2001:0:1::1": NoMetadata, "4000::1": NoMetadata,
		"169.254.169.254": Anywhere, "::ffff:a9fe:a9fe": Anywhere, "64:ff9b::a9fe:a9fe": Anywhere,
		"2002:a9fe:a9fe::": Anywhere, "fe80::1%eth0": Anywhere, "fd00:ec2::254": Anywhere,
		"100.100.100.200": Anywhere, "168.63.129.16": Anywhere, "::a9fe:a9fe": Anywhere,
	} {
		for _, r := range []Reach{Anywhere, NoMetadata, PublicOnly} {
			if got := r.allows(netip.MustParseAddr(text)); got != (r <= want) {
				t.Errorf("reach %d allows %s: %v", r, text, got)
			}
		}
	}
}

// TestDialedAddressCounts: a name and a redirect lead to an address like any other.
func TestDialedAddressCounts(t *testing.T) {
	var asked atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
		}
	}))
	defer srv.Close()
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	local := "http://127.0.0.1:" + port
	for _, c := range []struct {
		url   string
		reach Reach
		asked int64
		ok    bool
	}{
		{local, PublicOnly, 0, false},
		{"http://localhost:" + port, PublicOnly, 0, false},
		{"http://[::ffff:127.0.0.1]:" + port, PublicOnly, 0, false},
		{"http://１２７.0.0.1:" + port, PublicOnly, 0, false},
		{"http://169.254.169.254/", PublicOnly, 0, false},
		{"http://0.0.0.0:" + port, PublicOnly, 0, false},
		{local, Anywhere, 1, true},
		{local + "?to=" + url.QueryEscape(local), Anywhere, 2, true},
		{local + "?to=http://169.254.169.254/", Anywhere, 1, false},
		{local + "?to=http://[::ffff:a9fe:a9fe]/", Anywhere, 1, false},
		{local + "?to=http://[fe80::1%2525lo]/", Anywhere, 1, false},
	} {
		asked.Store(0)
		client := http.Client{Transport: NewTransport(c.reach, net.Dialer{}, &http.Transport{})}
		resp, err := client.Get(c.url)
		if err == nil {
			resp.Body.Close()
		}
		if (err == nil) != c.ok || asked.Load() != c.asked ||
			!c.ok && !errors.As(err, new(*AddressError)) {
			t.Errorf("%s within reach %d: asked %d times, %v", c.url, c.reach, asked.Load(), err)
		}
		client.CloseIdleConnections()
	}
}

// TestNamesBehindProxy: a proxy is asked for nothing that is certainly out of reach. It may itself
// be anywhere.
func TestNamesBehindProxy(t *testing.T) {
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Host)
	}))
	defer proxy.Close()
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	base := &http.Transport{Proxy: http.ProxyURL(at)}
	defer base.CloseIdleConnections()
	for _, host := range []string{"127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1",
		"017700000001", "[::1]", "[::ffff:169.254.169.254]", "169.254.169.254", "10.0.0.1", "localhost",
		"LOCALHOST.", "a.localhost", "intranet", "metadata.google.internal", "registry.corp",
		"１２７.０.０.１", "router.home.arpa", "metadata.goog", "127.0.0.1.", "printer.local"} {
		client := http.Client{Transport: NewTransport(PublicOnly, net.Dialer{}, base)}
		if resp, err := client.Get("http://" + host + "/"); err == nil {
			resp.Body.Close()
			t.Errorf("%s was asked for", host)
		} else if !errors.As(err, new(*AddressError)) {
			t.Errorf("%s: %v", host, err)
		}
	}
	if len(asked) > 0 {
		t.Errorf("the proxy was asked for %q", asked)
	}
	for host, reach := range map[string]Reach{"example.com": PublicOnly, "1.1.1.1": PublicOnly,
		"sources.example.com:8080": PublicOnly, "127.0.0.1": Anywhere, "a_b.example.com": PublicOnly} {
		client := http.Client{Transport: NewTransport(reach, net.Dialer{}, base)}
		resp, err := client.Get("http://" + host + "/")
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		resp.Body.Close()
		client.CloseIdleConnections()
	}
	if len(asked) != 5 {
		t.Errorf("the proxy was asked for %s", strings.Join(asked, " "))
	}
}
