// Surroundings: locks on files, and which proxies and authorities count for this process.

package doctor

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"buildsys/internal/atomicfile"
	"buildsys/internal/confined"
	"buildsys/internal/network"
)

// locks checks the places whose file system must have locks. It tries one on a new file, as some
// file systems lock no directories.
func (r Request) locks() []Check {
	var checks []Check
	for _, p := range r.Places {
		if !p.Locks {
			continue
		}
		c := Check{Name: "locks: " + p.Name, Status: OK, Detail: p.Path}
		at, err := existing(p)
		if err != nil {
			continue // the check of its space says what is wrong
		}
		f, err := os.CreateTemp(at, ".buildsys-doctor-")
		if err != nil {
			c.Status, c.Detail = Skipped, err.Error()
			checks = append(checks, c)
			continue
		}
		if err := r.lock(f); err != nil {
			c.Status, c.Detail = Failure, err.Error()
			c.Fix = "use a directory on a local disk (--cache-dir for the cache)"
		}
		_, _ = f.Close(), os.Remove(f.Name())
		checks = append(checks, c)
	}
	return checks
}

func (r Request) lock(f *os.File) error {
	if r.flock != nil {
		return r.flock(f)
	}
	return atomicfile.Lock(f, unix.LOCK_EX|unix.LOCK_NB, "builds take locks there")
}

func (r Request) getenv(name string) string {
	if r.Getenv != nil {
		return r.Getenv(name)
	}
	return os.Getenv(name)
}

// surroundings returns the proxies and the authorities that count for this process. An engine has
// its own.
func (r Request) surroundings() []Check {
	proxies := Check{Name: "proxies", Status: OK, Detail: "none"}
	var all []string
	for _, v := range network.ProxyVariables(r.getenv) {
		all = append(all, v.Name+"="+v.Value)
	}
	if len(all) > 0 {
		proxies.Detail = strings.Join(all, " ") + " (of this process; the engine has its own)"
	}
	return []Check{proxies, r.authorities()}
}

// maxAuthorities bounds a file of certificates; those of systems have 300 KB.
const maxAuthorities = 16 << 20

// authorities checks the file that stands for those of the system.
func (r Request) authorities() Check {
	c := Check{Name: "authorities", Status: OK, Detail: "those of the system"}
	if dir := r.getenv("SSL_CERT_DIR"); dir != "" {
		c.Detail += " with SSL_CERT_DIR=" + dir
	}
	file := r.getenv("SSL_CERT_FILE")
	if file == "" {
		return c
	}
	c.Detail = "SSL_CERT_FILE=" + file
	text, err := confined.Path{Name: file}.Read(maxAuthorities)
	n := 0
	for err == nil {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if _, bad := x509.ParseCertificate(block.Bytes); block.Type == "CERTIFICATE" && bad == nil {
			n++
		}
	}
	switch {
	case err != nil:
		c.Detail += ": " + err.Error()
	case n == 0:
		c.Detail += " has no certificate in PEM"
	default:
		c.Detail += fmt.Sprintf(": %d certificates", n)
		return c
	}
	c.Status, c.Fix = Warning, "name a file with the certificates of authorities, or unset it"
	return c
}
