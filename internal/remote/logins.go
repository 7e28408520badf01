// logins: which credentials of the Docker config a registry gets.

package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
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

// configured reports whether a Docker config has an entry for one of the names of a host.
func configured(file string, names ...string) (bool, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	var config struct {
		Auths       map[string]json.RawMessage `json:"auths"`
		CredHelpers map[string]string          `json:"credHelpers"`
	}
	if err := json.NewDecoder(io.LimitReader(f, maxDockerConfig)).Decode(&config); err != nil {
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
