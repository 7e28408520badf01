// location: the location of a remote cache, as users write it.

package remote

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"

	"oras.land/oras-go/v2/registry"

	"buildsys/internal/safetext"
)

// Location is the location of a remote cache.
type Location struct {
	Dir   string // absolute path of a directory; empty for a registry
	Host  string // of the registry, with the port if any
	Repo  string // repository in the registry
	Plain bool   // HTTP without TLS
	// Named says that the caller named this location, and not only the tree. Others get no
	// credentials without TLS, and none but those for a host that the Docker config names.
	Named bool
}

// String returns the form that ParseLocation reads.
func (l Location) String() string {
	switch {
	case l.Dir != "":
		return "dir:" + l.Dir
	case l.Plain && !loopback(l.Host):
		return "oci+http://" + l.Host + "/" + l.Repo
	}
	return "oci://" + l.Host + "/" + l.Repo
}

// Server returns the host or the directory, for messages.
func (l Location) Server() string {
	if l.Dir != "" {
		return l.Dir
	}
	return l.Host
}

// ParseLocation reads oci://HOST/REPOSITORY, oci+http://HOST/REPOSITORY for a registry without TLS
// (not needed for one on this machine), dir:PATH or a path. Relative paths are below dir.
func ParseLocation(text, dir string) (Location, error) {
	fail := func(reason string) (Location, error) {
		return Location{}, fmt.Errorf("%q is not the location of a remote cache: %s; "+
			"use oci://HOST/REPOSITORY (oci+http:// without TLS) or a directory",
			safetext.Place(text), reason)
	}
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		path := strings.TrimPrefix(text, "dir:")
		if path == "" {
			return fail("it is empty")
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		return Location{Dir: filepath.Clean(path)}, nil
	}
	if scheme != "oci" && scheme != "oci+http" {
		return fail("it begins with " + scheme + "://")
	}
	u, err := url.Parse("https://" + rest)
	switch {
	case err != nil:
		return fail("it has no host")
	case u.User != nil:
		return fail("credentials belong in the Docker config (docker login)")
	case u.RawQuery != "" || u.Fragment != "":
		return fail("it has a query or fragment")
	}
	repo := strings.Trim(u.Path, "/")
	ref, err := registry.ParseReference(u.Host + "/" + repo)
	switch {
	case err != nil:
		return fail(err.Error())
	case ref.Reference != "":
		return fail("it has a tag or digest; results have tags of their own")
	}
	return Location{Host: ref.Registry, Repo: ref.Repository, Plain: scheme == "oci+http" ||
		loopback(ref.Registry)}, nil
}

// loopback reports whether a host is this machine.
func loopback(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	ip := net.ParseIP(name)
	return name == "localhost" || ip != nil && ip.IsLoopback()
}
