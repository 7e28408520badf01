// logins: which credentials of the Docker config a registry gets.

package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"

	"buildsys/internal/confined"
)

// credential returns the credentials for the host of the registry, and none for others. A registry
// that only a tree names gets them over TLS, and if the Docker config names it: a general helper
// would be asked for any host, and may answer for any. What was withheld is kept for the error.
func (r *ociRegistry) credential(ctx context.Context, host string) (auth.Credential, error) {
	if host != r.repo.Reference.Host() {
		return auth.EmptyCredential, nil
	}
	if !r.t.place.Named {
		why, err := r.strange(host)
		if err != nil {
			return auth.EmptyCredential, finalError{err}
		}
		if why != "" {
			r.withheld.Store(&why)
			return auth.EmptyCredential, nil
		}
	}
	store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	if err != nil {
		return auth.EmptyCredential,
			finalError{fmt.Errorf("the credentials for %s cannot be read: %w", host, err)}
	}
	c, err := credentials.Credential(store)(ctx, host)
	if err != nil {
		return c, finalError{fmt.Errorf("the credentials for %s cannot be read from %s: %w", host,
			r.config, err)}
	}
	return c, nil
}

// strange returns why a registry that only a tree names gets no credentials; "" if it gets them.
func (r *ociRegistry) strange(host string) (string, error) {
	if r.t.place.Plain {
		return "only the tree names it, without TLS, so it gets no credentials: " +
			"name it yourself, as oci+http://" + r.t.place.Host + "/…, or use TLS", nil
	}
	known, err := configured(r.config, credentials.ServerAddressFromRegistry(r.t.place.Host),
		credentials.ServerAddressFromHostname(host), host, r.t.place.Host)
	if err != nil {
		return "", fmt.Errorf("the credentials for %s cannot be read from %s: %w", host, r.config, err)
	}
	if known {
		return "", nil
	}
	return fmt.Sprintf("only the tree names it, and %s does not, so it gets no credentials: "+
		"log in (docker login %s), or name a helper for it in credHelpers", r.config, host), nil
}

// maxDockerConfig bounds a Docker config. Those with logins for a hundred hosts have some tens of
// kilobytes.
const maxDockerConfig = 4 << 20

// dockerLogins is what a Docker config says of logins.
type dockerLogins struct {
	Auths       map[string]json.RawMessage `json:"auths"`
	CredHelpers map[string]string          `json:"credHelpers"`
	CredsStore  string                     `json:"credsStore"`
}

// readDockerLogins reads a Docker config. A missing one says nothing.
func readDockerLogins(file string) (c dockerLogins, err error) {
	data, err := confined.Path{Name: file}.Read(maxDockerConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	err = json.NewDecoder(bytes.NewReader(data)).Decode(&c) // as Docker: what follows is ignored
	return c, err
}

// HasLogins reports whether a Docker config has logins, or names programs that have them.
func HasLogins(file string) bool {
	c, err := readDockerLogins(file)
	return err == nil && (len(c.Auths) > 0 || len(c.CredHelpers) > 0 || c.CredsStore != "")
}

// configured reports whether a Docker config has an entry for one of the names of a host.
func configured(file string, names ...string) (bool, error) {
	config, err := readDockerLogins(file)
	if err != nil {
		return false, err
	}
	for _, name := range names {
		for _, entry := range []string{name, "https://" + name, "https://" + name + "/"} {
			_, login := config.Auths[entry]
			_, helper := config.CredHelpers[entry]
			if login || helper {
				return true, nil
			}
		}
	}
	return false, nil
}
