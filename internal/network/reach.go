package network

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/net/idna"
)

// Reach is which addresses may be connected to for a URL.
type Reach int

const (
	// Anywhere is for places that the caller names, on whatever network they are.
	Anywhere Reach = iota
	// NoMetadata is for what such a place redirects to: it may be on a network of the caller, but
	// not the service that gives the machine's credentials to whoever asks.
	NoMetadata
	// PublicOnly is for what a tree names: it must not use this machine to ask the servers of its
	// network.
	PublicOnly
)

// AddressError reports an address that may not be connected to.
type AddressError struct {
	Host  string // an address, or a name if that alone says enough
	Reach Reach
}

// Error names the kind of address.
func (e *AddressError) Error() string {
	if e.Reach == NoMetadata {
		return fmt.Sprintf("refused to ask %s: it is a link-local address or a cloud's metadata service",
			e.Host)
	}
	return fmt.Sprintf("refused to ask %s: it is not a public address", e.Host)
}

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

var (
	// metadata has the addresses of link-local services, among them those of most clouds, and the
	// others where clouds have theirs: Amazon's and Google's for IPv6, Alibaba's, Azure's, Oracle's.
	metadata = prefixes("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "fd20:ce::/32",
		"100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32")
	// special has the blocks of IANA's special-purpose registries that are not globally reachable,
	// and multicast.
	special = prefixes("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12",
		"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
		"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3", "2001::/23", "2001:db8::/32", "3fff::/20")
	global6   = netip.MustParsePrefix("2000::/3") // all that is allocated of IPv6
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour = netip.MustParsePrefix("2002::/16")
)

// plain returns the address that another one stands for: IPv4 in its ways into IPv6.
func plain(ip netip.Addr) netip.Addr {
	ip = ip.Unmap().WithZone("")
	b := ip.As16()
	switch {
	case nat64.Contains(ip), ip.Is6() && [12]byte(b[:12]) == [12]byte{}:
		return netip.AddrFrom4([4]byte(b[12:]))
	case sixToFour.Contains(ip):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return ip
}

// allows reports whether an address may be connected to.
func (r Reach) allows(ip netip.Addr) bool {
	ip = plain(ip)
	in := func(p netip.Prefix) bool { return p.Contains(ip) }
	switch {
	case r == Anywhere:
		return true
	case slices.ContainsFunc(metadata, in):
		return false
	}
	return r == NoMetadata ||
		!slices.ContainsFunc(special, in) && (ip.Is4() || global6.Contains(ip))
}

// checkAddress returns an *AddressError for an address, as the dialer has it, that may not be
// connected to.
func (r Reach) checkAddress(address string) error {
	if at, err := netip.ParseAddrPort(address); err == nil && r.allows(at.Addr()) {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	return &AddressError{host, r}
}

var (
	// metadataNames are the names of metadata services.
	metadataNames = []string{"metadata", "metadata.goog", "metadata.google.internal",
		"instance-data", "instance-data.ec2.internal"}
	// privateDomains are those that no public server is in.
	privateDomains = []string{".localhost", ".local", ".internal", ".home.arpa", ".lan", ".intranet",
		".corp", ".home", ".private", ".test", ".invalid"}
)

// checkName returns an *AddressError for a host that certainly may not be asked. It is for proxies,
// which do the look-up: what a name leads to there, nobody here can know.
func (r Reach) checkName(host string) error {
	refused := &AddressError{host, r}
	name, err := idna.Lookup.ToASCII(host) // as net/http does; it also maps wide digits to plain ones
	if err != nil {
		name = host
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	ip, err := netip.ParseAddr(name)
	last := name[strings.LastIndexByte(name, '.')+1:]
	switch {
	case r == Anywhere:
		return nil
	case err == nil && r.allows(ip):
		return nil
	case err == nil, last == "", last[0] >= '0' && last[0] <= '9': // 127.1, 0x7f000001, 2130706433
		return refused
	case slices.Contains(metadataNames, name):
		return refused
	case r == NoMetadata:
		return nil
	case !strings.Contains(name, "."),
		strings.ContainsFunc(name, func(r rune) bool { return r > '~' }),
		slices.ContainsFunc(privateDomains, func(d string) bool { return strings.HasSuffix(name, d) }):
		return refused
	}
	return nil
}

// transport connects to the addresses that it may reach. It has a pool of connections for each
// reach and for proxies, so that none is used for what may not use it.
type transport struct {
	reach   Reach
	proxy   func(*http.Request) (*url.URL, error)
	direct  map[Reach]*http.Transport
	proxied *http.Transport
}

// NewTransport returns a transport with the settings and the proxies of base that connects, with
// the dialer, only to what is within reach, and to what a redirect leads to only as NoMetadata
// allows. What counts is the address that is dialed, however it was spelled or looked up.
//
// Behind a proxy that address is not known: there, hosts are refused whose name or address alone
// says that they are out of reach.
func NewTransport(reach Reach, dialer net.Dialer, base *http.Transport) http.RoundTripper {
	t := &transport{reach: reach, proxy: base.Proxy, direct: map[Reach]*http.Transport{},
		proxied: base.Clone()}
	t.proxied.DialContext = dialer.DialContext
	for _, r := range []Reach{reach, max(reach, NoMetadata)} {
		guarded := dialer
		guarded.Control = func(_, address string, _ syscall.RawConn) error {
			return r.checkAddress(address)
		}
		t.direct[r] = base.Clone()
		t.direct[r].Proxy, t.direct[r].DialContext = nil, guarded.DialContext
	}
	return t
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	reach := t.reach
	if req.Response != nil { // of which this is the redirect
		reach = max(reach, NoMetadata)
	}
	by, err := t.proxied, error(nil)
	if proxy, e := t.find(req); e != nil {
		err = e
	} else if proxy == nil {
		by = t.direct[reach]
	} else {
		err = reach.checkName(req.URL.Hostname())
	}
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	resp, err := by.RoundTrip(req)
	return resp, explain(err)
}

func (t *transport) find(req *http.Request) (*url.URL, error) {
	if t.proxy == nil {
		return nil, nil
	}
	return t.proxy(req)
}

// CloseIdleConnections is for http.Client.
func (t *transport) CloseIdleConnections() {
	t.proxied.CloseIdleConnections()
	for _, one := range t.direct {
		one.CloseIdleConnections()
	}
}
