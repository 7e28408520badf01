// Tests of engine addresses: which are accepted, which are rejected and why, and the ssh commands.

package buildkit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"buildsys/internal/buildtest"
	"buildsys/internal/buildtest/need"
	"buildsys/internal/engine"
)

func TestParseAddress(t *testing.T) {
	for _, c := range []struct {
		text string
		want string // scheme host port user path; "" if it is rejected
	}{
		{"unix:///var/run/docker.sock", "unix||||/var/run/docker.sock"},
		{"unix:///a b/x.sock", "unix||||/a b/x.sock"},
		{"tcp://builder:2376", "tcp|builder:2376|||"},
		{"tcp://[::1]:2375", "tcp|[::1]:2375|||"},
		{"ssh://me@builder:2222", "ssh|builder|2222|me|"},
		{"ssh://builder/run/other.sock", "ssh|builder|||/run/other.sock"},
		{"", ""}, {"nonsense", ""}, {"unix://relative.sock", ""}, {"unix:", ""}, {"tcp://builder",
			""}, {"tcp://builder:1/path", ""},
		{"tcp://me@builder:1", ""}, {"ssh://me:secret@builder", ""}, {"ssh://-oProxyCommand=x",
			""}, {"ssh://-x@builder", ""},
		{"ssh://", ""}, {"fd://", ""}, {"npipe:////./pipe/docker", ""}, {"tcp://builder:1?x",
			""}, {"docker-container://x", ""},
	} {
		a, err := parseAddress(c.text, "DOCKER_HOST")
		got := ""
		if err == nil {
			got = strings.Join([]string{a.scheme, a.host, a.port, a.user, a.path}, "|")
		} else if !strings.Contains(err.Error(), "DOCKER_HOST") {
			t.Errorf("%q: %v does not name the setting", c.text, err)
		}
		if got != c.want {
			t.Errorf("%q: %q, %v; want %q", c.text, got, err, c.want)
		}
	}
}

// TestPlainTCP checks that an engine on another machine is not used without TLS unless the user
// insists.
func TestPlainTCP(t *testing.T) {
	t.Setenv("DOCKER_TLS_VERIFY", "")
	t.Setenv("DOCKER_CERT_PATH", "")
	for _, c := range []struct {
		opt     engine.Options
		refused bool
	}{
		{engine.Options{Host: "tcp://builder.invalid:2375"}, true},
		{engine.Options{Host: "tcp://0.0.0.0:2375"}, true},
		{engine.Options{Host: "tcp://builder.invalid:2375", Insecure: true}, false},
		{engine.Options{Host: "tcp://127.0.0.1:2375"}, false},
		{engine.Options{Host: "tcp://localhost:2375"}, false},
		{engine.Options{Host: "tcp://[::1]:2375"}, false},
		{engine.Options{Host: "ssh://builder.invalid"}, false},
		{engine.Options{BuildKit: "tcp://10.0.0.1:1234"}, true},
		{engine.Options{BuildKit: "tcp://10.0.0.1:1234", Insecure: true}, false},
		{engine.Options{BuildKit: "tcp://127.9.9.9:1234"}, false},
		{engine.Options{BuildKit: "unix:///x"}, false},
	} {
		_, err := newDaemon(c.opt)
		if errors.Is(err, errNoTLS) != c.refused || !c.refused && err != nil {
			t.Errorf("%+v: %v", c.opt, err)
		}
		if c.refused && (!strings.Contains(err.Error(), "BUILDSYS_ENGINE_INSECURE") ||
			!strings.Contains(err.Error(), "CERT_PATH")) {
			t.Errorf("%v does not say what to do", err)
		}
	}
}

