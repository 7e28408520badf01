// Address: the ways to name an engine, and which of them may be used without TLS.

package buildkit

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"buildsys/internal/safetext"
)

// address is where an engine listens.
type address struct {
	text   string // as given
	scheme string // "unix", "tcp" or "ssh"
	host   string // tcp: "builder:1234"; ssh: "builder"
	port   string // ssh; may be empty
	user   string // ssh; may be empty
	path   string // unix: the socket; ssh: the socket on the other machine, may be empty
}

// parseAddress parses an engine's address. Its error says what setting may contain.
func parseAddress(text, setting string) (address, error) {
	bad := func(why string) error {
		return fmt.Errorf("%s %q: %s; use unix:///path/of/socket, tcp://host:port or ssh://user@host",
			setting, safetext.Place(text), why)
	}
	u, err := url.Parse(text)
	if err != nil {
		return address{}, bad("it is not an address")
	}
	a := address{text: text, scheme: u.Scheme, host: u.Host, path: u.Path}
	switch {
	case u.RawQuery != "" || u.Fragment != "":
		return a, bad("a query or fragment (? or #) is not allowed")
	case u.Scheme == "unix" && u.Host == "" && filepath.IsAbs(u.Path):
	case u.Scheme == "unix":
		return a, bad("the path of the socket must be absolute")
	case u.Scheme == "tcp" && u.Port() != "" && strings.Trim(u.Path, "/") == "" && u.User == nil:
	case u.Scheme == "tcp":
		return a, bad("it must consist of a host and a port")
	case u.Scheme == "ssh":
		return sshAddress(a, u, bad)
	default:
		return a, bad("its scheme is not supported")
	}
	return a, nil
}

// What the parts of an ssh address may be. ssh joins its arguments into a line for the shell of the
// other machine, so a path has nothing that a shell takes for more than a name. User and host
// become arguments of ssh itself, which are no options, and reach commands of its configuration. A
// host may be an IPv6 address with a zone.
var (
	sshUser = regexp.MustCompile(`^([A-Za-z0-9_.+][A-Za-z0-9_.+@-]*)?$`)
	sshHost = regexp.MustCompile(`^[A-Za-z0-9_.:][A-Za-z0-9_.:%-]*$`)
	sshPath = regexp.MustCompile(`^[A-Za-z0-9/._-]*$`)
)

// sshAddress splits an ssh address into parts that are safe on command lines.
func sshAddress(a address, u *url.URL, bad func(string) error) (address, error) {
	a.host, a.port, a.user = u.Hostname(), u.Port(), u.User.Username()
	if _, has := u.User.Password(); has {
		return a, bad("a password cannot be passed to ssh; use a key")
	}
	switch {
	case a.host == "" || strings.HasPrefix(a.host, "-"):
		return a, bad("it names no host")
	case !sshUser.MatchString(a.user):
		return a, bad("the user may have letters, digits and . _ + @ - only, and may not begin with -")
	case !sshHost.MatchString(a.host):
		return a, bad("the host may have letters, digits and . _ : % - only")
	case !sshPath.MatchString(a.path):
		return a, bad("the path of the socket on the other machine may have letters, digits and " +
			"/ . _ - only, because a shell there reads it")
	}
	return a, nil
}

// loopback reports whether a TCP address cannot leave this machine.
func (a address) loopback() bool {
	host, _, err := net.SplitHostPort(a.host)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// local reports whether the engine certainly runs on this machine.
func (a address) local() bool { return a.scheme == "unix" || a.scheme == "tcp" && a.loopback() }

// tlsFiles are the files for TLS; the zero value means no TLS.
type tlsFiles struct{ ca, cert, key string }

// tlsIn finds the three files in dir, under the names that the docker command and buildctl use.
func tlsIn(dir string) (tlsFiles, error) {
	files := tlsFiles{filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"),
		filepath.Join(dir, "key.pem")}
	for _, name := range []string{files.ca, files.cert, files.key} {
		if _, err := os.Stat(name); err != nil {
			return tlsFiles{}, fmt.Errorf("TLS needs ca.pem, cert.pem and key.pem: %w", err)
		}
	}
	return files, nil
}

// errNoTLS rejects an address that would hand the machine to whoever can reach the port: whoever
// may ask an engine to build may start a privileged container on it, and whoever is in between sees
// and changes sources and results.
var errNoTLS = errors.New("it would be reached over the network without TLS, so anyone in " +
	"between could read and change what is built, " +
	"and an engine that listens like that runs anything for anyone as root")

// checkPlain rejects an address that is neither protected nor local, unless the user insists.
func checkPlain(a address, protected, insecure bool, remedy string) error {
	if a.scheme != "tcp" || protected || insecure || a.loopback() {
		return nil
	}
	return fmt.Errorf("%w: %s, go through ssh://, or set BUILDSYS_ENGINE_INSECURE=true if the "+
		"network itself is trusted", errNoTLS, remedy)
}