// TestSSHAddressHoldsNoCommands has parts of addresses that a shell, ssh or a command of ssh's
// configuration would run or take for an option.
func TestSSHAddressHoldsNoCommands(t *testing.T) {
	var bad []string
	for _, c := range []string{";", "&", "|", "$x", "`x`", "(x)", "<x", ">x", "'", "\"", "\\", "*",
		"?x", "[x]", "!x", "{x,y}", "~", "^", "=", ",", " ", "\t", "\n", "\r", "\x00", "\x1b", "ä",
		"#x"} {
		c = url.PathEscape(c)
		bad = append(bad, "ssh://builder/run/"+c+"/x.sock", "ssh://me"+c+"@builder", "ssh://b"+c+"x")
	}
	bad = append(bad, "ssh://ci@builder/;id>/tmp/x;", "ssh://ci@builder/$(id)", "ssh://%2Dl@builder",
		"ssh://%2DoProxyCommand=x/run/x.sock", "ssh://me@%2Dx", "ssh://builder:-1/x",
		"ssh://[-x]/y", "ssh://@/x", "ssh://%2527@builder", "ssh://builder/%2e%2e;id")
	for _, text := range bad {
		if a, err := parseAddress(text, "BUILDSYS_BUILDKIT_HOST"); err == nil {
			t.Errorf("%q: ssh would get %q", text, buildkitOverSSH(a))
		} else if strings.ContainsAny(err.Error(), "\x00\x1b\n\r") {
			t.Errorf("%q: the error is not one clean line: %q", text, err)
		}
	}
	for _, text := range []string{"ssh://me.x+y_z-1@b-1.corp:22/run/user/1000/x_y-z.sock",
		"ssh://[fe80::1%25eth0]/run/x.sock", "ssh://me@realm@builder"} {
		if _, err := parseAddress(text, "DOCKER_HOST"); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestSSHCommand(t *testing.T) {
	a, err := parseAddress("ssh://me@builder:2222/run/x.sock", "")
	must(t, err)
	got := strings.Join(dockerOverSSH(a), " ")
	if want := "ssh -o ConnectTimeout=15 -o BatchMode=yes -T -l me -p 2222 -- builder docker --host " +
		"unix:///run/x.sock system dial-stdio"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	a.path, a.port, a.user = "", "", ""
	if got := buildkitOverSSH(a); !slices.Equal(got[len(got)-4:],
		[]string{"--", "builder", "buildctl", "dial-stdio"}) {
		t.Errorf("%q", got)
	}
}

// fakeSSH puts an ssh into PATH that runs the command on this machine.
func fakeSSH(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "ssh"), "#!/bin/sh\n"+script+"\n", 0o755)
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

const runHere = `while [ "$1" != -- ]; do shift; done; shift 2; exec "$@"`

// TestDockerOverSSH builds through the docker command's dial-stdio, with an ssh that stays on this
// machine.
func TestDockerOverSSH(t *testing.T) {
	direct := dialEngine(t, engine.Options{})
	need.Program(t, "docker")
	socket, ok := strings.CutPrefix(direct.engine.host(), "unix://")
	need.Engine(t, ok, "one on a socket, not at "+direct.engine.host())
	fakeSSH(t, runHere)
	b, err := Dial(t.Context(), engine.Options{Host: "ssh://builder.invalid" + socket,
		Timeout: 20 * time.Second})
	must(t, err)
	defer b.Close()
	e := &engineTest{b: direct, sdk: testImages + ":" + strings.ToLower(rand.Text())}
	e.importBase(t)
	defer e.removeBase(t)
	e.b = b
	e.outputs(t)

	fakeSSH(t, "echo 'Permission denied (publickey).' >&2; exit 255")
	if _, err := Dial(t.Context(), engine.Options{Host: "ssh://builder.invalid"}); err == nil ||
		!strings.Contains(err.Error(), "Permission denied (publickey)") {
		t.Errorf("error %v does not say what ssh complained about", err)
	}
}

// TestBuildkitdTLS checks that both sides show certificates, and that a client without one is
// rejected.
func TestBuildkitdTLS(t *testing.T) {
	certs := makeCerts(t)
	port := freePort(t)
	d := buildtest.NewBuildkitd(t, "--addr", "tcp://127.0.0.1:"+port, "--tlscacert", certs+"/ca.pem",
		"--tlscert", certs+"/server.pem", "--tlskey", certs+"/server-key.pem")
	d.Start(t)
	dialDaemon(t, d, engine.Options{}) // waits until it answers
	b := dialDaemon(t, d, engine.Options{BuildKit: "tcp://127.0.0.1:" + port, BuildKitCerts: certs})
	e := &engineTest{b: b, sdk: testImages + ":" + strings.ToLower(rand.Text())}
	e.importBase(t)
	e.outputs(t)

	if _, err := Dial(t.Context(), engine.Options{BuildKit: "tcp://127.0.0.1:" + port}); err == nil {
		t.Error("a client without certificates was accepted")
	}
	if _, err := Dial(t.Context(), engine.Options{BuildKit: "tcp://127.0.0.1:" + port,
		BuildKitCerts: makeCerts(t)}); err == nil {
		t.Error("a client trusted a server of another authority")
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(t, err)
	return port
}

// makeCerts makes an authority and certificates for a server on 127.0.0.1 and for a client.
func makeCerts(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) {
		writeFile(t, filepath.Join(dir, name),
			string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})), 0o600)
	}
	var ca *x509.Certificate
	var caKey *ecdsa.PrivateKey
	for i, c := range []struct{ cert, key string }{{"ca.pem", "ca-key.pem"},
		{"server.pem", "server-key.pem"}, {"cert.pem", "key.pem"}} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: fmt.Sprint("test ", i)},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, BasicConstraintsValid: true,
			IsCA:        i == 0,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		}
		if i == 0 {
			ca, caKey = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, ca, &key.PublicKey, caKey)
		must(t, err)
		keyDER, err := x509.MarshalECPrivateKey(key)
		must(t, err)
		write(c.cert, "CERTIFICATE", der)
		write(c.key, "EC PRIVATE KEY", keyDER)
	}
	return dir
}

// Certificates are not looked for in a tree, and the network is not used without them.
func TestDockerTLSWithoutHome(t *testing.T) {
	for name, value := range map[string]string{"HOME": "", "DOCKER_CONFIG": "", "DOCKER_CERT_PATH": "",
		"DOCKER_HOST": "tcp://192.0.2.1:2376", "DOCKER_TLS_VERIFY": "1"} {
		t.Setenv(name, value)
	}
	_, err := newDockerd(engine.Options{})
	if err == nil || !strings.Contains(err.Error(), "set DOCKER_CERT_PATH") {
		t.Errorf("%v, want one that asks for DOCKER_CERT_PATH", err)
	}
}
